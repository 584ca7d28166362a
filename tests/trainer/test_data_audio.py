"""Samples come out as soundfile decodes them, from their own row group alone; damage is told by name."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datagen.core.audio import Pcm
from datagen.schema import SCHEMA
from tests.sources.parquet_files import CountingFileSystem
from tests.tiny import Tiny, built
from tests.trainer.published import changed, every_row, flac, sound, write, write_table
from trainer.data.audio import Reader, decode, faults
from trainer.data.index import Index, open_index

__all__ = ["built"]


@pytest.fixture(scope="module")
def whole(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All conversations in one file of six row groups."""
    return write(tmp_path_factory.mktemp("whole"), every_row(built))


def index_of(folder: Path) -> Index:
    return open_index(str(folder), "train")


@given(hnp.arrays(np.int16, st.integers(1, 3000), elements=st.integers(-32768, 32767)))
@settings(max_examples=25, deadline=None)
def test_decoding_gives_the_16_bit_samples_exactly(pcm: Pcm) -> None:
    samples = decode(flac(pcm))
    assert samples.dtype == np.float32
    assert (samples * 32768 == pcm).all()


def test_every_row_is_what_soundfile_decodes(built: Tiny, whole: Path) -> None:
    index = index_of(whole)
    reader = Reader(index.folder)
    for number in np.random.default_rng(1).permutation(len(index)):
        entry, published = index[int(number)], every_row(built)[int(number)]
        for speaker in ("user", "assistant"):
            samples = reader.samples(entry, speaker)
            assert samples.dtype == np.float32
            assert samples.size == published["num_samples"]
            assert (samples == sound(published, f"{speaker}_audio")).all()
        assert reader.row(entry).id == published["id"]


def test_samples_are_fresh_every_time(whole: Path) -> None:
    index = index_of(whole)
    reader = Reader(index.folder)
    first = reader.samples(index[0])
    kept = first.copy()
    first *= 0
    assert (reader.samples(index[0]) == kept).all()


def test_a_reader_travels_without_its_files(whole: Path) -> None:
    index = index_of(whole)
    reader = Reader(index.folder)
    expected = reader.samples(index[5])
    assert len(pickle.dumps(reader)) < 1000
    assert (pickle.loads(pickle.dumps(reader)).samples(index[5]) == expected).all()


def test_only_the_row_group_and_the_channel_asked_for_are_read(built: Tiny) -> None:
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    rows = every_row(built)
    folder = Path("/one")
    written = write(Path(built.out.parent / "groups"), rows, group=1) / "data/train-00000-of-00001.parquet"
    CountingFileSystem().pipe_file(str(folder / "data" / written.name), written.read_bytes())
    index = open_index(f"counting:/{folder}", "train")
    audio = sum(len(row[c]["bytes"]) for row in rows for c in ("user_audio", "assistant_audio"))
    reader = Reader(index.folder)
    reader.row(index[3])
    CountingFileSystem.total = 0
    reader.samples(index[3])
    assert CountingFileSystem.total < len(rows[3]["user_audio"]["bytes"]) + 20_000 < audio / 10


def torn(row: dict[str, Any]) -> bytes:
    return row["user_audio"]["bytes"][:30_000]


def garbage(row: dict[str, Any]) -> bytes:
    return b"no sound at all" * 100


def shorter(row: dict[str, Any]) -> bytes:
    return flac(sound(row)[:-1])


def telephone(row: dict[str, Any]) -> bytes:
    return flac(sound(row), 8000)


def stereo(row: dict[str, Any]) -> bytes:
    return flac(np.stack([sound(row)] * 2, axis=1))


def nothing(row: dict[str, Any]) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (torn, "cannot be decoded"),
        (garbage, "cannot be decoded"),
        (nothing, "cannot be decoded"),
        (shorter, "has [0-9]+ samples, the row says [0-9]+; write the row again"),
        (telephone, "audio is 8000 Hz, 1 channels, PCM_16; a row holds 16000 Hz"),
        (stereo, "audio is 16000 Hz, 2 channels"),
    ],
)
def test_damaged_audio_is_told_by_row_and_file(
    built: Tiny, tmp_path: Path, spoil: Callable[[dict[str, Any]], bytes], message: str
) -> None:
    rows = changed(every_row(built), 4, lambda row: {"user_audio": {"bytes": spoil(row), "path": ""}})
    index = index_of(write(tmp_path, rows))
    where = f"data/train-00000-of-00001.parquet: user_audio of row {rows[4]['id']}"
    with pytest.raises(ValueError, match=f"{where}.*{message}"):
        Reader(index.folder).samples(index[4])
    (fault,) = faults(index)
    assert where in fault


def test_a_row_without_audio_is_told(built: Tiny, tmp_path: Path) -> None:
    rows = changed(every_row(built), 1, lambda row: {"user_audio": {"bytes": None, "path": "x.flac"}})
    write_table(tmp_path, pa.Table.from_pylist(rows, SCHEMA), "data/train-00000-of-00001.parquet")
    (fault,) = faults(index_of(tmp_path))
    assert f"user_audio of row {rows[1]['id']} is empty" in fault


def test_a_sound_dataset_has_no_faults(whole: Path) -> None:
    assert list(faults(index_of(whole), assistant=True)) == []


def test_an_index_of_other_rows_is_noticed(built: Tiny, tmp_path: Path) -> None:
    """The dataset was written again while an old index was held."""
    rows = every_row(built)
    index = index_of(write(tmp_path, rows))
    write(tmp_path, [rows[1], rows[0], *rows[2:]])
    assert len([fault for fault in faults(index) if "not where the index says" in fault]) == 2


def test_a_wav_file_is_no_worse(whole: Path) -> None:
    """Lossless 16-bit files of any container decode; nothing else is promised."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.linspace(-0.5, 0.5, 999), 16_000, format="WAV", subtype="PCM_16")
    assert decode(buffer.getvalue()).size == 999
