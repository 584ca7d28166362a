"""Recordings of your own, or of any corpus that keeps each speaker in a folder.

    PATH/<speaker>/**/x.wav (or .flac)      LibriTTS: train-clean-100/84/121123/84_121123_000007_000000.wav
                      x.normalized.txt      what is said in it, or x.txt; both optional
    PATH/metadata.csv                       or one per speaker: name | text (LJSpeech), or a header with file and text
    PATH/speakers.tsv                       or beside PATH: READER, GENDER (LibriTTS); optional

Where a recording has a text it is believed, so it must be what is said, word for word.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from io import StringIO
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from pydantic import Field

from datagen.core.spreading import spread
from datagen.kinds import Need, Recording
from datagen.voices._people import Collection, Contents, Speakers, Tree, reach

SOUNDS = (".flac", ".wav")
TEXTS = (".normalized.txt", ".txt")
"""Endings of a transcript beside its recording, best first."""
TABLE = "metadata.csv"
SPEAKERS = "speakers.tsv"
_FILE_COLUMNS = ("file", "file_name", "filename", "path", "name", "id")
_TEXT_COLUMNS = ("normalized_text", "text", "transcript", "transcription", "sentence")
_ID_COLUMNS = ("reader", "speaker", "speaker_id", "id")
_GENDER_COLUMNS = ("gender", "sex")
_VOICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_REMEDY = "give a folder that holds one folder of .wav or .flac files per speaker"


class Config(Collection):
    """Where the recordings are, and what the people in them have agreed to."""

    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._+-]*$")
    """Of the voices' ids, before the folder's name: keeps the speakers of two corpora apart."""


class _Kept(NamedTuple):
    """A recording and the file with its text, if there is one."""

    name: str
    text: str


class Folder(Speakers[Config, _Kept]):
    """The collection: every folder with enough recordings is a person."""

    nobody = "no speaker"
    remedy = _REMEDY

    def _list(self) -> tuple[dict[str, list[_Kept]], list[str]]:
        kept: dict[str, list[_Kept]] = {}
        problems: list[str] = []
        for folder in self._tree.here()[0]:
            id_ = self.config.prefix + folder
            found = _recordings([name for name, _ in self._tree.below(folder)])
            if not _VOICE_ID.fullmatch(id_):
                problems.append(f"{folder}: the name is no id; rename it to letters, digits and . _ + - alone")
            elif len(found) >= self.config.min_recordings:
                kept[id_] = spread(found, self.config.most_recordings)
            elif found:
                problems.append(f"{folder}: {self._few(len(found))}")
            else:
                problems.append(f"{folder}: holds no .wav or .flac file")
        return kept, problems

    @cached_property
    def _genders(self) -> dict[str, str]:
        """By the folder's name; from the table in the folder, else from the one beside it."""
        tree = _home_of_speakers(self._tree)
        return _read_genders(tree.text(SPEAKERS)) if tree else {}

    @cached_property
    def _common(self) -> dict[str, str]:
        return self._table("")

    def _table(self, folder: str) -> dict[str, str]:
        """The texts of the table that lies directly in a folder."""
        name = f"{folder}/{TABLE}".lstrip("/")
        if not self._tree.holds(name):
            return {}
        try:
            return _read_texts(self._tree.text(name))
        except csv.Error as error:
            raise ValueError(f"path: {name} cannot be read as a table: {error}") from None

    def _folder(self, id_: str) -> str:
        return id_.removeprefix(self.config.prefix)

    def _gender(self, id_: str) -> str:
        return self._genders.get(self._folder(id_), "")

    def _recordings(self, id_: str, kept: Sequence[_Kept]) -> list[Recording]:
        told = self._common | self._table(self._folder(id_))
        return [self._recording(one, told) for one in kept]

    def _recording(self, kept: _Kept, told: dict[str, str]) -> Recording:
        """With the text beside it, else with that a table gives for its path or its name."""
        stem = PurePosixPath(kept.name).with_suffix("")
        text = self._tree.text(kept.text) if kept.text else told.get(str(stem)) or told.get(stem.name, "")
        return Recording(self._tree.url(kept.name), " ".join(text.split()))


def _recordings(names: Sequence[str]) -> list[_Kept]:
    """The sound files among a speaker's files, in order, one where both formats are there, with their texts."""
    there = set(names)
    found: dict[str, _Kept] = {}
    for name in sorted(names):
        if name.lower().endswith(SOUNDS):
            stem = str(PurePosixPath(name).with_suffix(""))
            text = next((stem + ending for ending in TEXTS if stem + ending in there), "")
            found.setdefault(stem, _Kept(name, text))
    return [found[stem] for stem in sorted(found)]


def _home_of_speakers(tree: Tree) -> Tree | None:
    """Where the table of the speakers lies: in the folder, beside it, or nowhere."""
    beside = Tree(tree.fs, tree.root.rpartition("/")[0])
    return next((place for place in (tree, beside) if place.root and place.holds(SPEAKERS)), None)


def _read_texts(text: str) -> dict[str, str]:
    """A table's texts by name without suffix; without a header the first column is the name, the last the text."""
    first = text.partition("\n")[0]
    mark = next((m for m in ("|", "\t") if m in first), ",")
    rows = list(
        csv.reader(StringIO(text), delimiter=mark, quoting=csv.QUOTE_NONE if mark == "|" else csv.QUOTE_MINIMAL)
    )
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    name = next((header.index(c) for c in _FILE_COLUMNS if c in header), None)
    said = next((header.index(c) for c in _TEXT_COLUMNS if c in header), None)
    if name is None or said is None:
        name, said = 0, -1
    else:
        rows = rows[1:]
    return {
        re.sub(r"\.(wav|flac)$", "", row[name].strip(), flags=re.IGNORECASE): row[said]
        for row in rows
        if len(row) > max(name, said, 1)
    }


def _read_genders(text: str) -> dict[str, str]:
    """A table's genders by speaker, ``m`` or ``f``."""
    found: dict[str, str] = {}
    for row in csv.DictReader(StringIO(text), delimiter="\t"):
        cells = {str(key).strip().casefold(): str(cell or "").strip() for key, cell in row.items()}
        id_ = next((cells[c] for c in _ID_COLUMNS if cells.get(c)), "")
        gender = next((cells[c] for c in _GENDER_COLUMNS if cells.get(c)), "").casefold()[:1]
        if id_ and gender in ("m", "f"):
            found[id_] = gender
    return found


def make(config: Config) -> Folder:
    """The collection; ValueError when there is no such folder."""
    return Folder(config, reach(config.path, "", _REMEDY))


def fingerprint(config: Config) -> str:
    """A hash of the names and sizes of recordings and texts, and of the tables; no recording is read."""
    return _fingerprint(reach(config.path, "", _REMEDY))


@lru_cache(maxsize=8)
def _fingerprint(tree: Tree) -> str:
    contents = Contents()
    if (home := _home_of_speakers(tree)) is not None:
        contents.add_text(SPEAKERS, home.text(SPEAKERS))
    if tree.holds(TABLE):
        contents.add_text(TABLE, tree.text(TABLE))
    for folder in tree.here()[0]:
        files = tree.below(folder)
        contents.add([(name, size) for name, size in files if name.lower().endswith((*SOUNDS, ".txt"))])
        for name, _ in files:
            if name == f"{folder}/{TABLE}":
                contents.add_text(name, tree.text(name))
    return contents.hexdigest()


def needs(config: Config) -> Iterator[Need]:
    """The folder."""
    try:
        tree = reach(config.path, "", _REMEDY)
        folders = tree.here()[0]
    except (ValueError, OSError) as error:
        yield Need("voices", "", " ".join(str(error).split()))
        return
    yield Need("voices", f"{len(folders)} folders in {tree.root}" if folders else "", _REMEDY)
