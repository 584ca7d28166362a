"""VoxCeleb1 and VoxCeleb2: clips of celebrities' interviews on YouTube, without texts.

    wav/id10001/<video>/00001.wav     VoxCeleb1, with vox1_meta.csv (tabs; gender, nationality)
    aac/id00012/<video>/00001.m4a     VoxCeleb2, with vox2_meta.csv (commas, blanks around them; gender)

The folders with the ids may lie up to four levels below ``path`` (``dev/wav``, ``vox2/test/aac``), both editions
together. The .m4a files have to be converted first: nothing here decodes them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import StringIO
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from datagen.core.spreading import spread
from datagen.kinds import Need, Recording
from datagen.voices._people import Collection, Contents, Speakers, Tree, reach

VARIABLE = "VOXCELEB_HOME"
NATIONS = {"en": ("USA", "UK", "Canada", "Australia", "Ireland", "New Zealand")}
"""As vox1_meta.csv writes them. A nationality suggests the language of an interview, it does not prove it."""
LEVELS = 4
FIRST_OF_ONE = 10_001
"""VoxCeleb1 numbers its people from id10001, VoxCeleb2 up to id09272."""
_ID = re.compile(r"id(\d{5})")
_READABLE = (".flac", ".wav")
_UNREADABLE = (".m4a", ".aac", ".mp4")
_REMEDY = (
    "get VoxCeleb (https://mm.kaist.ac.kr/datasets/voxceleb/), unpack it, and name the folder in path or " + VARIABLE
)
_CONVERT = "ffmpeg -i 00001.m4a -ac 1 -ar 16000 00001.wav"


class Config(Collection):
    """Where the data set is, whom of it to take, and what its people and their audio are under."""

    kind: Literal["voxceleb"] = "voxceleb"
    path: str | None = None
    """None: the environment variable VOXCELEB_HOME."""
    edition: Literal[1, 2] | None = None
    """Only this one; None = what is there, told apart by the ids."""
    nationalities: tuple[str, ...] | None = None
    """Of VoxCeleb1's people, since the data set does not say the language; None = the countries where ``language`` is
    spoken (known for ``en``), empty = everyone. VoxCeleb2 states none: all its people are taken."""
    min_recordings: int = Field(default=3, ge=1)
    licence: str = Field(
        default="LicenseRef-VoxCeleb (for research; the audio belongs to the owners of the videos, not licensed)",
        min_length=1,
    )
    origin: str = Field(default="VoxCeleb, University of Oxford: interviews on YouTube", min_length=1)
    consent: str = Field(default="none: celebrities, recorded from YouTube, who were not asked", min_length=1)
    """Licence and consent as far as they are known; ``manifests/voices.yaml`` has the details."""


@dataclass(frozen=True)
class _Told:
    """What the tables say of a person; empty where they do not."""

    gender: str = ""
    nationality: str = ""


class VoxCeleb(Speakers[Config, str]):
    """The collection: everyone of the editions and nationalities wanted, with recordings from as many videos as
    possible. ``problems`` tells of those left out for another reason than edition and nationality."""

    nobody = "nobody of VoxCeleb"
    remedy = _REMEDY

    def __init__(self, config: Config, tree: Tree, nations: Iterable[str]) -> None:
        super().__init__(config, tree)
        self._nations = frozenset(_plain(nation) for nation in nations)

    @cached_property
    def _found(self) -> tuple[list[str], dict[str, list[str]]]:
        return find(self._tree)

    @cached_property
    def _told(self) -> dict[str, _Told]:
        return {id_: told for table in self._found[0] for id_, told in read_table(self._tree.text(table))}

    def _list(self) -> tuple[dict[str, list[str]], list[str]]:
        """The kept names, and the problems. ValueError when VoxCeleb1 is filtered and vox1_meta.csv is missing."""
        tables, homes = self._found
        wanted = {id_: folders for id_, folders in homes.items() if self.config.edition in (None, edition(id_))}
        if self._nations and not any(t.endswith("vox1_meta.csv") for t in tables) and 1 in map(edition, wanted):
            raise ValueError(
                f"nationalities: {self._tree.root!r} has no vox1_meta.csv to tell them by; put it there, "
                "or give nationalities: [] to take everyone"
            )
        kept: dict[str, list[str]] = {}
        problems: list[str] = []
        for id_, folders in sorted(wanted.items()):
            if edition(id_) == 1 and self._nations and not self._speaks(id_):
                continue
            names, unreadable = recordings([n for folder in folders for n, _ in self._tree.below(folder)])
            if len(names) >= self.config.min_recordings:
                kept[id_] = spread(names, self.config.most_recordings)
            elif unreadable:
                problems.append(f"{id_}: {unreadable} files cannot be read here (.m4a); convert each: {_CONVERT}")
            elif names:
                problems.append(f"{id_}: {self._few(len(names))}")
        return kept, problems

    def _speaks(self, id_: str) -> bool:
        return _plain(self._told.get(id_, _Told()).nationality) in self._nations

    def _recordings(self, id_: str, kept: Sequence[str]) -> list[Recording]:
        return [Recording(self._tree.url(name)) for name in kept]

    def _gender(self, id_: str) -> str:
        return self._told.get(id_, _Told()).gender


def edition(id_: str) -> Literal[1, 2]:
    """Which of the two data sets a person's id is from."""
    return 1 if int(id_[2:]) >= FIRST_OF_ONE else 2


def find(tree: Tree) -> tuple[list[str], dict[str, list[str]]]:
    """Where the tables lie, and each person's folders by id, both within four levels of folders."""
    tables: list[str] = []
    homes: dict[str, list[str]] = {}
    level = [""]
    for _ in range(LEVELS):
        below: list[str] = []
        for name in level:
            folders, files = tree.here(name)
            tables += [f for f, _ in files if re.fullmatch(r"vox[12]_meta\.csv", PurePosixPath(f).name)]
            for folder in folders:
                id_ = PurePosixPath(folder).name
                if _ID.fullmatch(id_):
                    homes.setdefault(id_, []).append(folder)
                else:
                    below.append(folder)
        level = below
    return sorted(tables), homes


def recordings(names: Iterable[str]) -> tuple[list[str], int]:
    """The readable ones among a person's files, one per video and number, in order; and how many are not readable and
    have no readable twin."""
    readable: dict[tuple[str, str], str] = {}
    unreadable: set[tuple[str, str]] = set()
    for name in sorted(names):
        path = PurePosixPath(name)
        take = (path.parent.name, path.stem)
        if name.lower().endswith(_READABLE):
            readable.setdefault(take, name)
        elif name.lower().endswith(_UNREADABLE):
            unreadable.add(take)
    return [readable[take] for take in sorted(readable)], len(unreadable - set(readable))


def read_table(text: str) -> Iterator[tuple[str, _Told]]:
    """(id, what is told) for every row of vox1_meta.csv or vox2_meta.csv, as published or as others have resaved it."""
    header, *rows = csv.reader(StringIO(text), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
    columns = [_plain(cell) for cell in header]
    for row in rows:
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        id_ = next((cell for cell in cells.values() if _ID.fullmatch(cell)), None)
        if id_:
            yield id_, _Told(cells.get("gender", "").lower()[:1], cells.get("nationality", ""))


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


def _nations(config: Config) -> tuple[str, ...]:
    """The nationalities to take; empty = all."""
    if config.nationalities is not None:
        return config.nationalities
    if config.language.split("-")[0] in NATIONS:
        return NATIONS[config.language.split("-")[0]]
    raise ValueError(
        f"nationalities: name those that speak language {config.language!r}, as vox1_meta.csv writes them; [] = all"
    )


def make(config: Config) -> VoxCeleb:
    """The collection; ValueError when there is no such folder."""
    return VoxCeleb(config, reach(config.path, VARIABLE, _REMEDY), _nations(config))


def fingerprint(config: Config) -> str:
    """A hash of the names and sizes of all recordings and of the tables; no recording is read."""
    return _fingerprint(reach(config.path, VARIABLE, _REMEDY))


@lru_cache(maxsize=8)
def _fingerprint(tree: Tree) -> str:
    contents = Contents()
    tables, homes = find(tree)
    for table in tables:
        contents.add_text(table, tree.text(table))
    for folder in sorted(folder for folders in homes.values() for folder in folders):
        contents.add([(n, size) for n, size in tree.below(folder) if n.lower().endswith(_READABLE)])
    return contents.hexdigest()


def needs(config: Config) -> Iterator[Need]:
    """The data set, and the table that nationalities are told by."""
    try:
        tree = reach(config.path, VARIABLE, _REMEDY)
        tables, homes = find(tree)
        nations = _nations(config)
    except (ValueError, OSError) as error:
        yield Need("VoxCeleb", "", " ".join(str(error).split()))
        return
    homes = {id_: folders for id_, folders in homes.items() if config.edition in (None, edition(id_))}
    yield Need("VoxCeleb", f"{len(homes)} people in {tree.root}" if homes else "", _REMEDY)
    if nations and 1 in map(edition, homes):
        there = next((t for t in tables if t.endswith("vox1_meta.csv")), "")
        yield Need("vox1_meta.csv", there, f"put it into {tree.root}, or give nationalities: []")
