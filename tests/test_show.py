"""One conversation as text, picture and sound."""

from __future__ import annotations

import sys
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from datagen import show
from datagen.codec import decode_flac, encode_flac
from tests import tiny_dataset

pytest.importorskip("matplotlib")
IDS = [f"tiny-{n:05d}" for n in range(12)]


def segment(speaker: str, text: str, start: float, end: float, full: str = "", kind: str = "turn") -> dict[str, Any]:
    """Words of equal length; cut off when ``full`` is longer than ``text``."""
    words = text.split()
    step = (end - start) / len(words)
    times = [(start + step * n, start + step * (n + 1)) for n in range(len(words))]
    return {
        "speaker": speaker,
        "kind": kind,
        "start": start,
        "end": end,
        "text": text,
        "text_full": full or text,
        "words": [
            {"word": w, "start": a, "end": b, "estimated": False} for w, (a, b) in zip(words, times, strict=True)
        ],
        "yielded": bool(full),
    }


def event(kind: str, actor: str, start: float, end: float, target: int, outcome: str) -> dict[str, Any]:
    times = {"start": start, "end": end}
    return {"type": kind, "actor": actor, **times, "target": target, "outcome": outcome, "probability": 0.5}


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    """The user speaks with a pause and hears a backchannel, the assistant answers and is cut off."""
    segments = [
        segment("user", "one two three four", 0.25, 2.25),
        segment("assistant", "mm-hmm", 0.75, 1.0, kind="backchannel"),
        segment("assistant", "alpha beta gamma", 2.5, 4.0, full="alpha beta gamma delta epsilon"),
        segment("user", "wait please stop", 3.5, 5.0),
    ]
    segments[0]["words"][2].update(start=1.5, end=1.75)
    noise = {"clip": "rain-1", "scene": "rain", "start": 2.0, "end": 5.5, "snr_db_asked": 15.0, "snr_db": 15.02}
    samples = np.random.default_rng(0).integers(-3000, 3000, (2, 96_000), dtype=np.int16)
    return {
        **tiny_dataset.row(0),
        "id": "demo-0001",
        "duration": 6.0,
        "num_samples": 96_000,
        "user_audio": {"bytes": encode_flac(samples[0]), "path": "user.flac"},
        "assistant_audio": {"bytes": encode_flac(samples[1]), "path": "assistant.flac"},
        "segments": segments,
        "events": [
            event("backchannel", "assistant", 0.75, 1.0, 0, "floor kept"),
            event("pause", "user", 1.25, 1.5, 0, "turn kept"),
            event("barge_in", "user", 3.5, 4.0, 2, "yielded"),
        ],
        "noise": [noise],
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = [tiny_dataset.row(n, turns=2) for n in range(len(IDS))]
    return tiny_dataset.write_rows(tmp_path_factory.mktemp("dataset"), {"train": rows[:10], "test": rows[10:]})


@pytest.mark.parametrize("index", [0, 7, 8, 11])
def test_a_row_is_found_whole_in_any_group_and_split(dataset: str, index: int) -> None:
    assert show.find(dataset, IDS[index]) == tiny_dataset.row(index, turns=2)


def test_a_row_without_audio_reads_no_audio(dataset: str) -> None:
    row = show.find(dataset, IDS[2], audio=False)
    assert "user_audio" not in row
    assert show.text_timeline(row) == show.text_timeline(show.find(dataset, IDS[2]))


def test_an_unknown_id_names_near_ones(dataset: str) -> None:
    with pytest.raises(ValueError, match=r"'tiny-0005': not among the 12 .*near it: .*tiny-00005"):
        show.find(dataset, "tiny-0005")


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file data"):
        show.find(str(tmp_path), "x")


def test_the_lines_tile_the_clock_and_hold_every_word_once(row: dict[str, Any]) -> None:
    lines = show.lines(row)
    assert (lines[0].start, lines[-1].end) == (0, row["num_samples"])
    assert all(left.end == right.start for left, right in pairwise(lines))
    for speaker in ("user", "assistant"):
        said = " ".join(line.said[speaker] for line in lines if line.said[speaker])
        assert said == " ".join(s["text"] for s in row["segments"] if s["speaker"] == speaker)


def test_who_speaks_is_known_line_by_line(row: dict[str, Any]) -> None:
    both = [(line.start, line.end) for line in show.lines(row) if len(line.active) == 2]
    assert both == [(12_000, 16_000), (56_000, 64_000)]
    pause = next(line for line in show.lines(row) if line.start == 20_000)
    assert pause.active == frozenset()


def test_the_text_shows_overlap_cut_words_events_and_noise(row: dict[str, Any]) -> None:
    text = show.text_timeline(row, 140)
    for part in (
        "demo-0001",
        "both speak, 500 ms",
        "not said: delta epsilon",
        "barge-in by user: yielded (500 ms)",
        "backchannel by assistant: floor kept",
        "pause by user: turn kept (250 ms)",
        "noise: rain, 15 dB SNR, until 5.50",
        "silence, 1000 ms",
    ):
        assert part in text, part


@pytest.mark.parametrize("width", [20, 50, 80, 200])
def test_the_text_is_plain_and_fits_its_width(row: dict[str, Any], width: int) -> None:
    text = show.text_timeline(row, width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= max(width, 50)


def test_words_that_look_like_markup_are_shown_as_they_are(row: dict[str, Any]) -> None:
    tricky = {**row, "segments": [segment("user", "[bold] [/x] :smile:", 0.25, 2.0)], "events": [], "noise": []}
    assert "[bold] [/x] :smile:" in show.text_timeline(tricky, 160)


@pytest.mark.parametrize("order", [("assistant", "user"), ("user", "assistant")])
def test_the_stereo_file_has_the_published_samples_in_the_order_asked(
    row: dict[str, Any], tmp_path: Path, order: tuple[Any, Any]
) -> None:
    show.save_wav(row, tmp_path / "x.wav", order)
    samples, rate = soundfile.read(tmp_path / "x.wav", dtype="int16")
    assert rate == 16_000
    for index, speaker in enumerate(order):
        assert np.array_equal(samples[:, index], decode_flac(row[f"{speaker}_audio"]["bytes"]))


def test_a_channel_twice_is_refused(row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="order"):
        show.save_wav(row, tmp_path / "x.wav", ("user", "user"))


def test_the_figure_has_two_lanes_and_every_label(row: dict[str, Any]) -> None:
    figure = show.draw_timeline(row)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"user", "assistant", "mm-hmm", "wait", "(not said)", "gap +250 ms"} <= texts
    assert any(text.startswith("barge-in") for text in texts)
    assert any(text.startswith("noise: rain") for text in texts)


@pytest.mark.parametrize(("start", "end"), [(3.0, 3.0), (-1.0, 2.0), (0.0, 7.0)])
def test_a_stretch_outside_the_conversation_is_refused(row: dict[str, Any], start: float, end: float) -> None:
    with pytest.raises(ValueError, match="stretch"):
        show.draw_timeline(row, start, end)


def test_the_same_row_gives_the_same_picture_bytes(row: dict[str, Any], tmp_path: Path) -> None:
    from datagen import drawing

    for name in ("a.svg", "b.svg"):
        drawing.save(drawing.draw_timeline(row, 0.0, 3.0), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_pictures_do_without_librosa(monkeypatch: pytest.MonkeyPatch) -> None:
    from datagen import drawing

    monkeypatch.setitem(sys.modules, "librosa.filters", None)
    tone = np.sin(2 * np.pi * 2000 * np.arange(16_000) / 16_000).astype(np.float32)
    level, name = drawing.spectrogram(tone)
    assert level.shape == (257, 101)
    assert name == "0-8 kHz"
    assert set(level[:, 10:90].argmax(axis=0)) == {64}


def test_show_prints_and_writes_both_files(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "librosa.filters", None)  # loading it takes longer than all else here
    console = Console(file=StringIO(), width=100)
    paths = show.show(dataset, IDS[4], tmp_path / "new", console=console)
    assert [p.name for p in paths] == [f"{IDS[4]}.png", f"{IDS[4]}.wav"]
    assert all(p.stat().st_size > 1000 for p in paths)
    printed = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "channel 0 = assistant, channel 1 = user" in printed
    assert IDS[4] in printed
