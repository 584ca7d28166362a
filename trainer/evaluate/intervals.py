"""95 % intervals of anything that is measured over conversations.

Prefixes, turns and events of one dialogue resemble one another, so whole dialogues are drawn again (with replacement,
as many as there are) and every statistic is computed with the number of times each was drawn as its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from datagen.core.ceiling import wilson
from datagen.core.rng import stream
from datagen.core.types import Strict

Vector = npt.NDArray[np.float64]
Statistic = Callable[[Vector], Sequence[float] | Vector]
"""Weights of the items -> figures; NaN where these weights leave a figure undefined."""

REPEATS = 1_000
_TAILS = (0.025, 0.975)


class Estimate(Strict):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """For tables: ``96.3 (95.1 to 97.2)``."""
        return f"{self.value * 100:.1f} ({self.low * 100:.1f} to {self.high * 100:.1f})"

    def plain(self) -> str:
        """For tables: ``0.903 (0.881 to 0.921)``."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class GroupedBootstrap:
    """Percentile intervals by drawing groups again. The same groups and seed give the same draws, in any order."""

    def __init__(self, groups: Sequence[str], seed: int = 0, repeats: int = REPEATS) -> None:
        """``groups``: of every item, the dialogue it belongs to. ValueError without items."""
        if not len(groups):
            raise ValueError("groups: there is nothing to measure")
        names, self._group = np.unique(np.asarray(groups), return_inverse=True)
        self.num_groups, self._seed, self._repeats = len(names), seed, repeats

    def weights(self) -> Iterator[Vector]:
        """Weights of the items, one vector per draw."""
        rng = stream(self._seed, f"{self.num_groups} groups", "bootstrap")
        even = np.full(self.num_groups, 1 / self.num_groups)
        for _ in range(self._repeats):
            yield rng.multinomial(self.num_groups, even).astype(np.float64)[self._group]

    def estimates(self, statistic: Statistic) -> list[Estimate]:
        """Every figure of the statistic with its interval; draws that leave one undefined do not count for it.

        ValueError where a figure is undefined on the data themselves.
        """
        values = np.asarray(statistic(np.ones(len(self._group))), dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"a statistic is undefined on all the data: {values.tolist()}")
        drawn = np.array([statistic(w) for w in self.weights()])
        low, high = np.nanquantile(drawn, _TAILS, axis=0)
        return [_around(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)]

    def share(self, hits: npt.ArrayLike, among: npt.ArrayLike | None = None) -> Estimate:
        """Share of hits among some of the items.

        Where it is 0 or 1 every draw agrees, and Wilson's interval over the groups takes the place of the draws.
        ValueError where ``among`` holds no item.
        """
        chosen = np.ones(len(self._group), dtype=bool) if among is None else np.asarray(among, dtype=bool)
        hit = np.asarray(hits, dtype=bool) & chosen
        if not chosen.any():
            raise ValueError("among: a share of nothing")
        value = float(hit.sum() / chosen.sum())
        if value in (0.0, 1.0):
            trials = len(np.unique(self._group[chosen]))
            return _around(value, *wilson(value * trials, trials))

        def ratio(weights: Vector) -> list[float]:
            total = float(weights @ chosen)
            return [float(weights @ hit) / total if total else float("nan")]

        return self.estimates(ratio)[0]


def _around(value: float, low: float, high: float) -> Estimate:
    """A percentile interval may miss the figure itself by rounding or by skew."""
    return Estimate(value=value, low=min(low, value), high=max(high, value))
