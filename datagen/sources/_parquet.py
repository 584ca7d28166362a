"""Parquet files by row groups and columns: what is not asked for (hundreds of gigabytes of audio) is never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from datagen.sources._files import File


@dataclass(frozen=True)
class Parquet:
    """A file and its footer, which is read once."""

    file: File
    footer: pq.FileMetaData

    @classmethod
    def open(cls, file: File, columns: Sequence[str]) -> Self:
        """ValueError when the file is none of Parquet or lacks one of the columns."""
        with _stream(file) as stream:
            footer = pq.read_metadata(stream)
        have = footer.schema.to_arrow_schema().names
        if missing := [name for name in columns if name not in have]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        return cls(file, footer)

    def read(self, columns: Sequence[str], group: int | None = None) -> pa.Table:
        """Some columns of a row group, or of the whole file."""
        with _stream(self.file) as stream:
            # Neighbouring columns in one request: over a network, requests are what costs.
            table = pq.ParquetFile(stream, metadata=self.footer, pre_buffer=True)
            return table.read(list(columns)) if group is None else table.read_row_group(group, list(columns))

    def groups(self) -> list[RowGroup]:
        """The parts that can be read alone."""
        sizes = [self.footer.row_group(number).num_rows for number in range(self.footer.num_row_groups)]
        return [RowGroup(self, number, sum(sizes[:number])) for number in range(len(sizes))]


class RowGroup(NamedTuple):
    """A part of a file that can be read alone."""

    parquet: Parquet
    number: int
    first: int
    """Its first row in the file, from 0."""

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some of its columns."""
        return self.parquet.read(columns, self.number)


def _stream(file: File) -> Any:
    """The file without read-ahead: that would fetch the columns between those that are wanted."""
    return file.fs.open(file.path, "rb", cache_type="none")
