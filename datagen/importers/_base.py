"""What an importer is: it lists the conversations of a set, and reads one of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from fsspec import AbstractFileSystem
from pydantic import Field

from datagen.core.audio import Pcm
from datagen.core.records import SegmentKind
from datagen.core.types import Speaker, Split, Strict, Word
from datagen.files import reach
from datagen.kinds import KindConfig

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
}
"""What files and folders are called -> the split."""


class ImportConfig(KindConfig):
    """Base of the formats' settings: where the set is, and what it does not say itself."""

    aside: ClassVar[frozenset[str]] = frozenset({"path"})
    path: str
    """The set's folder, or an fsspec URL."""
    name: str = Field(default="", pattern=r"^[\w.-]*$")
    """Of the dataset; default ``import-<format>``."""
    language: str = ""
    """A code such as ``en``."""
    licence: str = ""
    """Under which the set may be used, an SPDX id where there is one."""
    domain: str = "general"
    origin: str = ""
    """Where the voices come from; default ``imported from <format>``."""
    consent: str = "not known"
    """What the speakers agreed to."""
    split: Split = "train"
    """Of conversations whose file or folder names none."""
    per_file: int = Field(default=500, ge=1)
    """Conversations in a Parquet file."""


def dataset_name(config: ImportConfig) -> str:
    """What the dataset is called in its manifest and rows."""
    return config.name or f"import-{config.kind}"


class Item(Strict):
    """A conversation in the set: where it stands."""

    split: Split
    file: str
    """Path in the file system of the set."""
    start: int = 0
    """Of its line in the file, in bytes."""
    size: int
    """Of its line, or of the file."""


@dataclass(frozen=True)
class Said:
    """What a speaker says at a time, in samples at 16 kHz."""

    speaker: Speaker
    start: int
    end: int
    text: str
    kind: SegmentKind = "turn"
    yielded: bool = False
    text_full: str = ""
    """Empty where the format tells only what is heard."""
    words: tuple[Word, ...] | None = None
    """None: their times are not known."""


@dataclass
class Draft:
    """A conversation as the format tells it."""

    id: str
    user: Pcm
    assistant: Pcm
    said: list[Said]
    known: dict[str, Any] = field(default_factory=dict)
    """Columns of the row that the format holds as they are."""
    voices: Mapping[Speaker, str] = field(default_factory=dict)
    """Ids of the voices; empty where they are not known."""


class Importer(Protocol):
    """A foreign set."""

    lost: Sequence[str]
    """Columns, or fields of one, that the set does not tell: what stands in their place in brackets."""
    notes: Sequence[str]

    def items(self) -> Iterator[Item]:
        """Its conversations, in an order that follows from the set; ValueError when it is no set of this format."""
        ...

    def read(self, item: Item) -> Draft:
        """One conversation; ValueError when it cannot be used."""
        ...


def required(config: ImportConfig, *names: str) -> None:
    """ValueError for the first of some settings that is empty: the format cannot tell it."""
    asked = {"licence": "under which licence the set may be used", "language": "which language is spoken"}
    for name in names:
        if not getattr(config, name):
            example = "CC-BY-4.0" if name == "licence" else "en"
            raise ValueError(f"{name}: {config.kind} does not tell {asked[name]}; add --set {name}={example}")


def folder(config: ImportConfig) -> tuple[AbstractFileSystem, str]:
    """The file system of the set and its root; ValueError when it is not there."""
    return reach(config.path, "give the folder of the set")


def json_lines(fs: AbstractFileSystem, root: str, config: ImportConfig) -> Iterator[Item]:
    """A conversation per line of the JSON-lines files in the set's folder, whose names tell the split."""
    files = sorted(str(path) for path in fs.glob(f"{root}/*.jsonl") if not str(path).endswith("/rejected.jsonl"))
    if not files:
        raise ValueError(f"path: {root} holds no .jsonl file; give the folder of a set in the format {config.kind}")
    for path in files:
        split = SPLIT_NAMES.get(path.rsplit("/", 1)[-1].removesuffix(".jsonl"), config.split)
        at = 0
        lines: Any = fs.open(path, "rb")
        with lines:
            for line in lines:
                if line.strip():
                    yield Item(split=split, file=path, start=at, size=len(line))
                at += len(line)
