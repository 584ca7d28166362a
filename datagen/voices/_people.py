"""What the collections of voices share: a walk over a tree of speakers, and speakers made when they are asked for.

A collection can hold a million recordings. A listing keeps of each speaker a few names, spread evenly over their
recordings in order, so that they come from many sessions; texts are read when a speaker is asked for.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

from fsspec import AbstractFileSystem
from pydantic import Field

from datagen.files import reach as reach_folder
from datagen.kinds import KindConfig, Person, Recording

C = TypeVar("C", bound="Collection")
"""The config of a collection."""
K = TypeVar("K")
"""What a collection keeps of a recording until its speaker is asked for."""


class Collection(KindConfig):
    """What every collection's config has."""

    path: str | None = None
    """The folder of the collection; an fsspec URL will do."""
    language: str = Field(default="en", min_length=2)
    """That its people speak."""
    min_recordings: int = Field(default=1, ge=1)
    """People with fewer are left out."""
    most_recordings: int = Field(default=60, ge=1)
    """Of one person that are looked at, evenly spread over all."""
    licence: str = Field(min_length=1)
    """Of the recordings; it goes into the licences of every row that a cloned voice is heard in."""
    consent: str = Field(min_length=1)
    """What the speakers have agreed to, in a few words: "given for synthesis", "none"."""
    origin: str = Field(min_length=1)
    """Where the recordings come from, as it is to appear in the published rows."""


@dataclass(frozen=True)
class Tree:
    """A folder on any file system."""

    fs: AbstractFileSystem
    root: str

    def url(self, name: str) -> str:
        """A path inside the folder as one that any process can open."""
        return str(self.fs.unstrip_protocol(f"{self.root}/{name}")) if self.remote else f"{self.root}/{name}"

    @property
    def remote(self) -> bool:
        """Whether it is not on a disk of this machine."""
        return "file" not in self.fs.protocol

    def here(self, name: str = "") -> tuple[list[str], list[tuple[str, int]]]:
        """The folders, and the files with their sizes, that lie directly in a folder inside the tree, in order."""
        _, folders, files = next(self._walk(name, 1), ("", {}, {}))
        inside = f"{name}/" if name else ""
        return (
            sorted(inside + f for f in folders if not f.startswith(".")),
            sorted((inside + f, int(info["size"] or 0)) for f, info in files.items()),
        )

    def below(self, name: str) -> list[tuple[str, int]]:
        """All files under a folder inside the tree with their sizes, in order of their paths inside the tree."""
        found: list[tuple[str, int]] = []
        for folder, _, files in self._walk(name, None):
            inside = folder[len(self.root) :].strip("/")
            found += [(f"{inside}/{f}", int(info["size"] or 0)) for f, info in files.items()]
        return sorted(found)

    def holds(self, name: str) -> bool:
        """Whether there is a file of this path inside the tree."""
        return bool(self.fs.isfile(f"{self.root}/{name}"))

    def text(self, name: str) -> str:
        """A small text file; bytes that are no UTF-8 are replaced."""
        return cast(bytes, self.fs.cat_file(f"{self.root}/{name}")).decode("utf-8-sig", errors="replace")

    def _walk(self, name: str, depth: int | None) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        path = f"{self.root}/{name}".rstrip("/")
        return cast("Iterator[tuple[str, dict[str, Any], dict[str, Any]]]", self.fs.walk(path, depth, detail=True))


def reach(path: str | None, variable: str, remedy: str) -> Tree:
    """The tree of a folder; ``path`` None: that an environment variable names ("" = there is none).

    ValueError with the remedy when nothing is named or it is no folder.
    """
    path = path or (os.environ.get(variable, "") if variable else "")
    if not path:
        raise ValueError(f"path: it is not given{f' and {variable} is not set' if variable else ''}; {remedy}")
    return Tree(*reach_folder(path, remedy))


class Roster(Sequence[Person]):
    """People in order of id, each made when asked for."""

    def __init__(self, ids: Sequence[str], make: Callable[[str], Person]) -> None:
        self._ids, self._make = tuple(sorted(ids)), make

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Person: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Person]: ...

    def __getitem__(self, place: int | slice) -> Person | Sequence[Person]:
        """One person, or a roster of some."""
        if isinstance(place, slice):
            return Roster(self._ids[place], self._make)
        return self._make(self._ids[place])


class Speakers(ABC, Generic[C, K]):
    """A collection in a tree, which is walked when its people or problems are first asked for."""

    nobody: ClassVar[str]
    """What there is none of where nobody can be used."""
    remedy: ClassVar[str]
    """What to do where nobody is there."""

    def __init__(self, config: C, tree: Tree) -> None:
        self.config = config
        self._tree = tree

    def people(self) -> Sequence[Person]:
        """Everyone who can be used, in order of id. ValueError when there is nobody, or what ``_list`` raises."""
        kept, problems = self._listing
        if not kept:
            why = f"the first problem: {problems[0]}" if problems else self.remedy
            raise ValueError(f"path: {self._tree.root!r} has {self.nobody} that can be used; {why}")
        return Roster(list(kept), self._person)

    def problems(self) -> list[str]:
        """Whoever is left out, each with the reason."""
        return self._listing[1]

    @cached_property
    def _listing(self) -> tuple[Mapping[str, Sequence[K]], list[str]]:
        return self._list()

    @abstractmethod
    def _list(self) -> tuple[Mapping[str, Sequence[K]], list[str]]:
        """What is kept of each person's recordings, by id; and the problems."""

    @abstractmethod
    def _recordings(self, id_: str, kept: Sequence[K]) -> Sequence[Recording]:
        """A person's recordings, of what was kept of them."""

    @abstractmethod
    def _gender(self, id_: str) -> str:
        """``m``, ``f``, or empty where it is not told."""

    def _few(self, count: int) -> str:
        """The problem of a person with too few recordings."""
        return f"has {count} recordings, fewer than min_recordings {self.config.min_recordings}"

    def _person(self, id_: str) -> Person:
        config = self.config
        return Person(
            id=id_,
            language=config.language,
            origin=config.origin,
            licence=config.licence,
            consent=config.consent,
            recordings=tuple(self._recordings(id_, self._listing[0][id_])),
            gender=self._gender(id_),
        )


class Contents:
    """A hash of names and sizes, and of the texts of tables; of sound files nothing is read."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, files: Sequence[tuple[str, int]]) -> None:
        for name, size in files:
            self._digest.update(f"{name}\x1f{size}\x1e".encode())

    def add_text(self, name: str, text: str) -> None:
        self._digest.update(f"{name}\x1f{text}\x1e".encode())

    def hexdigest(self) -> str:
        """Of everything added so far, in the order in which it was added."""
        return self._digest.hexdigest()
