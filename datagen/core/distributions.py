"""Distributions of times in milliseconds, as recipes and language files write them.

Each is a frozen value with ``quantile(p)``; a draw is the quantile of one uniform number, so every draw uses exactly
one number of its stream whatever the distribution.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from datagen.core.types import Strict
from datagen.core.units import from_ms

_NORMAL = NormalDist()
_EDGE = 1e-9
"""Draws keep this far from probabilities 0 and 1, where a quantile may be infinite."""
Milliseconds = Annotated[float, Field(allow_inf_nan=False)]


class Fixed(Strict):
    """Always the same."""

    dist: Literal["fixed"]
    ms: Milliseconds

    def quantile(self, p: float) -> float:
        return self.ms


class Uniform(Strict):
    """Flat between two limits."""

    dist: Literal["uniform"]
    low_ms: Milliseconds
    high_ms: Milliseconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high_ms < self.low_ms:
            raise ValueError(f"high_ms {self.high_ms} is below low_ms {self.low_ms}")
        return self

    def quantile(self, p: float) -> float:
        return self.low_ms + p * (self.high_ms - self.low_ms)


class Lognormal(Strict):
    """Skewed and positive: ``sigma`` is the standard deviation of the logarithm; values outside floor..cap are moved
    to the nearer of the two."""

    dist: Literal["lognormal"]
    median_ms: Milliseconds = Field(gt=0)
    sigma: float = Field(ge=0, le=10)
    floor_ms: Milliseconds = 0.0
    cap_ms: Milliseconds = 10_000.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.cap_ms < self.floor_ms:
            raise ValueError(f"cap_ms {self.cap_ms} is below floor_ms {self.floor_ms}")
        return self

    def quantile(self, p: float) -> float:
        value = self.median_ms * float(np.exp(self.sigma * _NORMAL.inv_cdf(p)))
        return min(max(value, self.floor_ms), self.cap_ms)


class Quantiles(Strict):
    """A measured distribution as pairs of (probability, ms), read with straight lines between them."""

    dist: Literal["quantiles"]
    points: tuple[tuple[float, Milliseconds], ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        ps, values = zip(*self.points, strict=True)
        if list(ps) != sorted(set(ps)) or list(values) != sorted(values) or ps[0] != 0 or ps[-1] != 1:
            raise ValueError("points must rise in both columns and run from probability 0 to 1")
        return self

    def quantile(self, p: float) -> float:
        ps, values = zip(*self.points, strict=True)
        return float(np.interp(p, ps, values))


Distribution = Annotated[Fixed | Uniform | Lognormal | Quantiles, Field(discriminator="dist")]


def draw_ms(distribution: Distribution, rng: np.random.Generator) -> float:
    """One value in milliseconds."""
    return distribution.quantile(min(max(float(rng.random()), _EDGE), 1 - _EDGE))


def lowest_ms(distribution: Distribution) -> float:
    """The least value a draw can give."""
    return distribution.quantile(_EDGE)


def draw(distribution: Distribution, rng: np.random.Generator) -> int:
    """One value in samples."""
    return from_ms(draw_ms(distribution, rng))
