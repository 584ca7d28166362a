"""Pairing predictions with truths: laws of the greedy rule, and it finds as many pairs as there can be."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.talks import tokens
from trainer.evaluate.matching import Counts, count, pairs, places, silence, tally

TICKS = st.lists(st.integers(0, 30), max_size=9, unique=True).map(sorted)
TOLERANCES = st.integers(0, 4)
IDS = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 6]), min_size=1, max_size=40)
"""Places in ``ControlTokens.ids`` without [PAD], and one of text."""


def most(predicted: list[int], truth: list[int], tolerance: int) -> int:
    """The size of the largest matching, by trying everything."""

    @cache
    def best(place: int, free: frozenset[int]) -> int:
        if place == len(predicted):
            return 0
        near = [at for at in free if abs(truth[at] - predicted[place]) <= tolerance]
        return max([best(place + 1, free), *(1 + best(place + 1, free - {at}) for at in near)])

    return best(0, frozenset(range(len(truth))))


def ids_of(places: list[int]) -> np.ndarray:
    t = tokens()
    return np.array([t.bos, t.sil, t.boc, t.hod, t.stp, t.eos, 9])[places]


@given(TICKS, TICKS, TOLERANCES)
def test_no_matching_has_more_pairs(predicted: list[int], truth: list[int], tolerance: int) -> None:
    assert len(pairs(predicted, truth, tolerance)) == most(predicted, truth, tolerance)


@given(TICKS, TICKS, TOLERANCES)
def test_pairs_are_near_rising_and_apart(predicted: list[int], truth: list[int], tolerance: int) -> None:
    found = pairs(predicted, truth, tolerance)
    assert all(abs(predicted[p] - truth[t]) <= tolerance for p, t in found)
    for column in zip(*found, strict=True):
        assert all(a < b for a, b in pairwise(column))


@given(TICKS, TICKS, TOLERANCES)
def test_counts_add_up_and_do_not_care_who_predicts(predicted: list[int], truth: list[int], tolerance: int) -> None:
    found, turned = count(predicted, truth, tolerance), count(truth, predicted, tolerance)
    assert (found.tp, found.fp, found.fn) == (turned.tp, turned.fn, turned.fp)
    assert (found.predicted, found.truths) == (len(predicted), len(truth))


@given(TICKS, TOLERANCES, st.data())
def test_shifting_within_the_tolerance_keeps_everything(truth: list[int], tolerance: int, data: st.DataObject) -> None:
    shift = data.draw(st.integers(-tolerance, tolerance))
    assert count([tick + shift for tick in truth], truth, tolerance) == Counts(tp=len(truth))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), TOLERANCES, st.sampled_from([-1, 1]))
def test_shifting_by_more_loses_everything(gaps: list[int], tolerance: int, side: int) -> None:
    """Of events too far apart to be taken for each other."""
    truth = np.cumsum([gap + 2 * tolerance + 2 for gap in gaps]).tolist()
    shifted = [tick + side * (tolerance + 1) for tick in truth]
    assert count(shifted, truth, tolerance) == Counts(fp=len(truth), fn=len(truth))


def test_the_first_truth_within_the_tolerance_is_taken() -> None:
    """Not the nearest: the nearest would leave the second prediction without one."""
    assert pairs([5, 6], [4, 5]) == [(0, 0), (1, 1)]
    assert pairs([5, 7], [4, 5]) == [(0, 0)]


def test_a_second_prediction_for_one_event_is_false() -> None:
    assert count([4, 5], [5]) == Counts(tp=1, fp=1)


def test_figures() -> None:
    found = Counts(tp=3, fp=1) + Counts(fn=2)
    assert (found.precision, found.recall) == (0.75, 0.6)
    assert found.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert Counts(fp=1, fn=1).f1 == 0
    nothing = Counts()
    assert all(map(math.isnan, (nothing.precision, nothing.recall, nothing.f1)))


@given(IDS)
def test_the_labels_score_everything(truth: list[int]) -> None:
    t, ids_K = tokens(), ids_of(truth)
    for kind, found in tally(ids_K, ids_K, t).items():
        assert (found.fp, found.fn) == (0, 0)
        quiet = np.isin(ids_K, [t.sil, t.hod]) if kind == "sil" else ids_K == getattr(t, kind)
        assert found.tp == quiet.sum()


@given(IDS, st.data())
def test_ticks_of_text_count_for_nothing(truth: list[int], data: st.DataObject) -> None:
    t, truth_K = tokens(), ids_of(truth)
    size = len(truth)
    predicted_K = ids_of(data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 6]), min_size=size, max_size=size)))
    at = data.draw(st.integers(0, len(truth)))
    longer_K, labels_K = np.insert(predicted_K, at, 9), np.insert(truth_K, at, t.eos)
    quiet, acts = (t.sil, t.hod), (t.bos, t.boc, t.stp)
    assert silence(longer_K, labels_K, quiet, acts) == silence(predicted_K, truth_K, quiet, acts)


def test_silence_in_place_of_an_event_is_false_and_the_other_way_round_missed() -> None:
    t = tokens()
    truth_K = np.array([t.sil, t.bos, 9, t.eos, t.hod, t.stp, t.sil])
    predicted_K = np.array([t.sil, t.sil, t.sil, 9, t.sil, t.hod, t.bos])
    assert tally(predicted_K, truth_K, t)["sil"] == Counts(tp=2, fp=2, fn=1)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 ticks were emitted for 2 labels"):
        tally(np.zeros(3, np.int64), np.zeros(2, np.int64), tokens())


def test_places_are_the_ticks_of_a_token() -> None:
    assert places(np.array([4, 1, 4]), 4) == [0, 2]
