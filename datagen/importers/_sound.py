"""Sound files of any rate and width as 16 kHz samples of 16 bits, and where somebody speaks in them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import soundfile
from fsspec import AbstractFileSystem

from datagen.core.audio import Pcm, joined, to_pcm16
from datagen.core.units import SAMPLE_RATE, from_ms

TOLERANCE = from_ms(100)
"""By which the two sides of a conversation may differ in length; what is over is cut off."""
FRAME = from_ms(20)
OVER_FLOOR = 10.0
"""Amplitude of speech over that of the quietest tenth of the frames (20 dB)."""
AUDIBLE = 100.0
"""Least amplitude of speech, of 32,768 (-50 dBFS)."""
PAUSE = from_ms(500)
SHORTEST = from_ms(120)


def read(fs: AbstractFileSystem, path: str, channels: int) -> list[Pcm]:
    """The channels of a file; ValueError when it is missing, no sound file, empty, or has other channels."""
    if not fs.exists(path):
        raise ValueError(f"audio: there is no file {path}")
    content: Any = fs.cat_file(path)
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            rate, found = file.samplerate, file.channels
            exact = rate == SAMPLE_RATE and file.subtype == "PCM_16"
            samples: Any = file.read(dtype="int16" if exact else "float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"audio: {path} is no sound file: {error.error_string}") from error
    if found != channels or not len(samples):
        raise ValueError(f"audio: {path} has {found} channels and {len(samples)} samples; {channels} channels are read")
    return [np.ascontiguousarray(side) if exact else _converted(side, rate) for side in samples.T]


def _converted(side: Any, rate: int) -> Pcm:
    """A channel at our rate."""
    import soxr

    resampled = side if rate == SAMPLE_RATE else soxr.resample(side, rate, SAMPLE_RATE)
    return to_pcm16(np.ascontiguousarray(resampled, np.float32))[0]


def same_length(user: Pcm, assistant: Pcm) -> tuple[Pcm, Pcm]:
    """Both sides as long as the shorter one; ValueError when they differ by more than a tenth of a second."""
    if abs(len(user) - len(assistant)) > TOLERANCE:
        raise ValueError(f"audio: the user has {len(user)} samples, the assistant {len(assistant)}; align them first")
    length = min(len(user), len(assistant))
    return user[:length], assistant[:length]


def speech(pcm: Pcm) -> Iterator[tuple[int, int]]:
    """Where somebody speaks, by loudness alone: louder than the quietest tenth by 20 dB; gaps below half a second count
    as speech. Good enough for a channel of its own without a transcript, no replacement for one."""
    count = len(pcm) // FRAME
    if not count:
        return
    frames = pcm[: count * FRAME].reshape(count, FRAME).astype(np.float32)
    level = np.sqrt(np.mean(np.square(frames), axis=1))
    loud = level > max(AUDIBLE, OVER_FLOOR * float(np.quantile(level, 0.1)))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    spans = [(int(a) * FRAME, int(b) * FRAME) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    yield from ((start, end) for start, end in joined(spans, PAUSE) if end - start >= SHORTEST)
