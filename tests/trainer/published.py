"""Datasets for the trainer's tests: the tiny built one, and changed copies of its Parquet files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from datagen.schema import SCHEMA, table, writer_options
from tests.tiny import Tiny

Rows = list[dict[str, Any]]


def rows_of(out: Path, split: str = "train") -> Rows:
    """The published rows of a split in order, sound and all."""
    return [row for path in sorted(out.glob(f"data/{split}-*.parquet")) for row in pq.read_table(path).to_pylist()]


def every_row(built: Tiny) -> Rows:
    """Of all splits: a dozen."""
    return [row for split in ("train", "validation", "test") for row in rows_of(built.out, split)]


def write(folder: Path, rows: Rows, name: str = "data/train-00000-of-00001.parquet", group: int = 2) -> Path:
    """A dataset without a manifest: one file of row groups of ``group`` rows. Returns the folder."""
    return write_table(folder, table(rows), name, group)


def write_table(folder: Path, content: pa.Table, name: str, group: int = 2) -> Path:
    """The same from a table of any schema."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    options = writer_options() if content.schema.names == SCHEMA.names else {}
    with pq.ParquetWriter(path, content.schema, **options) as writer:
        for start in range(0, content.num_rows, group):
            writer.write_table(content.slice(start, group))
    return folder


def changed(rows: Rows, number: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Rows:
    """The rows with one of them changed: what ``change`` returns replaces its columns."""
    return [{**row, **change(row)} if at == number else row for at, row in enumerate(rows)]


def flac(samples: Any, rate: int = 16_000) -> bytes:
    """A sound file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def sound(row: dict[str, Any], column: str = "user_audio") -> Any:
    """A published row's samples as soundfile decodes them, float32."""
    return soundfile.read(io.BytesIO(row[column]["bytes"]), dtype="float32")[0]
