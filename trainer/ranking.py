"""How well scores tell good prefixes from bad ones, with weights so that a bootstrap costs little. Pure: numpy alone.

Label True = good. AUROC is the chance that a random good prefix scores above a random bad one, ties counting half.
Average precision is that of *bad* as the class to be found, by falling score: the paper's AP.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainer.calibration import Labels, Vector, two_classes


class Ranking:
    """Scores and labels, sorted once; every figure takes one weight per prefix (default 1)."""

    def __init__(self, labels: npt.ArrayLike, scores: npt.ArrayLike) -> None:
        """ValueError unless there are good and bad labels and every score is a number."""
        self._good = two_classes(labels)
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != self._good.shape or not np.isfinite(values).all():
            raise ValueError(f"scores: {values.size} for {self._good.size} labels, all must be finite")
        self._levels, self._place = np.unique(values, return_inverse=True)

    def auroc(self, weights: Vector | None = None) -> float:
        """NaN where the weights leave only one class."""
        good, bad = self._counts(weights)
        pairs = good.sum() * bad.sum()
        return float(good @ (np.cumsum(bad) - bad / 2) / pairs) if pairs else float("nan")

    def ap_bad(self, weights: Vector | None = None) -> float:
        """Average precision of the bad class; one point per distinct score. NaN without bad ones."""
        good, bad = self._counts(weights)
        found, taken = np.cumsum(bad), np.cumsum(bad + good)
        if not found[-1]:
            return float("nan")
        return float(np.sum(bad * found / np.maximum(taken, np.finfo(float).tiny)) / found[-1])

    def _counts(self, weights: Vector | None) -> tuple[Vector, Vector]:
        """Weight of good and bad at every distinct score, rising."""
        each = np.ones(len(self._place)) if weights is None else weights
        size = len(self._levels)

        def per_level(chosen: Labels) -> Vector:
            return np.bincount(self._place, weights=each * chosen, minlength=size).astype(np.float64)

        return per_level(self._good), per_level(~self._good)
