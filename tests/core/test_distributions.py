from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from datagen.core.distributions import (
    Distribution,
    Fixed,
    Lognormal,
    Quantiles,
    Uniform,
    draw,
    draw_ms,
    lowest_ms,
)
from datagen.core.rng import stream
from tests.strategies import distributions

ANY = distributions(-3000, 3000)
INSIDE = st.floats(1e-9, 1 - 1e-9)
ADAPTER: TypeAdapter[Distribution] = TypeAdapter(Distribution)


def limits(distribution: Distribution) -> tuple[float, float]:
    """What no value may leave."""
    match distribution:
        case Fixed(ms=ms):
            return ms, ms
        case Uniform(low_ms=low, high_ms=high):
            return low, high
        case Lognormal(floor_ms=low, cap_ms=high):
            return low, high
        case Quantiles(points=points):
            return points[0][1], points[-1][1]


@given(ANY, INSIDE, INSIDE)
def test_quantiles_rise(distribution: Distribution, p: float, q: float) -> None:
    low, high = sorted((p, q))
    assert distribution.quantile(low) <= distribution.quantile(high) + 1e-9


@given(ANY, INSIDE)
def test_quantiles_stay_within_the_limits(distribution: Distribution, p: float) -> None:
    low, high = limits(distribution)
    assert low - 1e-9 <= distribution.quantile(p) <= high + 1e-9
    assert lowest_ms(distribution) <= distribution.quantile(p) + 1e-9


@given(ANY, st.integers(0, 2**32))
def test_a_draw_uses_one_number_whatever_the_distribution(distribution: Distribution, seed: int) -> None:
    """So that a changed prior leaves all other draws of a conversation as they were."""
    used, reference = stream(seed, "c", "p"), stream(seed, "c", "p")
    value = draw_ms(distribution, used)
    assert value == distribution.quantile(min(max(reference.random(), 1e-9), 1 - 1e-9))
    assert used.random() == reference.random()
    assert draw(distribution, stream(seed, "c", "p")) == pytest.approx(value * 16, abs=0.5 + 1e-6)


@given(ANY)
def test_a_distribution_survives_its_file(distribution: Distribution) -> None:
    assert ADAPTER.validate_json(distribution.model_dump_json()) == distribution


def test_draws_follow_the_quantiles() -> None:
    rng = stream(1, "c", "draws")
    made = Lognormal(dist="lognormal", median_ms=220, sigma=0.4, floor_ms=80, cap_ms=900)
    drawn = np.array([draw_ms(made, rng) for _ in range(4_000)])
    for p in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.mean(drawn <= made.quantile(p)) == pytest.approx(p, abs=0.04)


def test_the_measured_points_are_hit_exactly() -> None:
    points = ((0.0, -400.0), (0.1, -80.0), (0.5, 250.0), (1.0, 2000.0))
    made = Quantiles(dist="quantiles", points=points)
    assert [made.quantile(p) for p, _ in points] == [ms for _, ms in points]
    assert made.quantile(0.3) == pytest.approx(85.0)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"dist": "uniform", "low_ms": 5, "high_ms": 4}, "high_ms 4.0 is below low_ms 5.0"),
        ({"dist": "lognormal", "median_ms": 0, "sigma": 1}, "greater than 0"),
        ({"dist": "lognormal", "median_ms": 9, "sigma": -1}, "greater than or equal to 0"),
        ({"dist": "lognormal", "median_ms": 9, "sigma": 1, "floor_ms": 9, "cap_ms": 8}, "cap_ms 8.0 is below floor_ms"),
        ({"dist": "quantiles", "points": [[0, 1], [1, 0]]}, "must rise in both columns"),
        ({"dist": "quantiles", "points": [[0, 1], [0.5, 2]]}, "from probability 0 to 1"),
        ({"dist": "quantiles", "points": [[0, 1], [0.5, 2], [0.5, 3], [1, 4]]}, "must rise in both columns"),
        ({"dist": "quantiles", "points": [[0, 1]]}, "at least 2"),
        ({"dist": "fixed", "ms": float("nan")}, "finite number"),
        ({"dist": "uniform", "low_ms": 0, "high_ms": float("inf")}, "finite number"),
        ({"dist": "gamma"}, "does not match any of the expected tags"),
        ({"dist": "fixed", "ms": 1, "sd": 2}, "Extra inputs"),
    ],
)
def test_impossible_distributions_are_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(raw)
