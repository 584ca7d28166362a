"""package: checked conversations as the published Parquet files.

A file holds the rows of one split from consecutive shards, so that its contents follow from the input alone, never
from how many workers there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from datagen.core.records import Checked
from datagen.core.types import SPEAKERS, SPLITS, Speaker, Split, Strict
from datagen.files import Aside, Folder
from datagen.schema import SCHEMA, table, writer_options
from datagen.stages.inputs import Inputs
from datagen.stages.rows import Provenance, row
from datagen.store import ShardReport

NAME = "package"
VERSION = 1
UPSTREAM = ("check",)


class Config(Strict):
    profile: str
    provenance: Provenance
    file_mb: int = Field(default=256, ge=1)
    """A file is closed when it has reached this size."""
    row_group_mb: int = Field(default=16, ge=1, le=100)
    """A row group stays below it where one row does: readers load whole row groups (Hub viewer limit: 286 MiB)."""


class FilePlan(Strict):
    """One Parquet file to be written."""

    split: Split
    index: int
    count: int
    shards: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"data/{self.split}-{self.index:05d}-of-{self.count:05d}.parquet"


def plan_files(reports: Sequence[ShardReport], file_mb: int) -> list[FilePlan]:
    """Which shards' rows go into which file, from the check stage's reports in shard order."""
    files: list[FilePlan] = []
    for split in SPLITS:
        groups: list[list[int]] = []
        size = file_mb << 20
        for report in reports:
            rows, nbytes = report.extra.get(split, (0, 0))
            if not rows:
                continue
            if size >= file_mb << 20:
                groups.append([])
                size = 0
            groups[-1].append(report.shard)
            size += nbytes
        files += [
            FilePlan(split=split, index=index, count=len(groups), shards=tuple(shards))
            for index, shards in enumerate(groups)
        ]
    return files


def write_file(
    out_url: str, work_url: str, identities: Mapping[str, str], plan: FilePlan, config: Config, recipe_hash: str
) -> dict[str, Any]:
    """Writes one Parquet file, whole or not at all. Returns its figures for the manifest."""
    rows, seconds = 0, 0.0
    voices: set[str] = set()
    licences: set[str] = set()
    with Aside(Folder(out_url), plan.name) as out:
        found = _rows(work_url, identities, plan, config, recipe_hash)
        for item in write_rows(pa.PythonFile(out, mode="w"), found, config.row_group_mb << 20):
            rows += 1
            seconds += item["duration"]
            voices |= {item["voices"][role]["id"] for role in SPEAKERS}
            licences |= set(item["licences"])
    return {
        "split": plan.split,
        "rows": rows,
        "seconds": round(seconds, 3),
        "voices": sorted(voices),
        "licences": sorted(licences),
        "bytes": out.size,
        "sha256": out.sha256,
    }


def write_rows(sink: Any, rows: Iterable[dict[str, Any]], group_bytes: int) -> Iterator[dict[str, Any]]:
    """Writes rows as Parquet, passing each on once it is written; never holds more than one row group."""
    with pq.ParquetWriter(sink, SCHEMA, **writer_options()) as writer:
        for group in _groups(rows, group_bytes):
            writer.write_table(table(group), row_group_size=len(group))
            yield from group


def _groups(rows: Iterable[dict[str, Any]], limit: int) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups whose audio stays within a byte limit."""
    group: list[dict[str, Any]] = []
    size = 0
    for item in rows:
        nbytes = len(item["user_audio"]["bytes"]) + len(item["assistant_audio"]["bytes"])
        if group and size + nbytes > limit:
            yield group
            group, size = [], 0
        group.append(item)
        size += nbytes
    if group:
        yield group


def _rows(
    work_url: str, identities: Mapping[str, str], plan: FilePlan, config: Config, recipe_hash: str
) -> Iterator[dict[str, Any]]:
    for shard in plan.shards:
        with Inputs(work_url, identities, shard) as inputs:
            for record in inputs.folder("check").records(shard, Checked, f'"split":"{plan.split}"'):
                flac: dict[Speaker, bytes] = {
                    "user": inputs.bytes("render", record.rendered.user_flac),
                    "assistant": inputs.bytes("render", record.rendered.assistant_flac),
                }
                yield row(record, flac, inputs.noise_clips, config.profile, config.provenance, recipe_hash)
