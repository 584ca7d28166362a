"""The samples of a conversation: one row group is read, one FLAC is decoded, nothing else is touched.

The bytes of the other rows of the group stay in the Arrow buffer, and the decoder reads its row's straight from there.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from datagen.core.audio import Signal
from datagen.core.types import SPEAKERS, Speaker
from datagen.core.units import SAMPLE_RATE
from trainer.data.folder import Folder
from trainer.data.index import Entry, Index
from trainer.data.rows import COLUMNS, Row, row_of

_OPEN_FILES = 16
"""Kept open per process: an open file holds its footer (14 KB per row group as stored), opening one takes 0.5 ms."""

What = Literal["row", "user", "assistant"]
_WANTED: dict[What, list[str]] = {
    "row": list(COLUMNS),
    "user": ["user_audio.bytes"],
    "assistant": ["assistant_audio.bytes"],
}


def decode(data: Any) -> Signal:
    """The samples of a mono 16 kHz 16-bit sound file, full scale = 1: the 16-bit values over 32,768, exactly.

    ``data`` is an Arrow buffer or bytes. ValueError for any other file, or a damaged one.
    """
    try:
        with soundfile.SoundFile(pa.BufferReader(data)) as file:
            form = (file.samplerate, file.channels, file.subtype)
            samples = file.read(dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(f"{len(data)} bytes cannot be decoded: {error}") from error
    if form != (SAMPLE_RATE, 1, "PCM_16"):
        raise ValueError(
            f"audio is {form[0]} Hz, {form[1]} channels, {form[2]}; a row holds {SAMPLE_RATE} Hz mono PCM_16"
        )
    return np.asarray(samples, np.float32)


class Reader:
    """Reads rows of an index, one process at a time.

    Holds the row group it read last, so reading in the order of the index reads everything once. Travels to worker
    processes as its folder alone: open files are not shared with them.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._forget()

    def row(self, entry: Entry) -> Row:
        """A conversation without its audio."""
        table = self._group(entry, "row")
        return row_of(table.slice(entry.row, 1).to_pylist()[0])

    def samples(self, entry: Entry, speaker: Speaker = "user") -> Signal:
        """One side of a conversation, a fresh array of ``entry.num_samples``; full scale = 1.

        The user's is what the assistant hears. ValueError when the audio is damaged or has another length.
        """
        column = self._group(entry, speaker)[f"{speaker}_audio"].chunk(0)
        data = column.field("bytes")[entry.row].as_buffer()
        where = f"{self._folder.url}/{entry.file}: {speaker}_audio of row {entry.id}"
        if data is None:
            raise ValueError(f"{where} is empty; fetch or build the file again")
        try:
            samples = decode(data)
        except ValueError as error:
            raise ValueError(f"{where}: {error}; fetch or build the file again") from error
        if samples.size != entry.num_samples:
            raise ValueError(
                f"{where} has {samples.size} samples, the row says {entry.num_samples}; write the row again"
            )
        return samples

    def _group(self, entry: Entry, what: What) -> pa.Table:
        """Some columns of the row group of an entry, each in one piece."""
        if self._pid != os.getpid():  # a forked process inherits what it must not use
            self._forget()
        place = (entry.file, entry.group)
        held = self._held.get(what)
        if held is None or held[0] != place:
            self._held.pop(what, None)  # before the next one is read: only one is in memory
            file = self._file(entry.file)
            table = file.read_row_group(entry.group, columns=_WANTED[what], use_threads=False).combine_chunks()
            held = self._held[what] = (place, table)
        return held[1]

    def _file(self, name: str) -> pq.ParquetFile:
        if name not in self._files:
            if len(self._files) >= _OPEN_FILES:
                self._files.popitem(last=False)[1].close(force=True)
            self._files[name] = self._folder.parquet(name)
        self._files.move_to_end(name)
        return self._files[name]

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._files: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._held: dict[What, tuple[tuple[str, int], pa.Table]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._folder = state["_folder"]
        self._forget()


def faults(index: Index, assistant: bool = False) -> Iterator[str]:
    """What is wrong with the conversations of an index, a line each: all of them are read and decoded.

    A core goes through several thousand hours of audio in an hour, so this is worth doing before a long run.
    """
    reader = Reader(index.folder)
    for number in range(len(index)):
        entry = index[number]
        try:
            row = reader.row(entry)
            if (row.id, row.num_samples) != (entry.id, entry.num_samples):
                raise ValueError(f"row {entry.id} is not where the index says; the dataset was changed")
            for speaker in SPEAKERS if assistant else ("user",):
                reader.samples(entry, speaker)
        except ValueError as error:
            yield str(error)
