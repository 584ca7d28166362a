"""What the kinds that read noise recordings share: reaching a folder, decoding to mono, resampling to 16 kHz."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from datagen.core.units import SAMPLE_RATE

Signal = npt.NDArray[np.float32]


def line(error: Exception) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def reach(path: str) -> tuple[AbstractFileSystem, str]:
    """The file system and the root, without a slash at its end, of a folder or an fsspec URL.

    ValueError when there is no such folder or its storage is not supported here.
    """
    try:
        fs, root = url_to_fs(path)
        exists = fs.isdir(root)
    except (ImportError, OSError, ValueError) as error:
        raise ValueError(f"path: {path!r} cannot be reached: {line(error)}") from error
    if not exists:
        raise ValueError(f"path: there is no folder {path!r}; give a folder of noise recordings")
    return fs, str(root).rstrip("/")


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
