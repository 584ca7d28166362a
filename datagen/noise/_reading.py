"""What the kinds that read noise recordings share: reaching a folder, decoding to mono, resampling to 16 kHz."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from fsspec import AbstractFileSystem

from datagen import files
from datagen.core.units import SAMPLE_RATE

Signal = npt.NDArray[np.float32]


def line(error: Exception) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def reach(path: str) -> tuple[AbstractFileSystem, str]:
    """The file system and the root of a folder of noise; see ``files.reach``."""
    return files.reach(path, "give a folder of noise recordings")


def decode(file: BinaryIO) -> tuple[Signal, int]:
    """All samples of an open sound file with its channels averaged, and its rate; full scale = 1.

    Raises OSError or SoundFileError where it cannot be read, ValueError where it holds samples that are no numbers.
    """
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("holds samples that are no numbers; remove it")
    return mono, int(rate)


def at_16_khz(mono: Signal, rate: int) -> Signal:
    """The signal at 16 kHz without DC, at its own level."""
    resampled = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return (resampled - resampled.mean(dtype=np.float64)).astype(np.float32)
