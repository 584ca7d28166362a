"""What replayed conversations show: latencies, margins, stops and turn-taking. Pure.

Latencies are those of the responses' records (``trainer.runtime.metrics``, whose definitions are ``trainer.timing``),
turn-taking is counted as in the evaluation (``trainer.evaluate.matching``): +-1 tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from datagen.core.types import Strict
from datagen.core.units import FRAME_MS, SAMPLE_RATE
from trainer.evaluate.matching import Counts, count
from trainer.replay.sources import Talk
from trainer.runtime.events import Ended, Trace
from trainer.runtime.recording import Recording

STOP_WITHIN_MS = 3_000.0
"""A stop later than this after the user's onset has another cause."""


class Spread(Strict):
    """Of some values."""

    count: int
    p50: float
    p90: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None without values."""
        if not values:
            return None
        p50, p90, p99 = (round(float(q), 2) for q in np.percentile(values, [50, 90, 99]))
        return cls(count=len(values), p50=p50, p90=p90, p99=p99, worst=round(max(values), 2))


class Figures(Strict):
    """Of the conversations of one system."""

    mode: str
    conversations: int
    seconds: float
    """Of the users' audio."""
    outcomes: dict[str, int]
    """Of turns."""
    backchannels: int
    committed: float | None
    """Share of the turns with a verdict."""
    onset_ms: Spread | None
    audible_ms: Spread | None
    margin_ms: Spread | None
    """Of committed turns in which the slow path was heard."""
    seamless: float | None
    """Share of those with a margin of 0 or more."""
    underrun_ms: float
    """In all."""
    underruns: int
    stops: Spread | None
    """Milliseconds from the user's onset, while the assistant is heard, to its last sample."""
    talked_over: int
    """Onsets of a recorded turn while the assistant was heard, with no stop after them."""
    lateness_ms: Spread
    """Of ticks: from the arrival of a tick's last sample to the decision."""
    turn_taking: dict[str, Counts]
    """[BOS] and [BOC] against the recording."""
    failures: int


def figures(mode: str, pairs: Sequence[tuple[Talk, Recording]]) -> Figures:
    """Of all conversations together."""
    ended = [one for _, found in pairs for one in found.responses]
    turns = [one for one in ended if one.kind == "turn"]
    margins = _values(turns, "margin_ms")
    verdicts = [bool(one.record["committed"]) for one in turns if one.record.get("committed") is not None]
    stops, missed = _stops(pairs)
    late = [_number(entry, "lateness_ms") for _, found in pairs for entry in found.log if entry.what == "tick"]
    return Figures(
        mode=mode,
        conversations=len(pairs),
        seconds=sum(len(talk.user) for talk, _ in pairs) / SAMPLE_RATE,
        outcomes=dict(sorted(Counter(one.outcome for one in turns).items())),
        backchannels=len(ended) - len(turns),
        committed=float(np.mean(verdicts)) if verdicts else None,
        onset_ms=Spread.of(_values(turns, "onset_ms")),
        audible_ms=Spread.of(_values(turns, "audible_ms")),
        margin_ms=Spread.of(margins),
        seamless=float(np.mean([m >= 0 for m in margins])) if margins else None,
        underrun_ms=round(sum(_values(ended, "underrun_ms")), 1),
        underruns=round(sum(_values(ended, "underruns"))),
        stops=Spread.of(stops),
        talked_over=missed,
        lateness_ms=Spread.of(late) or Spread(count=0, p50=0, p90=0, p99=0, worst=0),
        turn_taking=_turn_taking(pairs),
        failures=sum(len(found.failures) for _, found in pairs),
    )


def _values(ended: Iterable[Ended], key: str) -> list[float]:
    found = (one.record.get(key) for one in ended)
    return [float(value) for value in found if isinstance(value, int | float)]


def _number(entry: Trace, key: str) -> float:
    value = entry.data.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _stops(pairs: Sequence[tuple[Talk, Recording]]) -> tuple[list[float], int]:
    latencies, missed = [], 0
    for talk, found in pairs:
        stops = [entry.at_ms for entry in found.log if entry.what == "stop"]
        audible = [bool(entry.data.get("assistant_audible")) for entry in found.log if entry.what == "tick"]
        for onset in talk.onsets_ms:
            tick = int(onset // FRAME_MS)
            if tick >= len(audible) or not audible[tick]:
                continue
            after = next((stop - onset for stop in stops if onset <= stop <= onset + STOP_WITHIN_MS), None)
            if after is None:
                missed += 1
            else:
                latencies.append(after)
    return latencies, missed


def _turn_taking(pairs: Sequence[tuple[Talk, Recording]]) -> dict[str, Counts]:
    totals = {"bos": Counts(), "boc": Counts()}
    for talk, found in pairs:
        if talk.row is None:
            continue
        for token, kind in (("BOS", "turn"), ("BOC", "backchannel")):
            fired = [tick for tick, name in _fired(found.log) if name == token]
            totals[token.lower()] += count(fired, sorted(talk.ticks_of("assistant", kind)))
    return totals


def _fired(log: Sequence[Trace]) -> list[tuple[int, str]]:
    """Ticks of the tokens that fired; a tick's own entry follows them."""
    found, tick = [], 0
    for entry in log:
        if entry.what == "fired":
            found.append((tick, str(entry.data["token"])))
        tick += entry.what == "tick"
    return found
