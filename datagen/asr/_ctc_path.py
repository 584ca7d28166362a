"""The most likely way to say a known sequence of labels, given a CTC model's log-probabilities per frame.

Written out here because nothing on the package index does it beside a CPU torch: torchaudio's ``forced_align`` was
removed in 2.9, the standalone aligners exist as sources for a compiler or bring torchaudio along.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from datagen.core.words import Span

_NEVER = np.float32(-np.inf)


def label_spans(emissions: npt.NDArray[np.float32], labels: Sequence[int], blank: int) -> list[Span] | None:
    """The frames ``[first, stop)`` of every label on the best path; None when the frames cannot hold the labels.

    ``emissions`` are log-probabilities [frames, vocabulary]. A path goes through blank, label, blank, label, ... blank;
    it may stay anywhere, leaps over a blank where the labels beside it differ, and cannot go back. Equally good paths:
    the one that stays longest at the end. Memory: one byte per frame and state.
    """
    if not labels:
        return []
    if not len(emissions):
        return None
    states = np.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    leap = np.zeros(states.size, bool)
    leap[3::2] = states[3::2] != states[1:-2:2]
    scores = np.full(states.size, _NEVER)
    scores[:2] = 0
    came_from = np.zeros((len(emissions), states.size), np.int8)
    for frame, row in enumerate(emissions):
        if frame:
            scores, came_from[frame] = _step(scores, leap)
        scores = scores + row[states]
    at = states.size - 1 if scores[-1] > scores[-2] else states.size - 2
    if not np.isfinite(scores[at]):
        return None
    return _spans(_walk_back(came_from, at))


def _step(scores: npt.NDArray[np.float32], leap: npt.NDArray[np.bool_]) -> tuple[npt.NDArray, npt.NDArray]:
    """The best score to arrive at every state with, and how many states back it came from: 0, 1 or 2."""
    ways = np.full((3, scores.size), _NEVER)
    ways[0] = scores
    ways[1, 1:] = scores[:-1]
    ways[2, 2:] = np.where(leap[2:], scores[:-2], _NEVER)
    best = ways.argmax(axis=0)
    return ways[best, np.arange(scores.size)], best.astype(np.int8)


def _walk_back(came_from: npt.NDArray[np.int8], at: int) -> list[int]:
    """The state of every frame, from the state the path ends in."""
    path = [at]
    for row in came_from[:0:-1]:
        at -= int(row[at])
        path.append(at)
    return path[::-1]


def _spans(path: Sequence[int]) -> list[Span]:
    """The frames of every label; odd states are labels."""
    spans: list[Span] = []
    frame = 0
    for state, frames in groupby(path):
        stop = frame + sum(1 for _ in frames)
        if state % 2:
            spans.append((frame, stop))
        frame = stop
    return spans
