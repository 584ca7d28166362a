"""package: checked conversations as the published Parquet files.

A file holds the rows of one split from consecutive shards, so that its contents follow from the input alone, never
from how many workers there were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from datagen.core.types import SPEAKERS, SPLITS, Checked, Segment, Split, Strict, Voice
from datagen.core.units import SAMPLE_RATE, to_seconds
from datagen.schema import SCHEMA, writer_options
from datagen.stages.inputs import Inputs, NoiseClip
from datagen.store import Aside, Folder, ShardReport

NAME = "package"
VERSION = 1
UPSTREAM = "check"


class Provenance(Strict):
    """What every row says of its making."""

    recipe: str
    seed: int
    code_version: str
    engines: tuple[tuple[str, str, str], ...]
    """(role, kind, revision)."""


class Config(Strict):
    profile: str
    provenance: Provenance
    file_mb: int = Field(default=256, ge=1)
    """A file is closed when it has reached this size."""
    row_group_mb: int = Field(default=32, ge=1, le=100)
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
    with (
        Aside(Folder(out_url), plan.name) as out,
        pq.ParquetWriter(pa.PythonFile(out, mode="w"), SCHEMA, **writer_options()) as writer,
    ):
        for group in _groups(_rows(work_url, identities, plan, config, recipe_hash), config.row_group_mb << 20):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA), row_group_size=len(group))
            rows += len(group)
            for item in group:
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


def _groups(rows: Iterator[dict[str, Any]], limit: int) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups whose audio stays within a byte limit."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        nbytes = len(row["user_audio"]["bytes"]) + len(row["assistant_audio"]["bytes"])
        if group and size + nbytes > limit:
            yield group
            group, size = [], 0
        group.append(row)
        size += nbytes
    if group:
        yield group


def _rows(
    work_url: str, identities: Mapping[str, str], plan: FilePlan, config: Config, recipe_hash: str
) -> Iterator[dict[str, Any]]:
    for shard in plan.shards:
        with Inputs(work_url, identities, shard) as inputs:
            for record in inputs.folder("check").records(shard, Checked):
                if record.rendered.plan.voiced.split == plan.split:
                    yield row(record, config, recipe_hash, inputs)


def row(record: Checked, config: Config, recipe_hash: str, inputs: Inputs) -> dict[str, Any]:
    """The published row of a conversation; seconds from here on."""
    rendered = record.rendered
    plan = rendered.plan
    timeline, voiced = plan.timeline, plan.voiced
    dialogue = voiced.script.dialogue
    clips = inputs.noise_clips
    licences = {dialogue.licence, voiced.user_voice.licence, voiced.assistant_voice.licence}
    licences |= {clips[b.clip].licence for b in plan.mix.noise}
    return {
        "id": dialogue.id,
        "language": dialogue.language,
        "domain": dialogue.domain,
        "source": dialogue.source,
        "profile": config.profile,
        "duration": to_seconds(timeline.num_samples),
        "num_samples": timeline.num_samples,
        "sample_rate": SAMPLE_RATE,
        "user_audio": _audio(dialogue.id, "user", inputs.bytes("render", rendered.user_flac)),
        "assistant_audio": _audio(dialogue.id, "assistant", inputs.bytes("render", rendered.assistant_flac)),
        "segments": [_segment(s) for s in timeline.segments],
        "events": [{**e.model_dump(), "start": to_seconds(e.start), "end": to_seconds(e.end)} for e in timeline.events],
        "noise": _noise(record, clips),
        "voices": {"user": _voice(voiced.user_voice), "assistant": _voice(voiced.assistant_voice)},
        "licences": sorted({part for licence in licences for part in licence.split(" AND ")}),
        "provenance": {
            "recipe": config.provenance.recipe,
            "recipe_hash": recipe_hash,
            "seed": config.provenance.seed,
            "code_version": config.provenance.code_version,
            "engines": [{"role": r, "name": n, "revision": v} for r, n, v in config.provenance.engines],
        },
        "quality": record.quality.model_dump(),
    }


def _audio(identifier: str, role: str, content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": f"{identifier}_{role}.flac"}


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "speaker": segment.speaker,
        "kind": segment.kind,
        "start": to_seconds(segment.start),
        "end": to_seconds(segment.end),
        "text": segment.text,
        "text_full": segment.text_full,
        "words": [
            {"word": w.text, "start": to_seconds(w.start), "end": to_seconds(w.end), "estimated": w.estimated}
            for w in segment.words
        ],
        "yielded": segment.yielded,
    }


def _noise(record: Checked, clips: Mapping[str, NoiseClip]) -> list[dict[str, Any]]:
    blocks = record.rendered.plan.mix.noise
    return [
        {
            "clip": block.clip,
            "scene": clips[block.clip].scene,
            "start": to_seconds(block.start),
            "end": to_seconds(block.end),
            "snr_db_asked": block.snr_db,
            "snr_db": realised,
        }
        for block, realised in zip(blocks, record.rendered.snr_db, strict=True)
    ]


def _voice(voice: Voice) -> dict[str, str]:
    return {"id": voice.id, "origin": voice.origin, "licence": voice.licence, "consent": voice.consent}
