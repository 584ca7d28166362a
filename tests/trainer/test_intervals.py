"""Intervals hold the truth as often as they say, also where conversations repeat themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.ceiling import wilson
from datagen.core.rng import stream
from trainer.evaluate.intervals import Estimate, GroupedBootstrap


def test_the_interval_of_a_share_holds_the_truth_although_dialogues_repeat_themselves():
    """60 dialogues of 8 prefixes that all agree: items alone would give intervals less than half as wide."""
    rng, held, width = stream(0, "coverage", "test"), 0, []
    for trial in range(120):
        hits = np.repeat(rng.random(60) < 0.7, 8)
        groups = [f"d{i // 8}" for i in range(480)]
        found = GroupedBootstrap(groups, trial, repeats=200).share(hits)
        held += found.low <= 0.7 <= found.high
        width.append(found.high - found.low)
    assert held / 120 >= 0.88
    low, high = wilson(0.7 * 480, 480)
    assert np.mean(width) > 2 * (high - low)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40), st.integers(0, 3))
def test_an_estimate_lies_in_its_interval_and_does_not_depend_on_the_order(items, seed):
    groups, hits = [f"g{g}" for g, _ in items], np.array([h for _, h in items])
    found = GroupedBootstrap(groups, seed, 100).share(hits)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(hits.mean())
    again = GroupedBootstrap(groups[::-1], seed, 100).share(hits[::-1])
    assert again.model_dump() == pytest.approx(found.model_dump())


@given(st.integers(1, 50), st.integers(1, 4))
def test_where_all_agree_wilson_over_the_groups_takes_over(groups, each):
    names = [f"g{i}" for i in range(groups) for _ in range(each)]
    draws = GroupedBootstrap(names, repeats=10)
    low, high = wilson(groups, groups)
    assert draws.share(np.ones(len(names), bool)) == Estimate(value=1, low=low, high=high)
    assert draws.share(np.zeros(len(names), bool)).high == pytest.approx(1 - low)


def test_a_share_among_some():
    draws = GroupedBootstrap([f"g{i}" for i in range(10)], repeats=50)
    among = np.arange(10) < 4
    assert draws.share(np.arange(10) % 2 == 0, among).value == 0.5
    with pytest.raises(ValueError, match="nothing"):
        draws.share(among, np.zeros(10, bool))


def test_all_figures_of_a_statistic_come_from_the_same_draws():
    draws = GroupedBootstrap([f"g{i}" for i in range(30)], 3, 100)
    values = stream(0, "values", "test").random(30)
    one, twice = draws.estimates(lambda w: [w @ values / w.sum(), 2 * (w @ values) / w.sum()])
    assert twice.low == pytest.approx(2 * one.low)
    assert one == draws.estimates(lambda w: [w @ values / w.sum()])[0]
    assert one != GroupedBootstrap([f"g{i}" for i in range(30)], 4, 100).estimates(lambda w: [w @ values / w.sum()])[0]


def test_draws_that_leave_a_figure_undefined_do_not_count_for_it():
    draws = GroupedBootstrap(["a", "b", "c"], repeats=200)
    (only_a,) = draws.estimates(lambda w: [1.0 if w[0] else float("nan")])
    assert (only_a.low, only_a.high) == (1.0, 1.0)
    with pytest.raises(ValueError, match="undefined on all the data"):
        draws.estimates(lambda _: [float("nan")])
    with pytest.raises(ValueError, match="nothing to measure"):
        GroupedBootstrap([])


def test_how_an_estimate_is_printed():
    estimate = Estimate(value=0.9631, low=0.951, high=0.9724)
    assert estimate.percent() == "96.3 (95.1 to 97.2)"
    assert estimate.plain() == "0.963 (0.951 to 0.972)"
