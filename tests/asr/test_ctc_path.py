"""Laws of the best path through a CTC model's probabilities."""

from __future__ import annotations

from itertools import groupby, pairwise, product

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from datagen.asr._ctc_path import label_spans

BLANK = 0
VOCABULARY = 5
LABELS = st.lists(st.integers(1, VOCABULARY - 1), max_size=8)
Emissions = npt.NDArray[np.float32]


def emitting(path: list[int], sure: float = 6.0, seed: int = 0) -> Emissions:
    """Log-probabilities with a peak at one label per frame."""
    scores = np.random.default_rng(seed).uniform(0, 1, (len(path), VOCABULARY))
    scores[np.arange(len(path)), path] += sure
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


@st.composite
def paths(draw: st.DrawFn) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """A path of frames, its labels, and the frames of each."""
    path: list[int] = []
    labels: list[int] = []
    spans: list[tuple[int, int]] = []
    for label in draw(LABELS):
        needed = 1 if labels and labels[-1] == label else 0
        path += [BLANK] * draw(st.integers(needed, 4))
        spans.append((len(path), len(path) + draw(st.integers(1, 4))))
        path += [label] * (spans[-1][1] - spans[-1][0])
        labels.append(label)
    return path + [BLANK] * draw(st.integers(0, 4)), labels, spans


@given(paths(), st.integers(0, 99))
def test_clear_peaks_are_covered_exactly(case: tuple[list[int], list[int], list[tuple[int, int]]], seed: int) -> None:
    path, labels, spans = case
    assert label_spans(emitting(path, seed=seed), labels, BLANK) == spans


@given(LABELS, st.integers(0, 30), st.integers(0, 99))
def test_spans_rise_and_fail_only_for_want_of_frames(labels: list[int], frames: int, seed: int) -> None:
    needed = len(labels) + sum(a == b for a, b in pairwise(labels))
    spans = label_spans(emitting([BLANK] * frames, 0, seed), labels, BLANK)
    assert (spans is None) == (frames < needed)
    if spans is not None:
        assert len(spans) == len(labels)
        assert all(0 <= first < stop <= frames for first, stop in spans)
        for (left, a), (right, b) in pairwise(zip(labels, spans, strict=True)):
            assert a[1] + (left == right) <= b[0]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 6), st.integers(0, 999))
def test_no_path_is_better(labels: list[int], frames: int, seed: int) -> None:
    """Against every path there is."""
    emissions = emitting([BLANK] * frames, 0, seed)[:, :4] * np.float32(5)
    scores = {
        path: sum(emissions[frame, label] for frame, label in enumerate(path))
        for path in product(range(4), repeat=frames)
        if [label for label, _ in groupby(path) if label != BLANK] == labels
    }
    spans = label_spans(emissions, labels, BLANK)
    if spans is None:
        assert scores == {}
        return
    found = np.full(frames, BLANK)
    for label, (first, stop) in zip(labels, spans, strict=True):
        found[first:stop] = label
    assert scores[tuple(found.tolist())] > max(scores.values()) - 1e-4


def test_impossible_labels_are_not_found() -> None:
    emissions = np.full((4, VOCABULARY), -np.inf, np.float32)
    emissions[:, BLANK] = 0
    assert label_spans(emissions, [2], BLANK) is None
    assert label_spans(emissions, [], BLANK) == []
    assert label_spans(emissions[:0], [1], BLANK) is None
