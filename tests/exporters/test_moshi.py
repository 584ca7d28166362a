"""moshi-finetune: read by its own audio library and by a reader of alignments that searches as its loader does."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.exporters.making import Exports, export, exports, hummed, lines, rows, samples, told, words
from tests.tiny import Tiny, built

__all__ = ["built", "exports", "hummed"]
SEGMENT = 240_000
"""Ten seconds at the loader's rate."""
BLOCK = 2048
"""What sphn's resampler adds at most: it makes whole blocks and does not cut the last one of a full segment."""


def alignments(folder: Path, line: dict[str, Any]) -> list[Any]:
    """The words of a file, found by its name."""
    return json.loads((folder / line["path"]).with_suffix(".json").read_text())["alignments"]


def between(found: list[Any], start: float, end: float) -> list[str]:
    """The main speaker's words that begin in a stretch, by halving: wrong where the order of start is."""
    starts = [item[1][0] for item in found]
    return [
        item[0] for item in found[bisect_left(starts, start) : bisect_left(starts, end)] if item[2] == "SPEAKER_MAIN"
    ]


def test_sphn_reads_both_channels_in_their_order(built: Tiny, tmp_path: Path) -> None:
    sphn = pytest.importorskip("sphn")
    export(built.out, "moshi", tmp_path)
    for split in ("train", "validation", "test"):
        published = rows(built.out, split)
        listed = lines(tmp_path / f"{split}.jsonl")
        assert [line["duration"] for line in listed] == [row["duration"] for row in published]
        for line, row in zip(listed, published, strict=True):
            audio, rate = sphn.read(str(tmp_path / line["path"]))
            assert rate == 16_000
            assert audio.shape == (2, row["num_samples"])
            for channel, speaker in enumerate(("assistant", "user")):
                assert np.abs(audio[channel] - samples(row, speaker) / 32768).max() < 1e-4


def test_the_data_set_reader_walks_through_all_of_it(hummed: Path, exports: Exports) -> None:
    sphn = pytest.importorskip("sphn")
    folder = exports("moshi")
    published = rows(hummed, "train")
    reader = sphn.dataset_jsonl(
        str(folder / "train.jsonl"), duration_sec=10.0, sample_rate=24_000, pad_last_segment=True
    ).seq()
    heard: Counter[str] = Counter()
    for item in reader:
        channels, length = item["data"].shape
        assert channels == 2
        assert 0 <= length - SEGMENT < BLOCK
        assert item["start_time_sec"] * 24_000 == heard[Path(item["path"]).stem], "one segment after another"
        heard[Path(item["path"]).stem] += min(item["unpadded_len"], SEGMENT)
    assert set(heard) == {row["id"] for row in published}
    for row in published:
        assert heard[row["id"]] == pytest.approx(row["duration"] * 24_000, abs=1)


def test_only_the_assistants_words_and_all_of_them(hummed: Path, exports: Exports) -> None:
    folder = exports("moshi")
    manifest = told(folder)
    published = {row["id"]: row for row in rows(hummed)}
    total = 0
    for split in ("train", "validation", "test"):
        for line in lines(folder / f"{split}.jsonl"):
            row = published[Path(line["path"]).stem]
            found = alignments(folder, line)
            assert [(w, round(a * 16_000), round(b * 16_000)) for w, (a, b), _ in found] == words(row, "assistant")
            assert all(0 <= a < b <= row["duration"] for _, (a, b), _ in found)
            assert {label for *_, label in found} == {"SPEAKER_MAIN"}
            chunks = [between(found, t, t + 7.0) for t in np.arange(0, row["duration"], 7.0)]
            assert sum(map(len, chunks)) == len(found)
            total += len(found)
    assert total == manifest["figures"]["words"] > 50


def test_the_assistant_sounds_on_its_channel_where_its_words_are(hummed: Path, exports: Exports) -> None:
    folder = exports("moshi")
    for line in lines(folder / "train.jsonl"):
        pcm, _ = soundfile.read(folder / line["path"], dtype="float32")
        speaks = np.zeros(len(pcm), bool)
        for _, (start, end), _ in alignments(folder, line):
            speaks[round(start * 16_000) : round(end * 16_000)] = True
        inside, outside = pcm[speaks, 0], pcm[~speaks, 0]
        assert np.square(inside).mean() > 100 * np.square(outside).mean()


def test_channels_and_the_users_words_can_be_asked_for(hummed: Path, tmp_path: Path) -> None:
    manifest = export(hummed, "moshi", tmp_path, channels=["user", "assistant"], user_words=True, limit=1)
    assert any("channel 0 = user" in note for note in manifest["notes"])
    row = rows(hummed, "train")[0]
    line = lines(tmp_path / "train.jsonl")[0]
    assert (soundfile.read(tmp_path / line["path"], dtype="int16")[0][:, 0] == samples(row, "user")).all()
    found = alignments(tmp_path, line)
    assert [(w, round(a * 16_000), round(b * 16_000)) for w, (a, b), _ in found] == words(row, "user", "assistant")
    assert between(found, 0, row["duration"]) == [w for w, _, _ in words(row, "assistant")]
