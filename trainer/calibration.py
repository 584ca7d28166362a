"""From the verifier's logits to probabilities that mean what they say, and to a threshold. Pure: numpy alone.

Label 1 = good. A prefix is committed when its calibrated probability is at least the threshold; both are fitted on
validation drafts, never on test.
"""

from __future__ import annotations

from math import exp
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.core.types import Strict

Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
Rule = Literal["keep_good", "macro_f1"]

MAX_TEMPERATURE = 100.0
"""A verifier that ranks no better than chance says the same for all prefixes, instead of turning its order round."""
_ITERATIONS = 100


class Calibration(Strict):
    """p(good) = sigmoid(logit / temperature + shift).

    The shift is there because the loss is: focal weights and the sampler move all logits together, and a temperature
    alone, which keeps p = 0.5 where it was, cannot move them back.
    """

    temperature: float = Field(default=1.0, gt=0, le=MAX_TEMPERATURE)
    shift: float = Field(default=0.0, allow_inf_nan=False)

    def probabilities(self, logits: npt.ArrayLike) -> Vector:
        """Calibrated probability of good, elementwise."""
        return sigmoid(np.asarray(logits, dtype=np.float64) / self.temperature + self.shift)

    def probability(self, logit: float) -> float:
        """The same of one logit, at a tenth of the time."""
        z = logit / self.temperature + self.shift
        return 1 / (1 + exp(-z)) if z >= 0 else exp(z) / (1 + exp(z))


class Bin(Strict):
    """One bar of a reliability diagram."""

    low: float
    high: float
    count: int
    predicted: float
    """Mean probability of good in the bin; the middle of an empty one."""
    observed: float | None
    """Share of good; None in an empty bin."""


def sigmoid(values: npt.ArrayLike) -> Vector:
    """Logistic function without overflow."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(values, dtype=np.float64)))


def two_classes(labels: npt.ArrayLike) -> Labels:
    """Labels as booleans, True = good; ValueError unless there are good and bad ones."""
    good = np.asarray(labels).astype(bool)
    if not good.size or good.all() or not good.any():
        what = (
            f"all {good.size} prefixes are {'good' if good.any() else 'bad'}" if good.size else "there are no prefixes"
        )
        raise ValueError(f"label: {what}; the verifier needs both kinds: draft more, or check the judge")
    return good


def calibrate(logits: npt.ArrayLike, labels: npt.ArrayLike, shifted: bool = True) -> Calibration:
    """The temperature and shift of least cross-entropy (Newton steps on a two-parameter logistic regression).

    Targets are pulled in by one pseudo-prefix of each class (Platt 1999), so that perfectly separated validation data
    give finite numbers. ``shifted=False`` fits the temperature alone.
    """
    good = two_classes(labels)
    x = np.asarray(logits, dtype=np.float64)
    target = np.where(good, (good.sum() + 1) / (good.sum() + 2), 1 / ((~good).sum() + 2))
    free = _newton(x, target, np.array([1.0, 0.0]), np.array([True, shifted]))
    if free[0] < 1 / MAX_TEMPERATURE:
        free = _newton(x, target, np.array([1 / MAX_TEMPERATURE, 0.0]), np.array([False, shifted]))
    return Calibration(temperature=1 / free[0], shift=free[1])


def _newton(x: Vector, target: Vector, start: Vector, free: Labels) -> Vector:
    """Slope and shift; what is not free keeps its start. Steps are halved until the loss falls, which is convex."""
    design = np.stack([x, np.ones_like(x)], axis=1)[:, free]
    fixed = np.stack([x, np.ones_like(x)], axis=1)[:, ~free] @ start[~free]
    found = start[free].copy()

    def loss(parameters: Vector) -> float:
        z = design @ parameters + fixed
        return float(np.mean(np.logaddexp(0.0, z) - target * z))

    for _ in range(_ITERATIONS if free.any() else 0):
        p = sigmoid(design @ found + fixed)
        gradient = design.T @ (p - target) / len(x)
        hessian = (design * (p * (1 - p))[:, None]).T @ design / len(x) + 1e-12 * np.eye(len(found))
        step = np.linalg.solve(hessian, gradient)
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-12:
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-10:
            break
    result = start.copy()
    result[free] = found
    return result


def choose_threshold(probabilities: npt.ArrayLike, labels: npt.ArrayLike, rule: Rule, keep_good: float = 0.96) -> float:
    """The operating point on validation drafts.

    ``keep_good``: the highest threshold that still commits this share of the good prefixes (the paper's 0.50 keeps
    96 %). ``macro_f1``: the highest mean of the F1 of good and of bad. The threshold lies midway between two scores
    that occur, so that rounding decides nothing, and some prefix is always committed.
    """
    good = two_classes(labels)
    p = np.asarray(probabilities, dtype=np.float64)
    levels, place = np.unique(p, return_inverse=True)
    kept_good = good.sum() - np.concatenate([[0], np.cumsum(np.bincount(place, weights=good))])
    kept_bad = (~good).sum() - np.concatenate([[0], np.cumsum(np.bincount(place, weights=~good))])
    if rule == "keep_good":
        cut = int(np.flatnonzero(kept_good >= keep_good * good.sum() - 1e-9)[-1])
    else:
        f1_good = 2 * kept_good / (kept_good + kept_bad + good.sum())
        f1_bad = 2 * ((~good).sum() - kept_bad) / (len(p) - kept_good - kept_bad + (~good).sum())
        cut = int(np.argmax((f1_good + f1_bad)[:-1]))
    if not cut:
        return 0.0
    middle = float((levels[cut - 1] + levels[cut]) / 2)
    return middle if middle > levels[cut - 1] else float(levels[cut])


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10) -> tuple[Bin, ...]:
    """Predicted against observed share of good in bins of equal width over [0, 1]."""
    p, good = np.asarray(probabilities, dtype=np.float64), np.asarray(labels).astype(bool)
    place = np.minimum((p * bins).astype(int), bins - 1)
    found: list[Bin] = []
    for index in range(bins):
        here = place == index
        count = int(here.sum())
        predicted = float(p[here].mean()) if count else (index + 0.5) / bins
        observed = float(good[here].mean()) if count else None
        found.append(
            Bin(low=index / bins, high=(index + 1) / bins, count=count, predicted=predicted, observed=observed)
        )
    return tuple(found)


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: the mean gap between predicted and observed, weighted by count."""
    filled = [(b.count, abs(b.predicted - b.observed)) for b in bins if b.observed is not None]
    return sum(n * gap for n, gap in filled) / max(1, sum(n for n, _ in filled))
