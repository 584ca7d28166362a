"""What free-running does when the user cuts in, and where its false starts lead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.core.types import Strict, whole_of
from datagen.core.units import FRAME_MS, frame_of
from trainer.evaluate.freerun import Run
from trainer.evaluate.heard import Heard
from trainer.evaluate.intervals import Estimate, GroupedBootstrap, Vector
from trainer.evaluate.matching import TOLERANCE, pairs
from trainer.evaluate.scores import grid

_QUANTILES = (0.5, 0.9)


class BargeIn(Strict):
    """A recorded barge-in and what the model did about it; times are ticks after the one in which the user begins."""

    conversation: str
    begun: bool
    """The model had begun the turn, within the tolerance."""
    talking: bool
    """And was still heard when the user began."""
    latency: int | None
    """Its [STP]; None: it was not talking, or never stopped."""
    overlap: int
    """The recorded assistant's [STP]."""


class Stops(Strict):
    """How fast the model stops. Latency is that of the token: tick k is decided when it is over, which adds one tick at
    most, and the player adds its own."""

    barge_ins: int
    begun: int
    talking: int
    stopped: Estimate | None
    """Share of those with the model talking in which it stopped at all."""
    within: Estimate | None
    """The same by the tick in which the recorded assistant did."""
    within_slack: Estimate | None
    """The same with one tick more."""
    median: Estimate | None
    p90: Estimate | None
    """Ticks from the user's onset to [STP], where it stopped."""
    recorded: tuple[float, float]
    """Median and P90 of the recorded assistant."""

    def markdown(self) -> str:
        """A table of one column."""
        ticks = [e and f"{e.value:.1f} ({e.low:.1f} to {e.high:.1f})" for e in (self.median, self.p90)]
        shares = [e.percent() if e else "-" for e in (self.stopped, self.within, self.within_slack)]
        rows = [
            ["recorded", str(self.barge_ins)],
            ["turn begun by the model", str(self.begun)],
            ["model talking when the user begins", str(self.talking)],
            ["of these stopped %", shares[0]],
            ["of these stopped within the recorded overlap %", shares[1]],
            [f"of these stopped {FRAME_MS} ms later at most %", shares[2]],
            ["ticks from the user's onset to [STP], median", ticks[0] or "-"],
            ["ticks from the user's onset to [STP], P90", ticks[1] or "-"],
            ["recorded assistant: median, P90", f"{self.recorded[0]:.1f}, {self.recorded[1]:.1f}"],
        ]
        return "\n".join(grid(["barge-ins", ""], rows))


class FalseStarts(Strict):
    """[BOS] without a recorded turn, and the false [STP] they lead to; adds up over conversations."""

    starts: int = 0
    false_starts: int = 0
    over_user: int = 0
    """False starts inside a turn of the user."""
    false_stops: int = 0
    after_false_start: int = 0
    """False [STP] that end a turn which is a false start."""

    def __add__(self, other: FalseStarts) -> FalseStarts:
        return FalseStarts(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})

    def markdown(self) -> str:
        """One sentence."""
        return (
            f"Of {self.starts} [BOS], {self.false_starts} are false starts, {self.over_user} of them inside a turn of "
            f"the user. Of {self.false_stops} false [STP], {self.after_false_start} end a false start."
        )


def barge_ins(heard: Heard, run: Run) -> list[BargeIn]:
    """What the model did about each barge-in of a conversation."""
    own = {response.reference: response for response in run.responses}
    found: list[BargeIn] = []
    for place, recorded in enumerate(run.recorded):
        if recorded.stop is None or recorded.cut_in is None:
            continue
        mine = own.get(place)
        talking = mine is not None and mine.end >= recorded.cut_in
        stopped = mine is not None and talking and mine.stopped
        found.append(
            BargeIn(
                conversation=heard.row.id,
                begun=mine is not None,
                talking=talking,
                latency=mine.end - recorded.cut_in if mine is not None and stopped else None,
                overlap=recorded.stop - recorded.cut_in,
            )
        )
    return found


def stops(found: Sequence[BargeIn], seed: int = 0) -> Stops | None:
    """All barge-ins together; None without any."""
    if not found:
        return None
    draws = GroupedBootstrap([whole_of(b.conversation) for b in found], seed)
    talking = np.array([b.talking for b in found])
    latency = np.array([np.inf if b.latency is None else b.latency for b in found])
    overlap = np.array([b.overlap for b in found])
    stopped = np.isfinite(latency)
    shares = [stopped, latency <= overlap, latency <= overlap + 1]
    some = [draws.share(hits, talking) for hits in shares] if talking.any() else [None] * 3

    def quantiles(weights: Vector) -> Vector:
        drawn = np.repeat(latency[stopped], weights[stopped].astype(int))
        return np.quantile(drawn, _QUANTILES) if drawn.size else np.full(len(_QUANTILES), np.nan)

    median, p90 = draws.estimates(quantiles) if stopped.any() else (None, None)
    theirs = np.quantile(overlap, _QUANTILES)
    return Stops(
        barge_ins=len(found),
        begun=sum(b.begun for b in found),
        talking=int(talking.sum()),
        stopped=some[0],
        within=some[1],
        within_slack=some[2],
        median=median,
        p90=p90,
        recorded=(float(theirs[0]), float(theirs[1])),
    )


def false_starts(heard: Heard, run: Run, tolerance: int = TOLERANCE) -> FalseStarts:
    """Of one conversation."""
    turns = [response for response in run.responses if response.kind == "turn"]
    wrong = [response for response in turns if response.reference is None]
    ended = [response for response in turns if response.stopped]
    due = [response.stop for response in run.recorded if response.stop is not None]
    right = {place for place, _ in pairs([response.end for response in ended], due, tolerance)}
    false_stops = [response for place, response in enumerate(ended) if place not in right]
    spoken = [
        (frame_of(s.start), frame_of(s.end - 1)) for s in heard.row.segments if s.speaker == "user" and s.kind == "turn"
    ]
    return FalseStarts(
        starts=len(turns),
        false_starts=len(wrong),
        over_user=sum(any(first <= response.start <= last for first, last in spoken) for response in wrong),
        false_stops=len(false_stops),
        after_false_start=sum(response.reference is None for response in false_stops),
    )
