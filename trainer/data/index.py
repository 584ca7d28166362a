"""Where every conversation of a split lies, how long it is and who speaks in it: an Arrow table held in memory.

Only small columns are read to make it, once; a cached one is mapped into memory, so that several processes share it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from datagen.core.types import Speaker, Split
from datagen.core.units import SAMPLE_RATE
from trainer.data.folder import Folder, find

pc: Any = pyarrow.compute
"""Its functions are made at run time: no type checker knows them."""

_LAYOUT = 1
"""Of the cached table; another one is made anew."""
_THREADS = 8
"""Files looked at side by side: a bucket answers slowly, and a local disk does not mind."""
_WITHOUT_TEXT = (
    "the fast path learns to write what the assistant says: build the dataset with `datagen build`, or fill in "
    "segments.text_full of the assistant (a recogniser's transcript will do)"
)


class Entry(NamedTuple):
    """One conversation in the index."""

    file: str
    """Below the folder."""
    group: int
    """The row group in the file."""
    row: int
    """The row in the row group."""
    id: str
    """Unique in a dataset. A dialogue's own, or that of a part of a long one, which ends in ``-p0``, ``-p1``."""
    num_samples: int
    user_voice: str
    assistant_voice: str


@dataclass(frozen=True)
class Index:
    """The conversations of a split in the order of the files."""

    folder: Folder
    table: pa.Table

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, number: int) -> Entry:
        found = {name: self.table[name][number].as_py() for name in self.table.column_names}
        return Entry(file=self.folder.files[found.pop("file")], **found)

    @property
    def num_samples(self) -> npt.NDArray[np.int64]:
        """Of every conversation."""
        return self.table["num_samples"].to_numpy()

    @property
    def ids(self) -> list[str]:
        """Of every conversation."""
        return self.table["id"].to_pylist()

    def voices(self, speaker: Speaker) -> list[str]:
        """Of every conversation, who the user or the assistant is."""
        return self.table[f"{speaker}_voice"].to_pylist()

    @property
    def hours(self) -> float:
        """Of audio in all."""
        return float(self.num_samples.sum()) / SAMPLE_RATE / 3600

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return int(self.table.nbytes)

    def select(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> Index:
        """Some of the conversations, such as those of a fold, in the order given."""
        return replace(self, table=self.table.take(pa.array(rows, pa.int64())).combine_chunks())


def open_index(url: str, split: Split | None, cache: str | None = None) -> Index:
    """The index of a split of a dataset; ``split=None``: of all the Parquet files of a folder.

    Args:
        url: the dataset's folder, see ``trainer.data.folder``.
        split: its name.
        cache: a local folder to keep the index in, never the dataset's own. Indexing 100,000 conversations takes
            3 s from a local disk, and minutes from a bucket.

    ValueError when the dataset cannot be trained on; the message says what to do.
    """
    folder = find(url, split)
    path = os.path.join(cache, f"index-{_LAYOUT}-{split}-{folder.fingerprint[:24]}.arrow") if cache else None
    if path is not None and os.path.exists(path):
        with pa.memory_map(path) as source:
            return Index(folder, pa.ipc.open_file(source).read_all())
    table = _table(folder)
    if path is not None:
        _save(table, path)
    return Index(folder, table)


def _save(table: pa.Table, path: str) -> None:
    """Whole or not at all: ranks may do it at the same time."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    aside = f"{path}.{uuid.uuid4().hex}.tmp"
    with pa.OSFile(aside, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    os.replace(aside, path)


@dataclass(frozen=True)
class _Part:
    """What one file contributes."""

    table: pa.Table
    told: bool
    """Whether the assistant's words are known anywhere in it."""
    untold: tuple[str, ...]
    """Ids of conversations in which the assistant says something unknown."""


def _table(folder: Folder) -> pa.Table:
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = list(pool.map(lambda number: _part(folder, number), range(len(folder.files))))
    table = pa.concat_tables([part.table for part in parts]).combine_chunks()
    untold = [identifier for part in parts for identifier in part.untold]
    if not table.num_rows:
        raise ValueError(f"{folder.url} holds no conversation in the split {folder.split or 'any'}; build a larger one")
    if not any(part.told for part in parts):
        raise ValueError(f"{folder.url} ({folder.split or 'all files'}) has no assistant text; {_WITHOUT_TEXT}")
    if untold:
        raise ValueError(
            f"{folder.url}: {len(untold)} of {table.num_rows} conversations have an assistant segment without text "
            f"(first: {untold[0]}); {_WITHOUT_TEXT}"
        )
    counts = table["id"].value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise ValueError(
            f"{folder.url}: the id {repeated[0].as_py()['values']} occurs {repeated[0].as_py()['counts']} times; "
            "randomness and folds are named by ids, so make them unique"
        )
    for speaker in ("user_voice", "assistant_voice"):
        at = table.column_names.index(speaker)
        table = table.set_column(at, speaker, table[speaker].dictionary_encode())
    return table.combine_chunks()


def _part(folder: Folder, number: int) -> _Part:
    name = folder.files[number]
    with folder.parquet(name) as file:
        spoken = [c for c in _paths(file) if c.startswith("segments.") and ".words." not in c]
        spoken = [c for c in spoken if c.endswith((".speaker", ".text_full"))]
        columns = ["id", "num_samples", "sample_rate", "voices.user.id", "voices.assistant.id", *spoken]
        table = file.read(columns=columns, use_threads=False).combine_chunks()
        counts = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    rates = set(pc.unique(table["sample_rate"]).to_pylist()) - {SAMPLE_RATE}
    if rates:
        raise ValueError(f"{folder.url}/{name} has audio of {rates.pop()} Hz; resample it to {SAMPLE_RATE} Hz")
    told, untold = _assistant_text(table)
    voices = table["voices"].combine_chunks()
    place = {
        "file": np.full(table.num_rows, number, np.int32),
        "group": np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        "row": np.concatenate([np.arange(n, dtype=np.int32) for n in counts] or [np.zeros(0, np.int32)]),
    }
    found = pa.table(
        place
        | {
            "id": table["id"],
            "num_samples": table["num_samples"],
            "user_voice": pc.struct_field(voices, ["user", "id"]),
            "assistant_voice": pc.struct_field(voices, ["assistant", "id"]),
        }
    )
    return _Part(found, told, untold)


def _paths(file: pq.ParquetFile) -> list[str]:
    """The leaf columns; writers name the elements of a list differently."""
    return [file.schema.column(n).path for n in range(len(file.schema.names))]


def _assistant_text(table: pa.Table) -> tuple[bool, tuple[str, ...]]:
    """Whether there is any text of the assistant, and the ids of conversations where some of it is missing."""
    segments = table["segments"].combine_chunks()
    flat = segments.flatten()
    own = pc.equal(flat.field("speaker"), "assistant")
    known = pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(flat.field("text_full"), "")), "")
    parents = pc.list_parent_indices(segments)
    missing = pc.unique(parents.filter(pc.and_not(own, known)))
    told = bool(pc.any(pc.and_(own, known)).as_py())
    return told, tuple(table["id"].take(missing).to_pylist())
