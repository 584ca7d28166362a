"""Thresholds: the best one of a teacher-forced pass, and the search where each candidate costs a pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.evaluate.matching import EVENTS, Counts, count
from trainer.evaluate.thresholds import F1, Calibrated, best_threshold, crossings, search
from trainer.firing import Thresholds

START = Thresholds(bos=0.5, stp=0.5, boc=0.5)
CHANCES = st.lists(st.floats(0, 1, width=32), min_size=5, max_size=40).map(lambda c: np.array(c, np.float32))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def f1_at(level: float, chances: list[np.ndarray], truths: list[list[int]], onsets: bool) -> float:
    total = Counts()
    for chance_K, due in zip(chances, truths, strict=True):
        total += count(crossings(chance_K, level, onsets), due)
    return total.f1


@settings(max_examples=50)
@given(st.lists(CHANCES, min_size=1, max_size=2), st.booleans(), st.data())
def test_no_level_is_better(chances: list[np.ndarray], onsets: bool, data: st.DataObject) -> None:
    """Of fewer than 100 probabilities there is a level between any two, so all that can be told apart is tried."""
    truths = [sorted(data.draw(st.sets(st.integers(0, len(c) - 1), min_size=1, max_size=5))) for c in chances]
    level, f1 = best_threshold(chances, truths, onsets=onsets)
    assert f1 == f1_at(level, chances, truths, onsets)
    others = [float(p) for p in np.concatenate(chances) if 0.01 <= p <= 0.99]
    assert all(f1 >= f1_at(p, chances, truths, onsets) for p in others)


def test_what_can_be_told_apart_is() -> None:
    rng = np.random.default_rng(1)
    chances = [rng.uniform(0.05, 0.3, 50).astype(np.float32) for _ in range(4)]
    truths = [[5, 20, 33], [7], [], [48]]
    for chance_K, due in zip(chances, truths, strict=True):
        chance_K[due] = rng.uniform(0.4, 0.9, len(due))
    level, f1 = best_threshold(chances, truths, tolerance=0)
    assert f1 == 1
    assert 0.3 < level <= 0.9


def test_a_run_above_the_level_is_one_event_with_onsets() -> None:
    chance_K = np.array([0.1, 0.6, 0.7, 0.1, 0.8], np.float32)
    assert crossings(chance_K, 0.5) == [1, 2, 4]
    assert crossings(chance_K, 0.5, onsets=True) == [1, 4]
    assert best_threshold([chance_K], [[1, 4]], onsets=True)[1] == 1


def test_nothing_due_says_nothing() -> None:
    level, f1 = best_threshold([np.full(4, 0.3, np.float32)], [[]])
    assert level == 0.5
    assert math.isnan(f1)


def test_probabilities_without_a_middle() -> None:
    """A model that is certain everywhere: any threshold will do."""
    assert best_threshold([np.array([0, 1, 0], np.float32)], [[1]]) == (0.5, 1.0)


class Hills:
    """A score with one peak per event, and how often it was asked."""

    def __init__(self, **peaks: float) -> None:
        self.peaks = peaks
        self.asked: list[Thresholds] = []

    def __call__(self, point: Thresholds) -> F1:
        self.asked.append(point)
        return {kind: 1 - abs(logit(getattr(point, kind)) - logit(self.peaks[kind])) / 10 for kind in EVENTS}


@settings(max_examples=30)
@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_the_search_comes_near_each_peak_and_asks_no_point_twice(bos: float, stp: float, boc: float) -> None:
    hills = Hills(bos=bos, stp=stp, boc=boc)
    found = search(hills, START, 7)
    assert len(hills.asked) == len(set(hills.asked)) == len(found.tried) <= 9
    # Steps of 1 up to 2, then of a half: from 0.5 to 0.9 is 2.2 logits.
    for kind in EVENTS:
        assert abs(logit(getattr(found.thresholds, kind)) - logit(hills.peaks[kind])) <= 0.51
    assert found.mode == "free"
    assert found.conversations == 7


@given(st.integers(0, 10_000))
def test_the_answer_is_the_best_point_that_was_tried(seed: int) -> None:
    """Even where the events' scores depend on each other, or on nothing."""
    rng = np.random.default_rng(seed)
    found = search(lambda point: dict(zip(EVENTS, rng.random(3).tolist(), strict=True)), START, 1)
    means = {point: sum(value or 0.0 for value in scores.values()) for point, scores in found.tried}
    assert means[found.thresholds] == max(means.values())


def test_an_event_that_never_occurs_keeps_its_threshold_and_the_others_are_found() -> None:
    hills = Hills(bos=0.7, stp=0.3, boc=0.5)
    found = search(lambda point: {**hills(point), "boc": float("nan")}, START, 1)
    assert found.thresholds.bos > 0.5 > found.thresholds.stp
    assert found.f1["boc"] is None
    assert Calibrated.model_validate_json(found.model_dump_json()) == found


def test_equally_good_neighbours_give_the_middle() -> None:
    found = search(
        lambda point: {kind: float(getattr(point, kind) >= 0.5) for kind in EVENTS}, START, 1, [(-1, 0, 1, 2)]
    )
    assert found.thresholds == START.moved(1)


def test_without_rounds_the_start_is_the_answer() -> None:
    assert search(Hills(bos=0.9, stp=0.9, boc=0.9), START, 1, ()).thresholds == START


def test_steps_end_before_certainty() -> None:
    assert START.moved(50) == Thresholds(bos=0.99, stp=0.99, boc=0.99)
    assert START.moved(-50) == Thresholds(bos=0.01, stp=0.01, boc=0.01)
    assert START.moved(1).moved(0) == START.moved(1) != START


@pytest.mark.parametrize("bos", [0, -0.1, 1.1])
def test_a_threshold_is_a_probability(bos: float) -> None:
    with pytest.raises(ValidationError):
        Thresholds(bos=bos, stp=0.5, boc=0.5)
