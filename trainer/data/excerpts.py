"""A conversation without the parts in which the user is silent: what learning to listen needs. Pure.

The excerpts of the assistant recipe are 55 % of its audio, and the same accuracy of transcription took half as much
audio (embedded preset). Spans are whole ticks, so that labels keep their places within them.
"""

from __future__ import annotations

import numpy as np

from datagen.core.audio import Signal, Span
from datagen.core.units import FRAME_SAMPLES, from_ms
from trainer.data.rows import Row

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
        shift = at - start
        segments += [
            s.model_copy(
                update={
                    "start": s.start + shift,
                    "end": s.end + shift,
                    "words": tuple(
                        w.model_copy(update={"start": w.start + shift, "end": w.end + shift}) for w in s.words
                    ),
                }
            )
            for s in row.segments
            if s.speaker == "user" and start <= s.start and s.end <= end
        ]
        at += end - start
    cut = row.model_copy(update={"segments": tuple(segments), "events": (), "num_samples": at})
    return np.concatenate([samples[start:end] for start, end in spans]), cut
