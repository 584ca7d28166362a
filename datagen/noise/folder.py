"""Noise recordings in a folder, local or on any storage fsspec reaches.

Files of any rate and channel count are averaged to mono, freed of DC and resampled to 16 kHz. Listing opens every file
once and reads as far as the first sound in it; samples are decoded when a clip is read, and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath
from typing import BinaryIO, Literal, cast

import numpy as np
import numpy.typing as npt
import soundfile
from fsspec import AbstractFileSystem
from pydantic import Field

from datagen.kinds import Clip, KindConfig, Need
from datagen.noise._reading import at_16_khz, decode, line, reach

SILENT_RMS = 1e-5
"""-100 dB below full scale: a third of the smallest step of a 16-bit file. Less cannot be scaled to a wanted SNR."""


class Config(KindConfig):
    """Where the recordings are and what may be done with them."""

    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    """A folder or an fsspec URL (``s3://bucket/noise``)."""
    licence: str = Field(min_length=1)
    """Of every file in the folder; give each licence its own folder or its own patterns."""
    origin: str = "recordings in a folder"
    """Where the recordings come from, as it is to appear in the published rows."""
    patterns: tuple[str, ...] = Field(default=("*.wav", "*.flac", "*.ogg", "*.mp3", "*.aiff", "*.aif"), min_length=1)
    """Shell patterns of file names, upper and lower case alike."""
    recursive: bool = True
    scene_from: Literal["name", "parent"] = "parent"
    """parent: the file's folder; name: the file's name up to the first hyphen, without a number at its end
    (``airport`` of TAU's ``airport-lisbon-1-2-a.wav``)."""
    min_seconds: float = Field(default=1.0, gt=0)


@dataclass(frozen=True)
class _Listing:
    clips: tuple[Clip, ...]
    problems: tuple[str, ...]


class Folder:
    """The noise source; the folder is listed when its clips are first asked for."""

    def __init__(self, config: Config, fs: AbstractFileSystem, root: str) -> None:
        self.config = config
        self._fs = fs
        self._root = root

    def clips(self) -> Sequence[Clip]:
        """The usable files in the order of their names, which are their ids (relative to the folder).

        Raises ValueError when there is none.
        """
        listing = self._listing
        if not listing.clips:
            why = f"; the first problem: {listing.problems[0]}" if listing.problems else ""
            patterns = ", ".join(self.config.patterns)
            raise ValueError(f"path: {self.config.path!r} has no usable file among {patterns}{why}; check the folder")
        return listing.clips

    def problems(self) -> list[str]:
        """The files that are left out, each with its reason, in the order of their names."""
        return list(self._listing.problems)

    def read(self, clip: Clip, seed: int) -> npt.NDArray[np.float32]:
        """All of a file as mono samples at 16 kHz without DC, at the file's own level; the seed changes nothing.

        Raises ValueError when the file is missing or cannot be decoded.
        """
        if ".." in PurePosixPath(clip.id).parts:
            raise ValueError(f"clip {clip.id!r} lies outside {self.config.path!r}; use the ids that clips() gives")
        try:
            with self._open(clip.id) as file:
                return at_16_khz(*decode(file))
        except (OSError, soundfile.SoundFileError) as error:
            raise ValueError(f"clip {clip.id!r} in {self.config.path!r} cannot be read: {line(error)}") from error
        except ValueError as error:
            raise ValueError(f"clip {clip.id!r} in {self.config.path!r} {error}") from error

    @cached_property
    def _listing(self) -> _Listing:
        clips: list[Clip] = []
        problems: list[str] = []
        for name in self._names():
            reason = self._problem(name)
            if reason:
                problems.append(f"{name}: {reason}")
            else:
                clips.append(Clip(name, self._scene(name), self.config.licence, self.config.origin))
        return _Listing(tuple(clips), tuple(problems))

    def _names(self) -> list[str]:
        """Paths relative to the folder of the files that match a pattern, sorted."""
        found = self._fs.find(self._root, maxdepth=None if self.config.recursive else 1)
        relative = (str(path)[len(self._root) :].lstrip("/") for path in found)
        wanted = [pattern.lower() for pattern in self.config.patterns]
        return sorted(
            name for name in relative if any(fnmatchcase(PurePosixPath(name).name.lower(), p) for p in wanted)
        )

    def _open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._fs.open(f"{self._root}/{name}", "rb"))

    def _problem(self, name: str) -> str:
        """Why a file cannot be used; empty when it can."""
        try:
            with self._open(name) as file:
                return _unusable(file, self.config.min_seconds)
        except (OSError, soundfile.SoundFileError) as error:
            return f"cannot be read: {line(error)}"

    def _scene(self, name: str) -> str:
        path = PurePosixPath(name)
        if self.config.scene_from == "parent":
            return path.parent.name or PurePosixPath(self._root).name
        return re.sub(r"[\s_]*\d*$", "", path.stem.split("-")[0]) or path.stem


def _unusable(file: BinaryIO, min_seconds: float) -> str:
    """Why an open file cannot be used as noise; empty when it can.

    Its energy around the mean of each second is summed only until it is known not to be silent: usually one second.
    """
    info = soundfile.info(file)
    if info.frames < min_seconds * info.samplerate:
        return f"lasts {info.frames / info.samplerate:.2f} s, less than min_seconds {min_seconds:g}"
    enough = SILENT_RMS**2 * info.frames
    energy = 0.0
    file.seek(0)
    for block in soundfile.blocks(file, info.samplerate, dtype="float32", always_2d=True):
        mono = block.mean(axis=1, dtype=np.float64)
        energy += float(np.sum(np.square(mono - mono.mean())))
        if not np.isfinite(energy):
            return "holds samples that are no numbers"
        if energy >= enough:
            return ""
    return f"is silent: its RMS is below {SILENT_RMS:g} of full scale"


def needs(config: Config) -> Iterator[Need]:
    """The folder."""
    try:
        make(config)
    except ValueError as error:
        yield Need("recordings", "", str(error))
    else:
        yield Need("recordings", config.path)


def make(config: Config) -> Folder:
    """The source of a folder; ValueError when there is no such folder or its storage is not supported here."""
    return Folder(config, *reach(config.path))
