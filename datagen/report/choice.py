"""Which conversations the report shows: a few that together are an example of everything, in constant memory."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from datagen.core.turntaking import Conversation, transfers
from datagen.core.types import Split, Strict

_FEATURES = 64
"""So many different features are told apart when conversations are chosen; later ones are left out."""
_PER_FEATURE = 4
_POOL = 40


class Address(Strict):
    """Where a conversation lies, and what it is an example of."""

    id: str
    split: Split
    file: str
    row_group: int
    row: int
    duration: float
    shows: tuple[str, ...]


def features(split: Split, row: Mapping[str, Any], conversation: Conversation) -> list[str]:
    """What a conversation is an example of, in words that the report shows."""
    events = {f"{e.type.replace('_', '-')} by {e.actor}, {e.outcome}" for e in conversation.events}
    offsets = [t.offset for t in transfers(conversation.spans) if not t.cut]
    return [
        split,
        row["domain"],
        row["language"],
        row["profile"],
        *sorted(events),
        *(f"{scene} noise" for scene in sorted({b["scene"] for b in row["noise"] or ()})),
        *(["no noise"] if not row["noise"] else []),
        *(["overlapping floor change"] if min(offsets, default=0) < 0 else []),
    ]


class Shelf:
    """Keeps a few conversations per feature, the best lengths first, whatever the size of the data set."""

    def __init__(self) -> None:
        self._best: dict[str, list[tuple[tuple[int, str], Address]]] = {"": []}

    def offer(self, address: Address) -> None:
        rank = (_unhandy(address.duration), blake2b(address.id.encode(), digest_size=8).hexdigest())
        for feature in ("", *address.shows):
            if feature not in self._best and len(self._best) >= _FEATURES:
                continue
            best = self._best.setdefault(feature, [])
            if len(best) < (room := _PER_FEATURE if feature else _POOL) or rank < best[-1][0]:
                best.append((rank, address))
                best.sort(key=lambda item: item[0])
                del best[room:]

    def choose(self) -> tuple[Address, ...]:
        """All kept conversations, ordered so that every prefix shows as many features as it can."""
        pool = dict(sorted({a.id: (rank, a) for best in self._best.values() for rank, a in best}.items()))
        chosen: list[Address] = []
        missing: set[str] = set()
        while pool and len(chosen) < _POOL:
            missing = missing or {feature for _, address in pool.values() for feature in address.shows}
            pick = min(pool.values(), key=lambda item: (-len(missing & set(item[1].shows)), item[0]))[1]
            missing = missing - set(pick.shows)
            chosen.append(pool.pop(pick.id)[1])
        return tuple(chosen)


def _unhandy(seconds: float) -> int:
    """0 for lengths that are pleasant to listen to (15 to 30 s), rising in steps of 15 s outside."""
    return int(max(15 - seconds, seconds - 30, 0) // 15 + (not 15 <= seconds <= 30))
