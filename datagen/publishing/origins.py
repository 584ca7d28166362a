"""What each part of a dataset brings with it: the licences of its texts, voices and noise, counted row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from datagen.core.types import SPEAKERS
from datagen.report.data import parquet_files

_COLUMNS = ["source", "licences", "noise.list.element.clip"] + [
    f"voices.{speaker}.{key}" for speaker in SPEAKERS for key in ("origin", "licence")
]

Rest = tuple[str, bool, frozenset[str]]
"""A row's source, whether it has noise, and its licences that are no voice's."""


@dataclass(frozen=True)
class Part:
    """A licence, what brings it in, and how many conversations carry it from there."""

    what: str
    licence: str
    conversations: int


def parts(dataset: str, of_noise: frozenset[str] = frozenset()) -> list[Part]:
    """The licences of a folder with ``data/*.parquet`` by what brings them in: texts, voices, noise.

    A row names its voices' licences. The others are its text's or its noise's: rows without noise tell which are the
    text's; where there are none, ``of_noise`` does, the licences that the recipe states for its noise.
    """
    fs, root = url_to_fs(dataset)
    counted: Counter[tuple[str, str]] = Counter()
    rest: Counter[Rest] = Counter()
    for _, path in parquet_files(fs, root):
        with pq.ParquetFile(path, filesystem=fs) as file:
            rows = file.read(columns=_COLUMNS).to_pylist()
        for row in rows:
            spoken = _voices(row)
            counted.update({(f"voices: {origin}", licence) for origin, licence in spoken})
            others = frozenset(row["licences"]) - {licence for _, licence in spoken}
            rest[row["source"], bool(row["noise"]), others or frozenset(row["licences"])] += 1
    for (source, noisy, found), number in rest.items():
        texts = _of_texts(source, rest, of_noise)
        for licence in found:
            counted[f"texts: {source}", licence] += number * (licence in texts)
            counted["noise", licence] += number * (noisy and (licence not in texts or licence in of_noise))
    order = {"texts": 0, "voices": 1, "noise": 2}
    made = [Part(what, licence, n) for (what, licence), n in counted.items() if n]
    return sorted(made, key=lambda p: (order[p.what.split(":")[0]], p.what, p.licence))


def _voices(row: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(origin, licence) of a row's voices; a licence of several parts counts as its parts."""
    voices = [row["voices"][speaker] for speaker in SPEAKERS]
    return {(v["origin"] or "", part) for v in voices for part in (v["licence"] or "").split(" AND ")}


def _of_texts(source: str, rest: Counter[Rest], of_noise: frozenset[str]) -> frozenset[str]:
    """Of the licences that are no voice's those of a source's texts."""
    quiet = [found for name, noisy, found in rest if name == source and not noisy]
    if quiet:
        return frozenset.union(*quiet)
    every = frozenset.intersection(*(found for name, _, found in rest if name == source))
    return every - of_noise or every
