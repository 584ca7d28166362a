"""NeMo: Lhotse reads the Shar folder, and the token channels of the duplex data set come out of it."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from datagen.exporters import nemo
from tests.exporters.making import Exports, at, export, exports, hummed, rows, samples, told, words
from tests.tiny import Tiny, built

__all__ = ["built", "exports", "hummed"]
TIMES = re.compile(r"<\|(\d+)\|>")


def read(folder: Path) -> list[Any]:
    """The cuts of a Shar folder, as lhotse gives them."""
    lhotse = pytest.importorskip("lhotse")
    return list(lhotse.CutSet.from_shar(in_dir=folder))


def channel(cut: Any, roles: set[str]) -> list[int]:
    """Tokens of 80 ms as the duplex data set builds them: 1 begins, 2 ends, 100 and up are words, 0 is nothing."""
    lhotse = pytest.importorskip("lhotse")
    frames = lhotse.compute_num_frames(cut.duration, 0.08, cut.sampling_rate)
    tokens = [0] * frames
    for item in cut.supervisions:
        if item.speaker not in roles:
            continue
        first, last = (lhotse.compute_num_frames(t, 0.08, cut.sampling_rate) for t in (item.start, item.end))
        text = [1, *(100 + sum(w.encode()) for w in TIMES.sub("", item.text).split())]
        text = text[: max(0, last - first)]
        tokens[first : first + len(text)] = text
        if last < frames:
            tokens[last] = 2
    return tokens


def test_lhotse_reads_both_sides_of_every_conversation(built: Tiny, tmp_path: Path) -> None:
    export(built.out, "nemo", tmp_path)
    for split in ("train", "validation", "test"):
        published = rows(built.out, split)
        cuts = read(tmp_path / split)
        assert [cut.id for cut in cuts] == [row["id"] for row in published]
        for cut, row in zip(cuts, published, strict=True):
            for found, speaker in ((cut.load_audio(), "user"), (cut.load_custom("target_audio"), "assistant")):
                expected = samples(row, speaker) / 32768
                assert found.shape == (1, row["num_samples"])
                assert np.abs(found[0] - expected).max() <= 1e-4
            assert cut.duration == row["duration"] == cut.target_audio.duration
            assert cut.total_turns == len(cut.supervisions) == len(row["segments"])


@pytest.mark.parametrize("roles", [("user", "agent"), ("User", "Assistant")])
def test_the_roles_are_those_that_are_learned_from(roles: tuple[str, str], hummed: Path, exports: Exports) -> None:
    folder = exports("nemo", user=roles[0], agent=roles[1])
    published = {row["id"]: row for row in rows(hummed, "train")}
    for cut in read(folder / "train"):
        assert {item.speaker for item in cut.supervisions} <= set(roles)
        row = published[cut.id]
        for role, speaker in zip(roles, ("user", "assistant"), strict=True):
            own = [s for s in row["segments"] if s["speaker"] == speaker]
            tokens = channel(cut, {role})
            assert tokens.count(1) == len(own)
            said = sum(len(s["text"].split()) for s in own)
            assert 0.9 * said <= sum(t >= 100 for t in tokens) <= said


def test_word_times_are_frames_from_the_start_of_the_supervision(hummed: Path, exports: Exports) -> None:
    folder = exports("nemo")
    published = {row["id"]: row for row in rows(hummed, "test")}
    checked = 0
    for cut in read(folder / "test"):
        for item, segment in zip(cut.supervisions, published[cut.id]["segments"], strict=True):
            marks = [int(number) for number in TIMES.findall(item.text)]
            text = TIMES.sub("", item.text).split()
            assert text == segment["text"].split()
            assert len(marks) == 2 * len(text)
            for n, word in enumerate(segment["words"]):
                begin = at(segment["start"])
                assert marks[2 * n] == (at(word["start"]) - begin) // 1280
                assert marks[2 * n + 1] == (at(word["end"]) - begin) // 1280
                checked += 1
            aligned = [(a.symbol, at(a.start), at(a.end)) for a in item.alignment["word"]]
            assert aligned == [(w["word"], at(w["start"]), at(w["end"])) for w in segment["words"]]
            assert (at(item.start), at(item.end)) == (at(segment["start"]), at(segment["end"]))
    assert checked > 50


def test_the_overlap_parser_finds_its_segments(hummed: Path, exports: Exports) -> None:
    folder = exports("nemo", word_times="none")
    published = {row["id"]: row for row in rows(hummed, "train")}
    for cut in read(folder / "train"):
        for name, speaker in (("agent_segments", "assistant"), ("user_segments", "user")):
            own = [s for s in published[cut.id]["segments"] if s["speaker"] == speaker]
            assert [(s["start"], s["end"], s["text"]) for s in getattr(cut, name)] == [
                (s["start"], s["end"], s["text"]) for s in own
            ]


def test_nothing_of_the_row_is_lost(hummed: Path, exports: Exports) -> None:
    folder = exports("nemo")
    assert told(folder)["lost"] == []
    for row in rows(hummed, "validation"):
        cut = next(c for c in read(folder / "validation") if c.id == row["id"])
        for column in nemo.KEPT:
            assert cut.custom[column] == row[column]
        for item, segment in zip(cut.supervisions, row["segments"], strict=True):
            assert item.custom["text_full"] == segment["text_full"]
            assert item.custom["yielded"] == segment["yielded"]
            assert item.custom["type"] == segment["kind"]
            assert item.language == row["language"]
        found = sorted((a.symbol, at(a.start), at(a.end)) for s in cut.supervisions for a in s.alignment["word"])
        assert found == sorted(words(row, "user", "assistant"))


def test_the_shards_hold_the_published_flac_byte_by_byte(hummed: Path, tmp_path: Path) -> None:
    """Read without lhotse, as the format is described: a sound and its JSON for every line, in the same order."""
    export(hummed, "nemo", tmp_path, part_rows=2)
    published = {row["id"]: row for row in rows(hummed)}
    shards = sorted((tmp_path / "train").glob("cuts.*.jsonl.gz"))
    assert len(shards) > 1
    for number, path in enumerate(shards):
        assert path.name == f"cuts.{number:06d}.jsonl.gz"
        cuts = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        for field, speaker in (("recording", "user"), ("target_audio", "assistant")):
            with tarfile.open(tmp_path / "train" / f"{field}.{number:06d}.tar") as tar:
                members = tar.getmembers()
                assert [m.name for m in members] == [f"{c['id']}.{end}" for c in cuts for end in ("flac", "json")]
                for cut, sound, about in zip(cuts, members[::2], members[1::2], strict=True):
                    content = tar.extractfile(sound)
                    assert content is not None
                    flac = content.read()
                    assert flac == published[cut["id"]][f"{speaker}_audio"]["bytes"]
                    told = json.load(tar.extractfile(about) or io.BytesIO())
                    assert told["num_samples"] == soundfile.info(io.BytesIO(flac)).frames
                    assert told["sources"] == [{"type": "shar", "channels": [0], "source": ""}]
