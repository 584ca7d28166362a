"""A dataset that ``datagen build`` or ``import`` has written, read a part at a time from a folder or an fsspec URL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from datagen.core.types import SPLITS, Split, Strict
from datagen.files import Folder, reach
from datagen.identity import digest
from datagen.schema import SCHEMA, SCHEMA_VERSION

Row = Mapping[str, Any]
"""A published row: a mapping of the schema's columns, or of those that were asked for."""
FILE_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}")
"""Ids that file names and ``id_role`` names can be made of."""
AGAIN = "build or import the dataset again with this version"


class Part(Strict):
    """Some row groups of one file: what one task works on. Parts follow from the dataset alone, never from workers."""

    index: int
    split: Split
    number: int
    """Among the parts of its split."""
    file: str
    groups: tuple[int, ...]
    rows: int
    """How many of their rows are taken, from the first on."""


class Dataset(Strict):
    """A complete dataset: where it is and what its manifest says."""

    url: str
    files: dict[str, dict[str, Any]]
    """Name below the folder -> split, rows, bytes, sha256."""
    licences: tuple[str, ...]
    recipe: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """A hash of the contents: a copy elsewhere has the same."""
        return digest({name: figures.get("sha256") for name, figures in self.files.items()})

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits there are: train, validation, test."""
        return tuple(s for s in SPLITS if any(f["split"] == s for f in self.files.values()))


def open_dataset(url: str) -> Dataset:
    """The dataset in a folder; ValueError when there is none, it is not complete, or of another schema version."""
    fs, root = reach(url, "give the folder or URL that `datagen build` wrote")
    if not fs.exists(f"{root}/manifest.json"):
        raise ValueError(f"dataset: {url} has no manifest.json, so it is not complete; let `datagen build` finish it")
    content: Any = fs.cat_file(f"{root}/manifest.json")
    try:
        manifest = json.loads(content)
        version, files = manifest["schema_version"], manifest["files"]
        found = {str(name): {**figures, "split": figures["split"]} for name, figures in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"dataset: {url}/manifest.json is not the manifest of a dataset; {AGAIN}") from None
    _check_version(f"{url}/manifest.json", version)
    for name, figures in found.items():
        size = fs.size(f"{root}/{name}") if fs.exists(f"{root}/{name}") else None
        if size != figures.get("bytes"):
            raise ValueError(f"dataset: {url}/{name} is missing or not of the size in manifest.json; fetch it again")
    return Dataset(
        url=Folder(url).url,
        files=found,
        licences=tuple(manifest.get("licences", ())),
        recipe=manifest.get("recipe", {}),
    )


def _check_version(where: str, version: object) -> None:
    if str(version) != str(SCHEMA_VERSION):
        raise ValueError(f"dataset: {where} has schema_version {version}, this version reads {SCHEMA_VERSION}; {AGAIN}")


def parts(dataset: Dataset, splits: Sequence[Split], limit: int | None, size: int) -> list[Part]:
    """The dataset in parts: consecutive row groups of a file, ``size`` rows or a little more.

    At most ``limit`` rows in all, in the order of the splits and files.
    """
    found: list[Part] = []
    left = limit if limit is not None else sum(f["rows"] for f in dataset.files.values())
    for split in splits:
        number = 0
        for name in sorted(n for n, f in dataset.files.items() if f["split"] == split):
            if not left:
                break
            for groups, rows in _grouped(_group_rows(dataset.url, name), size):
                if taken := min(rows, left):
                    part = Part(index=len(found), split=split, number=number, file=name, groups=groups, rows=taken)
                    found.append(part)
                    number, left = number + 1, left - taken
    return found


def _grouped(rows: Sequence[int], size: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Consecutive row groups with at least ``size`` rows, but for the last."""
    groups: list[int] = []
    count = 0
    for group, number in enumerate(rows):
        groups.append(group)
        count += number
        if count >= size:
            yield tuple(groups), count
            groups, count = [], 0
    if groups:
        yield tuple(groups), count


def _group_rows(url: str, name: str) -> list[int]:
    """Rows of every row group of a file."""
    with _parquet(url, name) as file:
        metadata = file.schema_arrow.metadata or {}
        _check_version(f"the Arrow metadata of {url}/{name}", metadata.get(b"schema_version", b"none").decode())
        if missing := [column for column in SCHEMA.names if column not in file.schema_arrow.names]:
            raise ValueError(f"dataset: {url}/{name} has no column {', '.join(missing)}; {AGAIN}")
        return [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]


def _parquet(url: str, name: str) -> pq.ParquetFile:
    fs, path = Folder(url).path(name)
    try:
        local = isinstance(fs, LocalFileSystem)
        return pq.ParquetFile(path, memory_map=False) if local else pq.ParquetFile(fs.open(path, "rb"), pre_buffer=True)
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise ValueError(f"dataset: {url}/{name} cannot be read as Parquet: {error}; fetch it again") from error


def rows(url: str, part: Part, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A part's rows, one at a time; one row group is held."""
    left = part.rows
    with _parquet(url, part.file) as file:
        for group in part.groups:
            table = file.read_row_group(group, columns=list(columns), use_threads=False)
            for index in range(min(table.num_rows, left)):
                row = table.slice(index, 1).to_pylist()[0]
                if not FILE_SAFE.fullmatch(row["id"]):
                    raise ValueError(
                        f"{part.file}: id {row['id']!r}: files are named after it; write letters, digits, dots, hyphens"
                    )
                yield row
            left -= min(table.num_rows, left)
