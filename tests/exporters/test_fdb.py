"""Full-Duplex-Bench: every item is what the benchmark's scripts expect, and as many as the rows have events."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.exporters.making import at, dataset, export, hummed, lines, rows, samples
from tests.tiny import Tiny, built

__all__ = ["built", "hummed"]
V1 = {
    "pause_handling": {"input.wav", "pause.json", "transcription.json"},
    "smooth_turn_taking": {"input.wav", "turn_taking.json", "transcription.json"},
    "backchannel": {"input.wav", "backchannel.json", "transcription.json"},
    "user_interruption": {"input.wav", "interrupt.json", "context.wav", "interrupt.wav", "transcription.json"},
}
V15 = {task: {"input.wav", "clean_input.wav", "metadata.json"} for task in ("user_interruption", "user_backchannel")}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of 40 conversations and its whole as a test set."""
    base = tmp_path_factory.mktemp("fdb")
    folder = dataset(base / "set", 40)
    export(folder, "fdb", base / "bench", split="train")
    return folder, base / "bench"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_folders_are_those_of_the_benchmark(bench: tuple[Path, Path]) -> None:
    _, out = bench
    for version, tasks in (("v1.0", V1), ("v1.5", V15)):
        for folder in (out / version).iterdir():
            items = list(folder.iterdir())
            assert items
            assert all(item.name.isdigit() for item in items)
            assert all({file.name for file in item.iterdir()} == tasks[folder.name] for item in items)
    assert {folder.name for folder in (out / "v1.0").iterdir()} == set(V1)


def test_the_sound_is_the_users_at_the_place_that_is_told(bench: tuple[Path, Path]) -> None:
    folder, out = bench
    published = {row["id"]: row for row in rows(folder)}
    for item in lines(out / "items.jsonl"):
        user = samples(published[item["conversation"]], "user")[at(item["start"]) : at(item["end"])]
        for version in ("v1.0", "v1.5"):
            path = out / version / item["task"] / str(item["item"]) / "input.wav"
            if path.exists():
                pcm, rate = soundfile.read(path, dtype="int16")
                assert rate == 16_000
                assert (pcm == user).all()


def test_there_is_an_item_for_every_event(bench: tuple[Path, Path]) -> None:
    folder, out = bench
    found = Counter(item["task"] for item in lines(out / "items.jsonl"))
    expected: Counter[str] = Counter()
    for row in rows(folder, "train"):
        segments = row["segments"]
        for segment in segments:
            inside = [e for e in row["events"] if segment["start"] <= e["start"] and e["end"] <= segment["end"]]
            if segment["speaker"] == "user" and segment["kind"] == "turn":
                expected["pause_handling"] += any(e["type"] == "pause" and e["actor"] == "user" for e in inside)
                starts = [e["start"] for e in row["events"] if e["type"] == "backchannel"]
                expected["backchannel"] += any(segment["start"] <= t < segment["end"] for t in starts)
        expected["user_interruption"] += sum(e["type"] == "barge_in" for e in row["events"])
    for task, count in expected.items():
        assert found[task] == count > 0, task


def test_what_is_marked_is_what_is_heard(bench: tuple[Path, Path]) -> None:
    """A marked pause is quiet and lies between words, a change of turns begins in silence after the last word, an
    interruption sounds."""
    _, out = bench
    for path in (out / "v1.0").glob("*/*/input.wav"):
        pcm = soundfile.read(path, dtype="int16")[0].astype(float)
        task, item = path.parent.parent.name, path.parent

        def level(start: float, end: float, pcm: np.ndarray = pcm) -> float:
            return float(np.sqrt(np.square(pcm[round(start * 16_000) : round(end * 16_000)]).mean()))

        if task == "pause_handling":
            chunks = read(item / "transcription.json")["chunks"]
            for mark in read(item / "pause.json"):
                start, end = mark["timestamp"]
                assert mark["text"] == "[PAUSE]"
                assert level(start, end) < 0.2 * level(chunks[0]["timestamp"][0], chunks[-1]["timestamp"][1])
                assert not any(a < (start + end) / 2 < b for a, b in (c["timestamp"] for c in chunks))
        elif task == "smooth_turn_taking":
            ((start, end),) = [m["timestamp"] for m in read(item / "turn_taking.json")]
            last = read(item / "transcription.json")["chunks"][-1]["timestamp"][1]
            assert last <= start <= end
            assert len(pcm) / 16_000 > start
        elif task == "user_interruption":
            (mark,) = read(item / "interrupt.json")
            start, end = mark["timestamp"]
            assert level(start, end) > 3 * level(max(0, start - 0.3), start)
            again = soundfile.read(item / "interrupt.wav", dtype="int16")[0]
            assert (again == pcm[round(start * 16_000) : round(end * 16_000)]).all()
            text = read(item / "transcription.json")["text"]
            assert text.startswith(mark["context"])
            assert text.endswith(mark["interrupt"])


def test_the_clean_input_lacks_the_event_and_only_that(bench: tuple[Path, Path]) -> None:
    _, out = bench
    checked = 0
    for item in (out / "v1.5").glob("*/*"):
        about = read(item / "metadata.json")
        assert set(about) == {"context_text", "current_turn_text", "timestamps"}
        first, last = (round(t * 16_000) for t in about["timestamps"])
        whole, clean = (soundfile.read(item / f"{n}.wav", dtype="int16")[0] for n in ("input", "clean_input"))
        assert len(whole) == len(clean)
        assert (whole[:first] == clean[:first]).all()
        assert (whole[last:] == clean[last:]).all()
        power = [float(np.square(x[first + 80 : last - 80].astype(float)).mean()) for x in (whole, clean)]
        assert 0 < power[1] < power[0] / 10, "the background goes on"
        checked += 1
    assert checked > 3


def test_the_test_split_is_taken_unless_another_is_named(built: Tiny, tmp_path: Path) -> None:
    manifest = export(built.out, "fdb", tmp_path)
    ids = {row["id"] for row in rows(built.out, "test")}
    assert manifest["splits"] == ["test"]
    assert manifest["counts"]["in"] == len(ids)
    assert {item["conversation"] for item in lines(tmp_path / "items.jsonl")} <= ids
