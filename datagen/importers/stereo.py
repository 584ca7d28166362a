"""Stereo files with a JSON beside each: what the exporter of this name writes, or a team's own recordings.

    DIR/**/a.wav|flac  a.json      {"segments": [{"speaker": "user", "start": 0.3, "end": 2.5, "text": "Hello there"}]}

Only ``segments`` is needed, with these four keys; ``kind``, ``yielded``, ``text_full`` and ``words`` are taken where
they are given, and so are the other columns of the row. A folder called train, valid, validation, dev or test is the
split. Any sample rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from datagen.core.audio import Pcm
from datagen.core.records import SegmentKind
from datagen.core.types import Speaker, Split, Strict, Word
from datagen.core.units import SAMPLE_RATE
from datagen.importers import _sound
from datagen.importers._base import SPLIT_NAMES, Draft, ImportConfig, Item, Said, folder

KNOWN = ("language", "domain", "source", "profile", "events", "noise", "voices", "licences", "provenance", "quality")
SOUNDS = (".wav", ".flac", ".ogg", ".aiff")


class Config(ImportConfig):
    kind: Literal["stereo"] = "stereo"
    channels: tuple[Speaker, Speaker] = ("assistant", "user")
    """Who is on channel 0 and who on channel 1, where the JSON does not say."""


class _Word(Strict, extra="ignore"):
    """A word; seconds."""

    word: str
    start: float
    end: float
    estimated: bool = False


class _Segment(Strict, extra="ignore"):
    """What somebody says; seconds."""

    speaker: Speaker
    start: float = Field(ge=0)
    end: float
    text: str
    kind: SegmentKind = "turn"
    yielded: bool = False
    text_full: str = ""
    words: tuple[_Word, ...] | None = None


class _Audio(Strict, extra="ignore"):
    """Which file, and who is where in it."""

    path: str = ""
    channels: tuple[Speaker, Speaker] | None = None


class _About(Strict, extra="ignore"):
    """The JSON."""

    id: str = ""
    segments: tuple[_Segment, ...]
    audio: _Audio = _Audio()


class Stereo:
    """See the module."""

    lost = ("whatever the JSON files do not tell (filled in as for other formats: see the module's description)",)

    def __init__(self, config: Config) -> None:
        self._config = config
        first, second = config.channels
        self.notes = (f"channel 0 = {first}, channel 1 = {second} where the JSON does not say (--set channels=[..])",)

    def items(self) -> Iterator[Item]:
        """See Importer."""
        fs, root = folder(self._config)
        sizes = {str(path): int(info["size"] or 0) for path, info in _found(fs, root).items()}
        stems = {path.rsplit(".", 1)[0] for path in sizes if path.endswith(SOUNDS)}
        files = sorted(path for path in sizes if path.endswith(".json") and path.removesuffix(".json") in stems)
        if not files:
            raise ValueError(f"path: {root} holds no sound file with a .json beside it; give the folder of such a set")
        for path in files:
            yield Item(split=self._split(path[len(root) :]), file=path, size=sizes[path])

    def _split(self, path: str) -> Split:
        """The split that a folder on the way names."""
        named: list[Split] = [SPLIT_NAMES[part] for part in path.split("/")[:-1] if part in SPLIT_NAMES]
        return named[0] if named else self._config.split

    def read(self, item: Item) -> Draft:
        """See Importer."""
        fs, root = folder(self._config)
        content: Any = fs.cat_file(item.file)
        raw, about = _parsed(content)
        stem = item.file.removesuffix(".json")
        given = f"{stem.rsplit('/', 1)[0]}/{about.audio.path}"
        path = given if about.audio.path else next((stem + end for end in SOUNDS if fs.exists(stem + end)), stem)
        sides: dict[Speaker, Pcm] = dict(
            zip(about.audio.channels or self._config.channels, _sound.read(fs, path, 2), strict=True)
        )
        said = [_said(segment) for segment in about.segments]
        known = {name: raw[name] for name in KNOWN if raw.get(name) is not None}
        name = about.id or stem[len(root) + 1 :].replace("/", "-")  # files of different folders may share names
        return Draft(name, sides["user"], sides["assistant"], said, known)


def make(config: Config) -> Stereo:
    return Stereo(config)


def _found(fs: Any, root: str) -> Mapping[str, Any]:
    return fs.find(root, detail=True)


def _parsed(content: bytes) -> tuple[dict[str, Any], _About]:
    try:
        raw = json.loads(content)
        return raw, _About.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"the file is no JSON: {error}") from None


def _said(segment: _Segment) -> Said:
    words = tuple(
        Word(text=w.word, start=_sample(w.start), end=_sample(w.end), estimated=w.estimated)
        for w in segment.words or ()
    )
    known = None if segment.words is None else words
    start, end = _sample(segment.start), _sample(segment.end)
    return Said(segment.speaker, start, end, segment.text, segment.kind, segment.yielded, segment.text_full, known)


def _sample(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
