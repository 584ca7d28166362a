"""Lhotse's manifests, read by Lhotse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exporters.making import Exports, at, export, exports, hummed, rows, samples, told
from tests.tiny import Tiny, built

__all__ = ["built", "exports", "hummed"]


def cuts(folder: Path, split: str) -> list[Any]:
    """The cuts of a split, with the audio beside them."""
    lhotse = pytest.importorskip("lhotse")
    return list(lhotse.CutSet.from_file(folder / f"{split}_cuts.jsonl.gz").with_recording_path_prefix(folder))


@pytest.mark.parametrize("channels", [("assistant", "user"), ("user", "assistant")])
def test_channels_and_words_are_those_of_the_row(channels: tuple[str, str], built: Tiny, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    export(built.out, "lhotse", tmp_path, channels=channels)
    for split in ("train", "validation", "test"):
        found = cuts(tmp_path, split)
        published = rows(built.out, split)
        assert [cut.id for cut in found] == [row["id"] for row in published]
        for cut, row in zip(found, published, strict=True):
            lhotse.qa.validate(cut)
            audio = cut.load_audio()
            assert audio.shape == (2, row["num_samples"])
            for channel, speaker in enumerate(channels):
                assert np.abs(audio[channel] - samples(row, speaker) / 32768).max() < 1e-4
            for item, segment in zip(cut.supervisions, row["segments"], strict=True):
                assert item.channel == channels.index(segment["speaker"])
                assert item.speaker == segment["speaker"]
                assert item.text == segment["text"]
                assert (at(item.start), at(item.end)) == (at(segment["start"]), at(segment["end"]))
                aligned = [(a.symbol, at(a.start), at(a.end)) for a in (item.alignment or {}).get("word", [])]
                assert aligned == [(w["word"], at(w["start"]), at(w["end"])) for w in segment["words"]]
                guessed = item.custom.get("estimated_words", [])
                assert guessed == [n for n, w in enumerate(segment["words"]) if w["estimated"]]
            assert len(cut.custom["events"]) == len(row["events"])


def test_recordings_and_supervisions_stand_alone_too(hummed: Path, exports: Exports) -> None:
    lhotse = pytest.importorskip("lhotse")
    folder = exports("lhotse")
    recordings = lhotse.RecordingSet.from_file(folder / "train_recordings.jsonl.gz").with_path_prefix(folder)
    supervisions = lhotse.SupervisionSet.from_file(folder / "train_supervisions.jsonl.gz")
    published = rows(hummed, "train")
    assert [r.id for r in recordings] == [row["id"] for row in published]
    assert len(supervisions) == sum(len(row["segments"]) for row in published)
    together = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    assert [len(cut.supervisions) for cut in together] == [len(row["segments"]) for row in published]


def test_nothing_of_the_row_is_lost(hummed: Path, exports: Exports) -> None:
    folder = exports("lhotse")
    assert told(folder)["lost"] == []
    for cut, row in zip(cuts(folder, "test"), rows(hummed, "test"), strict=True):
        elsewhere = {"id", "duration", "segments", "user_audio", "assistant_audio"}
        for column in set(row) - elsewhere:
            assert cut.custom[column] == row[column]
