"""From which probability on a control token is emitted, chosen on validation conversations, never on test. Pure.

The weight of [SIL] in the loss is an operating point: at 0.2 every other token looks five times as likely as it is, and
a model that emits its likeliest token speaks too early. A threshold per token sets that right after training.
Probabilities are those of the whole vocabulary. Without thresholds a token is emitted where it is the likeliest of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from datagen.core.types import Strict
from trainer.evaluate.matching import TOLERANCE, Counts, count
from trainer.firing import EVENTS, LEAST, MOST, Event, Thresholds

Chance = npt.NDArray[np.float32]
F1 = Mapping[Event, float]
"""How good each event is; not a number where the data have none of a kind."""

_LEVELS = 100
"""Thresholds tried for each token on a teacher-forced pass."""
ROUNDS: tuple[tuple[float, ...], ...] = ((-2.0, -1.0, 0.0, 1.0, 2.0), (-0.5, 0.0, 0.5))
"""Steps of the free-running search, in logits from the best point so far: 9 passes over the data at most."""


class Calibrated(Strict):
    """Thresholds and how they came about."""

    thresholds: Thresholds
    mode: Literal["forced", "free"]
    """On a teacher-forced pass, or by free-running with each candidate."""
    conversations: int
    """Of the validation split."""
    tolerance: int = TOLERANCE
    f1: dict[Event, float | None]
    """On validation: chosen there, so it flatters. None where the data have no such event."""
    tried: tuple[tuple[Thresholds, dict[Event, float | None]], ...] = ()
    """Every point of a free-running search with its scores."""


def best_threshold(
    chances: Sequence[Chance],
    truths: Sequence[Sequence[int]],
    tolerance: int = TOLERANCE,
    onsets: bool = False,
) -> tuple[float, float]:
    """The threshold with the highest F1 of one token on a teacher-forced pass, and that F1.

    Args:
        chances: of every conversation, the token's probability at every tick.
        truths: of every conversation, the ticks at which it was due, rising.
        tolerance: ticks to either side.
        onsets: of neighbouring ticks above the threshold only the first counts. That is nearer to free-running, where
            a token that was emitted changes what comes next; here the history stays as it was and the model insists.

    Where neighbouring thresholds are equally good the middle one is taken. (0.5, NaN) where the token is never due.
    """
    if not any(len(due) for due in truths):
        return 0.5, float("nan")
    together = np.concatenate(chances)
    worth = together[(together >= LEAST) & (together <= MOST)].astype(np.float64)
    levels = np.unique(np.quantile(worth, np.linspace(0, 1, _LEVELS))) if worth.size else np.array([0.5])
    scores: list[float] = []
    for level in levels:
        total = Counts()
        for chance_K, due in zip(chances, truths, strict=True):
            total += count(crossings(chance_K, level, onsets), due, tolerance)
        scores.append(total.f1)
    best = _middle_of_best(scores)
    return float(levels[best]), scores[best]


def crossings(chance_K: Chance, level: float, onsets: bool = False) -> list[int]:
    """The ticks at or above a level; with ``onsets`` the first of each run of them."""
    above_K = chance_K.astype(np.float64) >= level
    if onsets:
        above_K = above_K & ~np.concatenate([[False], above_K[:-1]])
    return np.flatnonzero(above_K).tolist()


def search(
    score: Callable[[Thresholds], F1], start: Thresholds, conversations: int, rounds: Sequence[Sequence[float]] = ROUNDS
) -> Calibrated:
    """Thresholds for free-running, where every candidate costs a pass over the data.

    A coordinate search that moves all coordinates at once: each round tries points along the diagonal and takes for
    every token its own best step, since a token's score depends on its own threshold far more than on the others'. As
    that is no law, the answer is the best point that was really tried, by the mean of the scores.

    Args:
        score: F1 of every token at a point, from a pass over validation conversations. For [STP] take the score of
            responses that had really begun, or false starts speak for its threshold.
        start: where to begin, such as ``best_threshold`` with ``onsets``.
        conversations: how many the score looks at; for the record.
        rounds: steps in logits, around the best of the rounds before.
    """
    tried: dict[Thresholds, F1] = {}

    def at(point: Thresholds) -> F1:
        if point not in tried:
            tried[point] = score(point)
        return tried[point]

    centre = start.moved(0.0)
    at(centre)
    for steps in rounds:
        points = [centre.moved(step) for step in sorted(steps)]
        found = [at(point) for point in points]
        centre = Thresholds(
            **{kind: getattr(points[_middle_of_best([f[kind] for f in found])], kind) for kind in EVENTS}
        )
        at(centre)
    # Of equally good points the one that the search ended at, which lies amid its neighbours.
    best = max([centre, *tried], key=lambda point: _mean(tried[point]))
    return Calibrated(
        thresholds=best,
        mode="free",
        conversations=conversations,
        f1=_known(tried[best]),
        tried=tuple((point, _known(scores)) for point, scores in tried.items()),
    )


def _middle_of_best(scores: Sequence[float]) -> int:
    """Place of the best score; of several in a row that are equally good the middle one."""
    values = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0)
    first = int(values.argmax())
    last = first
    while last + 1 < len(values) and values[last + 1] >= values[first] - 1e-12:
        last += 1
    return (first + last) // 2


def _mean(scores: F1) -> float:
    known = [value for value in scores.values() if not math.isnan(value)]
    return sum(known) / len(known) if known else 0.0


def _known(scores: F1) -> dict[Event, float | None]:
    return {kind: None if math.isnan(value) else value for kind, value in scores.items()}
