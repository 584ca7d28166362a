"""RTTM, CTM and UEM, read line by line as their scorers do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datagen.core.turntaking import PAUSE_SAMPLES
from tests.exporters.making import Exports, exports, hummed, rows, samples, told, words

__all__ = ["exports", "hummed"]
SIDES = ("assistant", "user")


def table(path: Path) -> list[list[str]]:
    """Fields of every line."""
    return [line.split(" ") for line in path.read_text().splitlines()]


def span(start: str, length: str) -> tuple[int, int]:
    """Samples of a start and a length."""
    first = round(float(start) * 16_000)
    return first, first + round(float(length) * 16_000)


def test_the_words_are_those_of_the_row(hummed: Path, exports: Exports) -> None:
    folder = exports("rttm_ctm")
    for split in ("train", "validation", "test"):
        found = table(folder / f"{split}.ctm")
        for row in rows(hummed, split):
            for channel, speaker in enumerate(SIDES, 1):
                own = [f for f in found if f[0] == row["id"] and f[1] == str(channel)]
                assert [(f[4], *span(f[2], f[3])) for f in own] == words(row, speaker)
                assert [float(f[2]) for f in own] == sorted(float(f[2]) for f in own)


def test_speech_is_where_the_words_are_and_pauses_are_left_out(hummed: Path, exports: Exports) -> None:
    folder = exports("rttm_ctm")
    for row in rows(hummed, "train"):
        spoken = np.zeros((2, row["num_samples"]), bool)
        for kind, name, channel, start, length, _, _, speaker, *_ in table(folder / "train.rttm"):
            if name == row["id"]:
                assert kind == "SPEAKER"
                assert SIDES[int(channel) - 1] == speaker
                spoken[int(channel) - 1][slice(*span(start, length))] = True
        for side, speaker in zip(spoken, SIDES, strict=True):
            expected = np.zeros(row["num_samples"], bool)
            for _, start, end in words(row, speaker):
                expected[start:end] = True
            assert (side | ~expected).all(), "every word is speech"
            silent = np.flatnonzero(np.diff(np.concatenate([[0], side, [0]]).astype(int)))
            assert (np.diff(silent)[1::2] >= PAUSE_SAMPLES).all() or len(silent) <= 2
            loud = np.square(samples(row, speaker)[side].astype(float)).mean()
            assert loud > 10 * np.square(samples(row, speaker)[~side].astype(float)).mean()


@pytest.mark.parametrize("speech", ["units", "segments"])
def test_counts_and_lengths(speech: str, hummed: Path, exports: Exports) -> None:
    folder = exports("rttm_ctm", speech=speech)
    manifest = told(folder)
    published = rows(hummed)
    rttm = [line for split in ("train", "validation", "test") for line in table(folder / f"{split}.rttm")]
    segments = sum(len(row["segments"]) for row in published)
    assert manifest["figures"]["spans"] == len(rttm)
    assert len(rttm) == segments if speech == "segments" else len(rttm) > segments
    uem = [line for split in ("train", "validation", "test") for line in table(folder / f"{split}.uem")]
    assert [(n, c, round(float(e) * 16_000)) for n, c, _, e in uem] == [
        (row["id"], str(channel), row["num_samples"]) for row in published for channel in (1, 2)
    ]


def test_the_audio_is_not_even_read(hummed: Path, exports: Exports) -> None:
    folder = exports("rttm_ctm")
    manifest = told(folder)
    assert {"user_audio", "assistant_audio"} <= {text.split(" ")[0] for text in manifest["lost"]}
    assert sorted(path.suffix for path in folder.iterdir()) == sorted([".json", *[".rttm", ".ctm", ".uem"] * 3])
