"""A conversation without the parts in which the user is silent: what learning to listen needs. Pure.

The excerpts of the assistant recipe are 55 % of its audio, and the same accuracy of transcription took half as much
audio (embedded preset). Spans are whole ticks, so that labels keep their places within them.

The assistant's turns are speech too, and its channel is clean: with the noise of the user's channel they are as good to
listen to, and there are more of them (``swapped``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from datagen.core.audio import Signal, Span
from datagen.core.units import FRAME_SAMPLES, from_ms
from trainer.data.audio import Reader
from trainer.data.augment import Transform
from trainer.data.index import Index
from trainer.data.loader import Example, Pick
from trainer.data.rows import Row, Segment

BEFORE, AFTER = from_ms(400), from_ms(500)
"""Samples of silence that stay around the user's segments: ends of turns are to be heard as such."""


def spans_of(row: Row) -> list[Span]:
    """The parts with the user's segments in them, in order and apart, in whole ticks but for the conversation's end."""
    found: list[Span] = []
    for segment in row.segments:
        if segment.speaker != "user":
            continue
        start = max(segment.start - BEFORE, 0) // FRAME_SAMPLES * FRAME_SAMPLES
        end = min(-(-(segment.end + AFTER) // FRAME_SAMPLES) * FRAME_SAMPLES, row.num_samples)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def excerpt(samples: Signal, row: Row) -> tuple[Signal, Row]:
    """The parts joined, and their row: the user's segments alone, on the excerpt's clock.

    A conversation in which the user says nothing stays as it is.
    """
    spans = spans_of(row)
    if not spans:
        return samples, row
    segments, at = [], 0
    for start, end in spans:
        inside = (s for s in row.segments if s.speaker == "user" and start <= s.start and s.end <= end)
        segments += [_moved(segment, at - start) for segment in inside]
        at += end - start
    cut = row.model_copy(update={"segments": tuple(segments), "events": (), "num_samples": at})
    return np.concatenate([samples[start:end] for start, end in spans]), cut


def swapped(user: Signal, assistant: Signal, row: Row) -> tuple[Signal, Row]:
    """A conversation as if its user had said what the assistant says, cut turns left out, in the user's noise.

    The noise is what the user's channel holds where the user is silent, as often as it takes.
    """
    silent_N = np.ones(row.num_samples, np.bool_)
    for start, end in spans_of(row):
        silent_N[start:end] = False
    noise = user[silent_N]
    return (assistant + np.resize(noise, assistant.shape) if noise.size else assistant), _swapped(row)


def _swapped(row: Row) -> Row:
    said = (s for s in row.segments if s.speaker == "assistant" and not s.yielded)
    segments = tuple(s.model_copy(update={"speaker": "user"}) for s in said)
    return row.model_copy(update={"id": f"{row.id}@assistant", "segments": segments, "events": ()})


class Excerpts(Dataset[Example]):
    """The excerpts of an index by ``Pick``: the user's parts of every conversation, then the assistant's."""

    def __init__(self, index: Index, transform: Transform) -> None:
        self._index, self._transform = index, transform
        self._reader = Reader(index.folder)

    def __len__(self) -> int:
        return 2 * len(self._index)

    def __getitem__(self, pick: Pick) -> Example:
        entry = self._index[pick.row % len(self._index)]
        row, samples = self._reader.row(entry), self._reader.samples(entry)
        if pick.row >= len(self._index):
            samples, row = swapped(samples, self._reader.samples(entry, "assistant"), row)
        samples, row = excerpt(self._transform(samples, row, pick.epoch), row)
        return Example(pick, row, samples, None, {})

    def num_samples(self) -> npt.NDArray[np.int64]:
        """Of each excerpt."""
        rows = [self._reader.row(self._index[number]) for number in range(len(self._index))]
        both = [*rows, *map(_swapped, rows)]
        return np.array([sum(end - start for start, end in spans_of(row)) or row.num_samples for row in both], np.int64)


def _moved(segment: Segment, shift: int) -> Segment:
    update = {"start": segment.start + shift, "end": segment.end + shift}
    return segment.model_copy(update={**update, "words": tuple(word.moved(shift) for word in segment.words)})
