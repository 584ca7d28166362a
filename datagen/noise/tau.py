"""TAU Urban Acoustic Scenes as they come: 2019 and 2020 in clips of 10 s, later editions in slices of 1 s.

The slices of one segment (same scene, city, location, segment and device) are joined again in their order, so that a
noise block of 5 to 10 s is one real recording. Where a slice is missing, the stretches before and after it are clips
of their own. The slices of the evaluation sets have no names to join them by and are refused as too short.

Listing reads names, sizes and ``meta.csv``; of the sound files it opens one per size, since wav files of the same size
are of the same length. Samples are decoded when a clip is read, and not kept.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import StringIO
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import soundfile
from fsspec import AbstractFileSystem
from pydantic import Field

from datagen.core.spreading import shares, spread
from datagen.kinds import Clip, KindConfig, Need
from datagen.noise._reading import at_16_khz, decode, line, reach
from datagen.noise._slices import GAP, UNLABELLED, named, runs

VARIABLE = "TAU_HOME"
TABLE = "meta.csv"
_SOUNDS = (".wav", ".flac")
_REMEDY = (
    "get TAU Urban Acoustic Scenes 2022 Mobile, development dataset (https://doi.org/10.5281/zenodo.6337421), unpack "
    f"all its archives into one folder and name that in path or {VARIABLE}"
)


class Config(KindConfig):
    """Where the data set is and what of it is used."""

    kind: Literal["tau"] = "tau"
    path: str | None = None
    """The folder with ``meta.csv`` and ``audio``, or one above several editions; an fsspec URL will do. None: the
    environment variable TAU_HOME."""
    licence: str = Field(default="LicenseRef-TAU-non-commercial", min_length=1)
    """All editions forbid commercial use; the terms stand in ``manifests/noise.yaml``."""
    origin: str = Field(default="TAU Urban Acoustic Scenes, Tampere University", min_length=1)
    scenes: tuple[str, ...] = ()
    """Such as ``airport`` and ``street_traffic``; empty = all."""
    devices: tuple[str, ...] = ()
    """Such as ``a`` (binaural microphones), ``b`` and ``c`` (phones), ``s1`` (simulated); empty = all."""
    min_seconds: float = Field(default=5.0, gt=0)
    """Of a clip, after joining: the shortest noise block."""
    max_clips: int | None = Field(default=1000, ge=1)
    """Taken evenly over the scenes, and within a scene over cities and places; None = all (7 GB of bank for 64 h)."""


class _Found(NamedTuple):
    """A clip and the files that make it up, in order."""

    clip: Clip
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Label:
    scene: str
    device: str


@dataclass(frozen=True)
class _Listing:
    clips: tuple[Clip, ...]
    files: dict[str, tuple[str, ...]]
    problems: tuple[str, ...]


class Tau:
    """The noise source; the folder is listed when its clips are first asked for."""

    def __init__(self, config: Config, fs: AbstractFileSystem, root: str) -> None:
        self.config = config
        self._fs, self._root = fs, root
        self._seconds_of_size: dict[int, float] = {}

    def clips(self) -> Sequence[Clip]:
        """The clips in order of their ids: a file's path in the data set, for joined slices with their first and last
        number (``airport-lisbon-1000-40000-0..9-a.wav``). ValueError when there is none."""
        listing = self._listing
        if not listing.clips:
            why = f"; {listing.problems[0]}" if listing.problems else f"; {_REMEDY}"
            raise ValueError(f"path: {self._root!r} has no usable clip of TAU Urban Acoustic Scenes{why}")
        return listing.clips

    def problems(self) -> list[str]:
        """What is left out, each with its reason; files with the same fault in one folder share a line."""
        return list(self._listing.problems)

    def read(self, clip: Clip, seed: int) -> npt.NDArray[np.float32]:
        """All of a clip as mono samples at 16 kHz without DC, at the recording's own level; the seed changes nothing.

        Slices are joined at their own rate, so that a joined clip is the same as the recording they were cut from.
        Raises ValueError when a file is missing or cannot be decoded.
        """
        files = self._listing.files.get(clip.id)
        if files is None:
            raise ValueError(f"clip {clip.id!r} is not in {self._root!r}; use the ids that clips() gives")
        parts = [self._decoded(name) for name in files]
        if len({rate for _, rate in parts}) > 1:
            raise ValueError(f"clip {clip.id!r}: its slices have several sampling rates; get the data set again")
        return at_16_khz(np.concatenate([mono for mono, _ in parts]), parts[0][1])

    def _decoded(self, name: str) -> tuple[npt.NDArray[np.float32], int]:
        try:
            with self._open(name) as file:
                return decode(file)
        except (OSError, soundfile.SoundFileError) as error:
            raise ValueError(f"{name!r} cannot be read: {line(error)}") from error
        except ValueError as error:
            raise ValueError(f"{name!r} {error}") from error

    def _open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._fs.open(f"{self._root}/{name}", "rb"))

    @cached_property
    def _listing(self) -> _Listing:
        problems: list[str] = []
        short: dict[tuple[str, str], list[str]] = {}
        usable: list[_Found] = []
        sizes, tables = _survey(self._fs, self._root)
        for found in self._wanted(sorted(sizes), _labels(self._fs, self._root, tables)):
            try:
                seconds = sum(self._seconds(name, sizes[name]) for name in found.files)
            except (OSError, soundfile.SoundFileError) as error:
                problems.append(f"{found.clip.id}: cannot be read: {line(error)}")
                continue
            if seconds >= self.config.min_seconds:
                usable.append(found)
            else:
                what = "slices without a neighbour or a name" if len(found.files) == 1 else "joined slices with gaps"
                short.setdefault((str(PurePosixPath(found.files[0]).parent), what), []).append(found.clip.id)
        for (folder, what), ids in sorted(short.items()):
            problems.append(
                f"{folder}: {len(ids)} clips ({what}; the first is {PurePosixPath(ids[0]).name}) are shorter than "
                f"min_seconds {self.config.min_seconds:g}; lower it to use them"
            )
        kept = self._chosen(usable)
        return _Listing(tuple(f.clip for f in kept), {f.clip.id: f.files for f in kept}, tuple(problems))

    def _wanted(self, names: Sequence[str], labels: Mapping[str, _Label]) -> list[_Found]:
        """Whole files and joined slices of the scenes and devices asked for, in order of their ids."""
        slices: dict[str, dict[int, str]] = {}
        found: dict[str, tuple[str, ...]] = {}
        for name in names:
            parts = named(name)
            if parts.slice is None:
                found[name] = (name,)
            else:
                slices.setdefault(parts.recording, {})[parts.slice] = name
        for recording, numbered in slices.items():
            for run in runs(numbered):
                number = f"{run[0]}" if len(run) == 1 else f"{run[0]}..{run[-1]}"
                before, _, after = recording.rpartition(GAP)
                found[before + number + after] = tuple(numbered[n] for n in run)
        told = {id_: _label(files[0], labels) for id_, files in found.items()}
        _known("scenes", self.config.scenes, {label.scene for label in told.values()})
        _known("devices", self.config.devices, {label.device for label in told.values()})
        return [
            _Found(Clip(id_, told[id_].scene, self.config.licence, self.config.origin), found[id_])
            for id_ in sorted(found)
            if not self.config.scenes or told[id_].scene in self.config.scenes
            if not self.config.devices or told[id_].device in self.config.devices
        ]

    def _seconds(self, name: str, size: int) -> float:
        """Length of a file; a wav file of a size seen before is not opened."""
        if name.endswith(".wav") and size in self._seconds_of_size:
            return self._seconds_of_size[size]
        with self._open(name) as file:
            info = soundfile.info(file)
        seconds = info.frames / info.samplerate
        if name.endswith(".wav"):
            self._seconds_of_size[size] = seconds
        return seconds

    def _chosen(self, usable: Sequence[_Found]) -> list[_Found]:
        """At most ``max_clips``, spread over the scenes."""
        if self.config.max_clips is None:
            return list(usable)
        scenes: dict[str, list[_Found]] = {}
        for found in usable:
            scenes.setdefault(found.clip.scene, []).append(found)
        counts = shares({scene: len(group) for scene, group in scenes.items()}, self.config.max_clips)
        kept = [found for scene, count in counts.items() for found in spread(scenes[scene], count)]
        return sorted(kept, key=lambda found: found.clip.id)


def _entries(fs: AbstractFileSystem, root: str) -> Iterator[tuple[str, int]]:
    """Path inside the root and size of every sound file and table."""
    for folder, _, files in cast("Iterator[tuple[str, Any, dict[str, Any]]]", fs.walk(root, detail=True)):
        inside = folder[len(root) :].strip("/")
        for name, info in files.items():
            if name == TABLE or name.lower().endswith(_SOUNDS):
                yield (f"{inside}/{name}" if inside else name), int(info["size"] or 0)


def _survey(fs: AbstractFileSystem, root: str) -> tuple[dict[str, int], list[str]]:
    """Sizes of the sound files by path inside the root, and where the tables lie."""
    sizes = dict(_entries(fs, root))
    tables = sorted(name for name in sizes if PurePosixPath(name).name == TABLE)
    for table in tables:
        del sizes[table]
    return sizes, tables


def _labels(fs: AbstractFileSystem, root: str, tables: Sequence[str]) -> dict[str, _Label]:
    """What the tables say, by path inside the root; empty where they leave something out."""
    labels: dict[str, _Label] = {}
    for table in tables:
        text = cast(bytes, fs.cat_file(f"{root}/{table}")).decode("utf-8-sig", errors="replace")
        for row in csv.DictReader(StringIO(text), delimiter="\t"):
            if name := row.get("filename"):
                label = _Label(row.get("scene_label") or "", row.get("source_label") or "")
                labels[str(PurePosixPath(table).parent / name)] = label
    return labels


def _label(name: str, labels: Mapping[str, _Label]) -> _Label:
    """From the table, else from the name."""
    parts, told = named(name), labels.get(name, _Label("", ""))
    return _Label(told.scene or parts.scene, told.device or parts.device)


def _known(field: str, asked: Sequence[str], there: set[str]) -> None:
    """ValueError for something asked for that the data set does not have."""
    if unknown := sorted(set(asked) - there):
        are = ", ".join(sorted(there - {"", UNLABELLED})) or "none"
        raise ValueError(f"{field}: there is no {', '.join(unknown)} in this data set; there are: {are}")


def _home(config: Config) -> str:
    path = config.path or os.environ.get(VARIABLE, "")
    if not path:
        raise ValueError(f"path: it is not given and {VARIABLE} is not set; {_REMEDY}")
    return path


def make(config: Config) -> Tau:
    """The source; ValueError when there is no such folder or its storage is not supported here."""
    return Tau(config, *reach(_home(config)))


def fingerprint(config: Config) -> str:
    """A hash of the names and sizes of the sound files and of what the tables say: no sound file is read."""
    return _fingerprint(_home(config))


@lru_cache(maxsize=8)
def _fingerprint(path: str) -> str:
    fs, root = reach(path)
    sizes, tables = _survey(fs, root)
    digest = hashlib.sha256()
    for name, size in sorted(sizes.items()):
        digest.update(f"{name}\x1f{size}\x1e".encode())
    for table in tables:
        digest.update(f"{table}\x1f".encode() + cast(bytes, fs.cat_file(f"{root}/{table}")))
    return digest.hexdigest()


def needs(config: Config) -> Iterator[Need]:
    """The data set."""
    try:
        fs, root = reach(_home(config))
        first = next((name for name, _ in _entries(fs, root) if not name.endswith(TABLE)), None)
    except (ValueError, OSError) as error:
        yield Need("TAU Urban Acoustic Scenes", "", line(error))
        return
    yield Need("TAU Urban Acoustic Scenes", f"{root}, with {first}" if first else "", _REMEDY)
