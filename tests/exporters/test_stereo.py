"""Stereo files with their JSON: what is heard and what is told is the row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from tests.exporters.making import export, hummed, lines, rows, samples
from tests.tiny import Tiny, built

__all__ = ["built", "hummed"]


@pytest.mark.parametrize("audio", ["wav", "flac"])
@pytest.mark.parametrize("channels", [("assistant", "user"), ("user", "assistant")])
def test_the_row_is_all_there(audio: str, channels: tuple[str, str], built: Tiny, tmp_path: Path) -> None:
    manifest = export(built.out, "stereo", tmp_path, audio=audio, channels=channels)
    assert manifest["lost"] == []
    assert f"channel 0 = {channels[0]}" in manifest["notes"][0]
    for split in ("train", "validation", "test"):
        published = rows(built.out, split)
        listed = lines(tmp_path / f"{split}.jsonl")
        assert [line["id"] for line in listed] == [row["id"] for row in published]
        for line, row in zip(listed, published, strict=True):
            pcm, rate = soundfile.read(tmp_path / line["path"], dtype="int16")
            assert (pcm.shape, rate) == ((row["num_samples"], 2), 16_000)
            for channel, speaker in enumerate(channels):
                assert (pcm[:, channel] == samples(row, speaker)).all()
            about = json.loads((tmp_path / line["path"]).with_suffix(".json").read_text())
            told = about.pop("audio")
            assert told == {"path": Path(line["path"]).name, "channels": list(channels)}
            assert about == {name: value for name, value in row.items() if not name.endswith("_audio")}
