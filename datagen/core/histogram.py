"""Integer histograms: distributions in constant memory that add up the same in any order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_serializer

MAX_BIN = 30_000
"""Bins farther out are counted in the outermost one: five minutes at 10 ms."""
_GRID = 2_000
"""Points at which two quantile functions are compared; the error is far below one bin."""


class Histogram(BaseModel):
    """Counts of integer values in bins of ``width`` units, each bin centred on a multiple of ``width``.

    A value is known to half a bin. An accumulator, so it is mutable; ``merge`` is associative and commutative and its
    JSON depends on the counts alone.
    """

    model_config = ConfigDict(extra="forbid")

    width: int = Field(gt=0)
    """Size of a bin in the unit of the values (samples, thousandths of a decibel, ...)."""
    counts: dict[int, int] = Field(default_factory=dict[int, int])
    """Bin number -> how many; bin k holds the values from (k - 1/2) to (k + 1/2) widths."""

    @field_serializer("counts")
    def _in_order(self, counts: dict[int, int]) -> dict[int, int]:
        return dict(sorted(counts.items()))

    def add(self, value: int, times: int = 1) -> None:
        """Counts one value; values beyond ``MAX_BIN`` bins go to the outermost bin."""
        bin_ = (2 * value + self.width) // (2 * self.width)
        bin_ = min(max(bin_, -MAX_BIN), MAX_BIN)
        self.counts[bin_] = self.counts.get(bin_, 0) + times

    def merge(self, other: Histogram) -> Histogram:
        """Both together, as a new histogram; ValueError when the bins differ."""
        if self.width != other.width:
            raise ValueError(f"width: cannot merge bins of {self.width} with bins of {other.width}; count them alike")
        counts = dict(self.counts)
        for bin_, count in other.counts.items():
            counts[bin_] = counts.get(bin_, 0) + count
        return Histogram(width=self.width, counts=counts)

    @property
    def n(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    def arrays(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Bin centres in units, rising, and their counts."""
        bins = sorted(self.counts)
        return (
            np.array(bins, dtype=np.float64) * self.width,
            np.array([self.counts[b] for b in bins], dtype=np.int64),
        )

    def mean(self) -> float:
        """Mean of the bin centres; nan when empty."""
        values, counts = self.arrays()
        return float(values @ counts / counts.sum()) if len(counts) else float("nan")

    def sd(self) -> float:
        """Standard deviation of the bin centres; nan when empty."""
        values, counts = self.arrays()
        if not len(counts):
            return float("nan")
        return float(np.sqrt(((values - self.mean()) ** 2) @ counts / counts.sum()))

    def quantile(self, p: float) -> float:
        """The smallest bin centre with at least a share ``p`` of the values at or below it; nan when empty."""
        return float(self.quantiles(np.array([p]))[0])

    def quantiles(self, ps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``quantile`` for many shares at once."""
        values, counts = self.arrays()
        if not len(counts):
            return np.full(len(ps), np.nan)
        reached = [int(c) for c in np.cumsum(counts)]
        # A tiny slack, so that p = k/n finds the k-th value although k/n*n is not exactly k in floating point.
        index = [bisect_left(reached, float(p) * reached[-1] - 1e-9) for p in ps]
        return values[np.minimum(index, len(values) - 1)]


def wasserstein(a: Histogram, b: Histogram) -> float:
    """Wasserstein-1 distance in units: the mean distance a value has to be moved to turn one histogram into the other.

    nan when either is empty; ValueError when the bins differ.
    """
    if a.width != b.width:
        raise ValueError(f"width: cannot compare bins of {a.width} with bins of {b.width}; count them alike")
    if not (a.n and b.n):
        return float("nan")
    bins = np.array(sorted(a.counts.keys() | b.counts.keys()))
    shares = [np.cumsum([h.counts.get(int(k), 0) for k in bins]) / h.n for h in (a, b)]
    return float(np.abs(shares[0] - shares[1])[:-1] @ np.diff(bins)) * a.width


def distance(histogram: Histogram, quantile: Callable[[float], float], low: float = 0.0, high: float = 1.0) -> float:
    """Wasserstein-1 distance in units to a distribution given by its quantile function (in the same unit).

    With ``low`` and ``high`` only that range of probabilities is compared (mean distance between the two quantile
    functions there), for references that were published as a few percentiles.
    """
    ps = low + (np.arange(_GRID) + 0.5) / _GRID * (high - low)
    other = np.array([quantile(float(p)) for p in ps])
    return float(np.abs(histogram.quantiles(ps) - other).mean())


def distance_to_points(histogram: Histogram, points: tuple[tuple[float, float], ...]) -> float:
    """``distance`` to pairs of (probability, value), straight lines between them, over the range they cover.

    ValueError when there are fewer than two pairs.
    """
    if len(points) < 2:
        raise ValueError(f"points: {len(points)} given; a distribution needs at least two (probability, value) pairs")
    ps, values = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    return distance(histogram, lambda p: float(np.interp(p, ps, values)), float(ps[0]), float(ps[-1]))
