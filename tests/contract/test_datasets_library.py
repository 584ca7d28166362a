"""A built folder is a data set for the library everybody loads it with: columns, types, samples, splits."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from datagen.schema import AUDIO_COLUMNS, SCHEMA
from tests.tiny import Tiny, built

datasets = pytest.importorskip("datasets")

__all__ = ["built"]


@pytest.fixture(scope="module")
def loaded(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All splits, with the sound as bytes: decoding needs torchcodec, which is not needed here."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return _plain(datasets.load_dataset(str(built.out), cache_dir=cache))


def _plain(found: Any) -> Any:
    for column in AUDIO_COLUMNS:
        found = found.cast_column(column, datasets.Audio(decode=False))
    return found


def _decoded(cell: dict[str, Any]) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(cell["bytes"]), dtype="int16")
    assert rate == 16_000
    return samples


def _published(out: Path, split: str) -> Iterator[dict[str, Any]]:
    for path in sorted(out.glob(f"data/{split}-*.parquet")):
        yield from pq.read_table(path).to_pylist()


def test_the_splits_are_those_of_the_manifest(built: Tiny, loaded: Any) -> None:
    assert {name: len(rows) for name, rows in loaded.items()} == {
        name: split["conversations"] for name, split in built.manifest["splits"].items()
    }
    assert set(loaded) == {"train", "validation", "test"}


def test_the_features_are_declared_in_the_files(built: Tiny, tmp_path: Path) -> None:
    features = datasets.load_dataset(str(built.out), split="train", cache_dir=str(tmp_path)).features
    assert list(features) == SCHEMA.names
    for column in AUDIO_COLUMNS:
        assert features[column] == datasets.Audio(sampling_rate=16_000, num_channels=1)
    assert features["duration"] == datasets.Value("float64")
    assert features["num_samples"] == datasets.Value("int64")
    assert features["licences"] == datasets.List(datasets.Value("string"))
    segment = features["segments"].feature
    assert segment["yielded"] == datasets.Value("bool")
    assert segment["words"].feature["start"] == datasets.Value("float64")
    assert features["voices"]["user"]["id"] == datasets.Value("string")
    assert features.arrow_schema.types == SCHEMA.types


def test_the_rows_are_those_that_were_written(built: Tiny, loaded: Any) -> None:
    for name, rows in loaded.items():
        assert list(rows) == list(_published(built.out, name))


def test_a_stream_gives_the_same_rows(built: Tiny, loaded: Any) -> None:
    streamed = _plain(datasets.load_dataset(str(built.out), split="train", streaming=True))
    assert list(streamed) == list(loaded["train"])


def test_the_sound_is_exactly_as_long_as_the_row_says(loaded: Any) -> None:
    for row in (row for rows in loaded.values() for row in rows):
        for column in AUDIO_COLUMNS:
            samples = _decoded(row[column])
            assert samples.shape == (row["num_samples"],)
            assert row[column]["path"] == f"{row['id']}_{column.removesuffix('_audio')}.flac"
        assert row["duration"] == row["num_samples"] / 16_000
        assert row["sample_rate"] == 16_000


def test_the_assistants_channel_sounds_where_its_segments_are_and_nowhere_else(loaded: Any) -> None:
    for row in (row for rows in loaded.values() for row in rows):
        samples = _decoded(row["assistant_audio"]).astype(np.float64)
        inside = np.zeros(samples.size, bool)
        for segment in row["segments"]:
            if segment["speaker"] == "assistant":
                inside[round(segment["start"] * 16_000) : round(segment["end"] * 16_000)] = True
        assert not samples[~inside].any()
        assert np.abs(samples[inside]).max() > 1_000


def test_words_lie_within_their_segments_and_spell_their_text(loaded: Any) -> None:
    for row in (row for rows in loaded.values() for row in rows):
        for segment in row["segments"]:
            times = [time for word in segment["words"] for time in (word["start"], word["end"])]
            assert times == sorted(times)
            assert segment["start"] <= times[0]
            assert times[-1] <= segment["end"] <= row["duration"]
            assert " ".join(word["word"] for word in segment["words"]) == segment["text"]
            assert segment["text_full"].startswith(segment["text"][:10])


def test_splits_share_no_voice_and_no_text(loaded: Any) -> None:
    voices = {n: {v["id"] for row in rows for v in row["voices"].values()} for n, rows in loaded.items()}
    texts = {n: {tuple(s["text_full"] for s in row["segments"]) for row in rows} for n, rows in loaded.items()}
    first_turns = {n: {row["segments"][0]["text_full"] for row in rows} for n, rows in loaded.items()}
    for found in (voices, texts, first_turns):
        everything = [item for items in found.values() for item in items]
        assert len(everything) == len(set(everything))
    assert all(row["voices"]["user"] != row["voices"]["assistant"] for rows in loaded.values() for row in rows)


def test_every_row_says_where_it_comes_from(built: Tiny, loaded: Any) -> None:
    for row in (row for rows in loaded.values() for row in rows):
        assert row["provenance"]["recipe_hash"] == built.manifest["recipe"]["hash"]
        assert {engine["role"] for engine in row["provenance"]["engines"]} == {"source", "annotator", "tts", "noise"}
        assert {"CC0-1.0", "GPL-3.0"} <= set(row["licences"])
