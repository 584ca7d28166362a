"""The two ways of writing the assistant's items into ticks; ``trainer.targets`` says the rules. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.core.records import SegmentKind
from datagen.core.types import Speaker, Strict
from datagen.core.units import FRAME_SAMPLES, frame_of
from trainer.tokens import ControlTokens

Ids = npt.NDArray[np.int64]
Encode = Callable[[str], Sequence[int]]


class Rules(Strict):
    """How labels are written."""

    mode: Literal["clean", "relays2s"] = "clean"
    """relays2s: exactly the labels of the public loader, two [STP] and lost [EOS] included."""
    hold: bool = True
    """clean: [HOD] while the assistant is audible after its text; False leaves [SIL] there."""
    interrupted: Literal["heard", "written"] = "heard"
    """clean: the text of a turn that was cut. heard: its audible words; written: all of it, as far as it fits."""
    answer_ms: int | None = Field(default=None, ge=0)
    """[BOS] so long after the end of the user's turn, see ``targets.items_of``. None: where it was recorded."""
    nod_ms: int | None = Field(default=None, ge=0)
    """[BOC] so long after the end of the word before it. None: where it was recorded."""
    stop_ms: int | None = Field(default=None, ge=0)
    """[STP] so long after the user begins to cut in. None: where the recorded assistant stops."""

    @property
    def steady(self) -> bool:
        """Whether labels stand elsewhere than in the recording."""
        return self.mode == "clean" and (self.answer_ms, self.nod_ms, self.stop_ms) != (None, None, None)

    def recorded(self) -> Rules:
        """The same with labels where the recorded assistant began and stopped."""
        return self.model_copy(update={"answer_ms": None, "nod_ms": None, "stop_ms": None})


class Item(NamedTuple):
    """One segment on the clock; ``start`` and ``end`` in samples, half-open."""

    speaker: Speaker
    kind: SegmentKind
    start: int
    end: int
    text: str
    """The words that are heard."""
    written: str
    """The words as written."""
    yielded: bool
    """Cut by a barge-in at ``end``."""


@dataclass(frozen=True)
class Overflow:
    """Assistant items and what of their text did not fit. Sums with ``+`` over rows; report it per tokenizer."""

    items: int = 0
    tokens: int = 0
    """Of the texts, control tokens not counted."""
    overran: int = 0
    """Items whose text runs on after their speech."""
    cut: int = 0
    """Items that lost text."""
    lost_tokens: int = 0
    lost_ends: int = 0
    """[EOS] cut away (relays2s only)."""
    left_out: int = 0
    """Items without ticks of their own (clean), or written over at their first tick (relays2s)."""

    def __add__(self, other: Overflow) -> Overflow:
        return Overflow(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        share = 100 * self.lost_tokens / self.tokens if self.tokens else 0.0
        return (
            f"{self.items} assistant items, {self.tokens} text tokens: {self.overran} run on after their speech, "
            f"{self.cut} lose text ({self.lost_tokens} tokens, {share:.2f} %), {self.lost_ends} lose [EOS], "
            f"{self.left_out} left out"
        )


def clean(
    own: Sequence[Item], length: int, encode: Encode, tokens: ControlTokens, rules: Rules
) -> tuple[Ids, Overflow]:
    """Each of the assistant's items gets the ticks from its own first to the next item's first and keeps to them."""
    ids_K = np.full(length, tokens.sil, np.int64)
    starts = [*_first_ticks(own), length]
    counts: Counter[str] = Counter()
    for item, start, following in zip(own, starts, starts[1:], strict=False):
        whole = item.yielded and rules.interrupted == "written"
        text = list(encode(item.written if whole else item.text))
        stop = min(frame_of(item.end), length - 1) if item.yielded else following
        room = stop - start
        counts.update(items=1, tokens=len(text))
        if room < (1 if item.yielded else 2):
            counts.update(left_out=1, lost_tokens=len(text))
            continue
        ends = not item.yielded or (whole and len(text) <= room - 2)
        kept = text[: room - 1 - ends]
        line = [tokens.boc if item.kind == "backchannel" else tokens.bos, *kept, *([tokens.eos] if ends else [])]
        silent = _silent_from(item)
        if rules.hold:
            ids_K[start:silent] = tokens.hod
        ids_K[start : start + len(line)] = line
        if item.yielded:
            ids_K[stop] = tokens.stp
        # What the user does not let the assistant say is no fault of the tokenizer.
        lost = 0 if whole else len(text) - len(kept)
        counts.update(overran=int(start + len(line) > silent), cut=int(lost > 0), lost_tokens=lost)
    return ids_K, Overflow(**counts)


def compatible(own: Sequence[Item], length: int, encode: Encode, tokens: ControlTokens) -> tuple[Ids, Overflow]:
    """The public loader's labels.

    With s the tick of the start and e that of the end (at most the last): a turn is [BOS] text [EOS], an interrupted
    one [BOS] text [STP], both cut to e - s tokens; the interrupted one then also gets [STP] at e. A backchannel is
    [BOC] text [EOS] and is not cut (past the last tick it is; the public loader fails). Later items write over earlier.
    """
    ids_K = np.full(length, tokens.sil, np.int64)
    counts: Counter[str] = Counter()
    for item in own:
        start, end = frame_of(item.start), min(frame_of(item.end), length - 1)
        text = list(encode(item.text))
        first = tokens.boc if item.kind == "backchannel" else tokens.bos
        line = [first, *text, tokens.stp if item.yielded else tokens.eos]
        line = line[: max(0, (length if item.kind == "backchannel" else end) - start)]
        ids_K[start : start + len(line)] = line
        if item.yielded:
            ids_K[end] = tokens.stp
        lost = len(text) - min(len(text), max(0, len(line) - 1))
        counts.update(items=1, tokens=len(text), cut=int(lost > 0), lost_tokens=lost)
        counts.update(overran=int(start + len(line) > _silent_from(item)))
        counts.update(lost_ends=int(not item.yielded and len(line) < len(text) + 2))
    starts = [frame_of(item.start) for item in own]
    counts.update(left_out=sum(at >= length or ids_K[at] not in (tokens.bos, tokens.boc) for at in starts))
    return ids_K, Overflow(**counts)


def _first_ticks(own: Sequence[Item]) -> list[int]:
    """The first tick of each item. One that starts in the tick of a barge-in waits for the next tick: an [STP] is never
    written over."""
    ticks: list[int] = []
    free = 0
    for item in own:
        ticks.append(max(frame_of(item.start), free))
        if item.yielded:
            free = frame_of(item.end) + 1
    return ticks


def _silent_from(item: Item) -> int:
    """The first tick in which nothing of the item is heard."""
    return -(-item.end // FRAME_SAMPLES)
