"""Which predicted events are right: the matching rule of the paper's Table 3. Pure.

    truth        . . B . . . . . . B . . .        tolerance 1 tick (160 ms)
    predicted    . B . . . . B . . . B . .        2 right, 1 false, 0 missed

Events of one kind (MODEL-SPEC 9.1): predictions in time order, each takes the first truth that is within the tolerance
and not taken. As every truth accepts equally far to both sides, no other pairing has more pairs. Silence is scored tick
by tick without tolerance, and ticks of text count for nothing: they would fill the score with what is no decision.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from pydantic import Field

from datagen.core.types import Strict
from trainer.firing import EVENTS
from trainer.targets import Ids
from trainer.tokens import ControlTokens

TOLERANCE = 1
"""Ticks of 160 ms, to either side (RelayS2S section 4.2)."""


class Counts(Strict):
    """Right, false and missed; counts of several conversations add up with ``+``."""

    tp: int = Field(default=0, ge=0)
    fp: int = Field(default=0, ge=0)
    fn: int = Field(default=0, ge=0)

    def __add__(self, other: Counts) -> Counts:
        return Counts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn)

    @property
    def truths(self) -> int:
        """Events that there were."""
        return self.tp + self.fn

    @property
    def predicted(self) -> int:
        """Events that were predicted."""
        return self.tp + self.fp

    @property
    def precision(self) -> float:
        """Share of the predictions that are right; not a number without predictions."""
        return self.tp / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the truths that were found; not a number without truths."""
        return self.tp / self.truths if self.truths else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; not a number where there is nothing at all."""
        both = self.predicted + self.truths
        return 2 * self.tp / both if both else float("nan")


def pairs(predicted: Sequence[int], truth: Sequence[int], tolerance: int = TOLERANCE) -> list[tuple[int, int]]:
    """Places in ``predicted`` and ``truth`` that belong together; both are ticks in rising order.

    >>> pairs([1, 6, 10], [2, 9])
    [(0, 0), (2, 1)]
    """
    found: list[tuple[int, int]] = []
    at = 0
    for place, tick in enumerate(predicted):
        # What lies too far back for this prediction lies too far back for all later ones.
        while at < len(truth) and truth[at] < tick - tolerance:
            at += 1
        if at < len(truth) and truth[at] <= tick + tolerance:
            found.append((place, at))
            at += 1
    return found


def count(predicted: Sequence[int], truth: Sequence[int], tolerance: int = TOLERANCE) -> Counts:
    """Right, false and missed events; both are ticks in rising order."""
    right = len(pairs(predicted, truth, tolerance))
    return Counts(tp=right, fp=len(predicted) - right, fn=len(truth) - right)


def places(ids_K: Ids, token: int) -> list[int]:
    """The ticks that hold a token."""
    return np.flatnonzero(ids_K == token).tolist()


def silence(predicted_K: Ids, truth_K: Ids, silent: Collection[int], acts: Collection[int]) -> Counts:
    """Silence against events, tick by tick: right where both are silent, false where silence was predicted in place of
    an event, missed where an event was predicted in place of silence. All other ticks count for nothing.

    Args:
        predicted_K: what was emitted.
        truth_K: the labels, as long.
        silent: ids that say that nothing happens: [SIL], and [HOD], which stands in its place.
        acts: ids of the events.
    """
    kept_K, quiet_K = np.isin(predicted_K, list(silent)), np.isin(truth_K, list(silent))
    acted_K, due_K = np.isin(predicted_K, list(acts)), np.isin(truth_K, list(acts))
    return Counts(tp=int((kept_K & quiet_K).sum()), fp=int((kept_K & due_K).sum()), fn=int((acted_K & quiet_K).sum()))


def tally(predicted_K: Ids, truth_K: Ids, tokens: ControlTokens, tolerance: int = TOLERANCE) -> dict[str, Counts]:
    """What Table 3 counts in one conversation: ``EVENTS`` and "sil", from what was emitted and the labels, per tick.

    Raises ValueError where the two differ in length.
    """
    if len(predicted_K) != len(truth_K):
        raise ValueError(f"{len(predicted_K)} ticks were emitted for {len(truth_K)} labels; cut both to the labels")
    found: dict[str, Counts] = {}
    for kind in EVENTS:
        token = getattr(tokens, kind)
        found[kind] = count(places(predicted_K, token), places(truth_K, token), tolerance)
    acts = [getattr(tokens, kind) for kind in EVENTS]
    found["sil"] = silence(predicted_K, truth_K, (tokens.sil, tokens.hod), acts)
    return found
