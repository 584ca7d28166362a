from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.histogram import MAX_BIN, Histogram, distance, distance_to_points, wasserstein

values = st.lists(st.integers(-50_000, 50_000), max_size=40)
some = st.lists(st.integers(-50_000, 50_000), min_size=1, max_size=40)


def counted(numbers: list[int], width: int = 160) -> Histogram:
    histogram = Histogram(width=width)
    for number in numbers:
        histogram.add(number)
    return histogram


@settings(max_examples=40)
@given(values, values, values)
def test_merging_is_associative_and_commutative_and_equals_counting_everything(a, b, c):
    x, y, z = counted(a), counted(b), counted(c)
    assert x.merge(y) == y.merge(x)
    assert x.merge(y).merge(z) == x.merge(y.merge(z)) == counted(a + b + c)


@settings(max_examples=40)
@given(values)
def test_json_depends_on_the_counts_alone(numbers):
    one, other = counted(numbers), counted(numbers[::-1])
    assert one.model_dump_json() == other.model_dump_json()
    assert Histogram.model_validate_json(one.model_dump_json()) == one


@settings(max_examples=40)
@given(some, st.floats(0, 1))
def test_a_quantile_is_within_half_a_bin_of_the_exact_one(numbers, p):
    exact = sorted(numbers)[max(math.ceil(p * len(numbers) - 1e-9), 1) - 1]
    assert abs(counted(numbers).quantile(p) - exact) <= 80


@settings(max_examples=40)
@given(some)
def test_mean_is_within_half_a_bin(numbers):
    assert abs(counted(numbers).mean() - sum(numbers) / len(numbers)) <= 80


def test_values_far_out_are_counted_in_the_outermost_bin():
    histogram = counted([10**12, -(10**12)])
    assert histogram.counts == {MAX_BIN: 1, -MAX_BIN: 1}


@settings(max_examples=40)
@given(some, some, some)
def test_wasserstein_is_a_metric(a, b, c):
    x, y, z = counted(a), counted(b), counted(c)
    assert wasserstein(x, x) == 0
    assert wasserstein(x, y) == pytest.approx(wasserstein(y, x))
    assert wasserstein(x, z) <= wasserstein(x, y) + wasserstein(y, z) + 1e-6


@settings(max_examples=20)
@given(some, st.integers(-100, 100))
def test_a_shift_costs_its_length(numbers, bins):
    moved = counted([n + bins * 160 for n in numbers])
    assert wasserstein(counted(numbers), moved) == pytest.approx(abs(bins) * 160)
    assert distance(counted(numbers), lambda p: moved.quantile(p)) == pytest.approx(abs(bins) * 160)


def test_distance_to_percentiles_compares_only_the_range_they_cover():
    flat = counted(list(range(0, 16_001, 160)))
    assert distance_to_points(flat, ((0.0, 0.0), (1.0, 16_000.0))) < 80
    assert distance_to_points(flat, ((0.25, 4_000.0), (0.5, 8_000.0))) < 80
    assert distance_to_points(flat, ((0.25, 5_000.0), (0.5, 9_000.0))) == pytest.approx(1_000, abs=80)


def test_nothing_counted_gives_nan_not_zero():
    empty, one = Histogram(width=160), counted([0])
    assert math.isnan(empty.mean())
    assert math.isnan(empty.sd())
    assert math.isnan(empty.quantile(0.5))
    assert math.isnan(wasserstein(empty, one))
    assert np.isnan(distance(empty, lambda p: p))


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(ValueError, match="width: cannot merge bins of 160 with bins of 10"):
        Histogram(width=160).merge(Histogram(width=10))
    with pytest.raises(ValueError, match="width: cannot compare bins of 160 with bins of 10"):
        wasserstein(counted([1]), counted([1], 10))
    with pytest.raises(ValueError, match="points: 1 given"):
        distance_to_points(counted([1]), ((0.5, 1.0),))
