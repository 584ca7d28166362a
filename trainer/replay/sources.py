"""Recorded users: a sound file, or the conversations of a dataset's split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datagen.core.types import Split
from datagen.core.units import SAMPLE_RATE, frame_of
from trainer.data.audio import Reader
from trainer.data.index import open_index
from trainer.data.rows import Row

USER_CHANNEL = 1
"""Of a stereo file: 0 is the assistant, 1 the user (DESIGN section 6)."""

SOUND = (".wav", ".flac", ".ogg", ".mp3")

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Talk:
    """One user to listen to."""

    id: str
    user: Pcm
    row: Row | None = None
    """What is known about the recording."""

    def ticks_of(self, speaker: str, kind: str) -> list[int]:
        """Ticks in which segments of the recording begin."""
        found = self.row.segments if self.row else ()
        return [frame_of(s.start) for s in found if s.speaker == speaker and s.kind == kind]

    @property
    def onsets_ms(self) -> list[float]:
        """When the recorded user begins a turn."""
        found = self.row.segments if self.row else ()
        return [1000 * s.start / SAMPLE_RATE for s in found if s.speaker == "user" and s.kind == "turn"]


def talks(source: str, split: Split = "test", limit: int | None = None) -> Iterator[Talk]:
    """The users of a sound file or of a dataset. ValueError for anything else."""
    if Path(source).is_file():
        yield Talk(Path(source).stem, _file(Path(source)))
        return
    if Path(source).suffix.lower() in SOUND:
        raise ValueError(f"{source}: there is no such sound file")
    index = open_index(source, split)
    reader = Reader(index.folder)
    for number in range(min(len(index), limit or len(index))):
        entry = index[number]
        samples = reader.samples(entry, "user")
        yield Talk(entry.id, np.round(samples * 32768).clip(-32768, 32767).astype(np.int16), reader.row(entry))


def _file(path: Path) -> Pcm:
    import soundfile
    import soxr

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is neither a sound file nor a dataset folder: {error}") from error
    if not len(samples):
        raise ValueError(f"{path} has no samples")
    user: Any = samples[:, min(USER_CHANNEL, samples.shape[1] - 1)]
    if rate != SAMPLE_RATE:
        user = soxr.resample(user, rate, SAMPLE_RATE)
    return np.round(user * 32767).clip(-32768, 32767).astype(np.int16)
