"""Parquet trees as VoiceAssistant-400K is published, and a file system that counts what is read of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

SCHEMA = pa.schema(
    [
        ("split_name", pa.string()),
        ("index", pa.string()),
        ("round", pa.string()),
        ("question", pa.string()),
        ("question_audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("answer", pa.string()),
        ("answer_snac", pa.string()),
    ]
)
AUDIO_BYTES = 50_000
"""Of each row: enough not to be read by the way."""

Row = tuple[str | None, str | None, str | None, str | None, str | None]


def row(split: str | None, index: str | None, number: str | None, question: str | None, answer: str | None) -> Row:
    """A row's text columns: ``number`` is the round, None where the set has no rounds."""
    return split, index, number, question, answer


def table(rows: Sequence[Row], salt: int = 0) -> pa.Table:
    """The published columns; the audio differs from row to row, so that it cannot be packed."""
    noise = [bytes((salt + 7 * n + k * k) % 251 for k in range(1000)) * (AUDIO_BYTES // 1000) for n in range(len(rows))]
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for number, (texts, sound) in enumerate(zip(rows, noise, strict=True)):
        for name, text in zip(("split_name", "index", "round", "question", "answer"), texts, strict=True):
            columns[name].append(text)
        columns["question_audio"].append({"bytes": sound, "path": f"{number}.wav"})
        columns["answer_snac"].append(sound.hex())
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def write_parquet(path: Path, rows: Sequence[Row], group: int = 2, text_only: bool = False) -> Path:
    """A file of row groups of ``group`` rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(parquet(rows, group, text_only))
    return path


def parquet(rows: Sequence[Row], group: int = 2, text_only: bool = False) -> bytes:
    """The bytes of such a file."""
    sink = io.BytesIO()
    whole = table(rows)
    if text_only:
        whole = whole.select(["split_name", "index", "round", "question", "answer"])
    pq.write_table(whole, sink, row_group_size=group, compression="none")
    return sink.getvalue()


class CountingFileSystem(MemoryFileSystem):
    """Memory files that count the bytes that are read of them."""

    protocol = "counting"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    total = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("counting://"))

    def _open(self, path: str, mode: str = "rb", *more: Any, **options: Any) -> Any:
        file = super()._open(path, mode, *more, **options)
        return _Counting(file.getvalue()) if mode == "rb" else file


class _Counting(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        CountingFileSystem.total += len(data)
        return data
