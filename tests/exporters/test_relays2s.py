"""RelayS2S: what its loader, rewritten here from its description, makes of an export is what the row teaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.units import FRAME_SAMPLES
from datagen.exporters.relays2s import tick_safe
from tests.exporters.making import Exports, at, export, exports, hummed, lines, rows, samples
from tests.tiny import Tiny, built
from trainer.data.rows import row_of
from trainer.targets import Rules, items_of, label_ticks, target
from trainer.tokens import ControlTokens

__all__ = ["built", "exports", "hummed"]
TOKENS = ControlTokens(pad=0, bos=1, eos=2, stp=3, boc=4, sil=5, hod=6, vocabulary=100_000)
FILES = {"train": "train", "validation": "valid", "test": "test"}


def encode(text: str) -> list[int]:
    """A token per word, which differs from word to word."""
    return [100 + sum(word.encode()) for word in text.split()]


def loader(cut: Any) -> np.ndarray:
    """The public loader's labels of a Lhotse cut, in seconds divided by 0.16 as it does."""
    length = int(cut.duration / 0.16 + 0.5)
    tokens = np.full(length, TOKENS.sil)
    for item in sorted(cut.supervisions, key=lambda s: s.start):
        if item.speaker != "assistant":
            continue
        first, last = int(item.start / 0.16), min(int(item.end / 0.16), length - 1)
        kind = item.custom["type"]
        opening = TOKENS.boc if kind == "backchannel" else TOKENS.bos
        closing = TOKENS.stp if kind == "interrupted" else TOKENS.eos
        text = [opening, *encode(item.text), closing]
        text = text if kind == "backchannel" else text[: last - first]
        tokens[first : first + len(text)] = text[: length - first]
        if kind == "interrupted":
            tokens[last] = TOKENS.stp
    return tokens


def cuts(folder: Path, name: str) -> Sequence[Any]:
    """Cuts as prepare_shar makes them of a JSON line."""
    lhotse = pytest.importorskip("lhotse")
    found = []
    for line in lines(folder / f"{name}.jsonl"):
        recording = lhotse.Recording(
            id=line["conv_id"] + "_user",
            sources=[
                lhotse.AudioSource(type="file", channels=[0], source=str(folder / "syn_dialogs" / line["user_audio"]))
            ],
            sampling_rate=line["sampling_rate"],
            num_samples=line["num_samples"],
            duration=line["conv_len"],
        )
        cut = recording.to_cut()
        cut.supervisions = [
            lhotse.SupervisionSegment(
                id=f"{line['conv_id']}_{role}_turn_{n}",
                recording_id=recording.id,
                start=turn["start"],
                duration=turn["end"] - turn["start"],
                text=turn["text"],
                speaker=role,
                custom={"type": turn["type"]},
            )
            for role in ("assistant", "user")
            for n, turn in enumerate(line[f"{role}_label"])
        ]
        found.append(cut)
    return found


@pytest.mark.parametrize("made", ["built", "hummed"])
def test_the_loader_sees_the_labels_of_the_row(made: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found: Tiny | Path = request.getfixturevalue(made)
    folder = found.out if isinstance(found, Tiny) else found
    export(folder, "relays2s", tmp_path)
    teaching = 0
    for split, name in FILES.items():
        published = rows(folder, split)
        read = cuts(tmp_path, name)
        assert [cut.id.rsplit("_", 1)[0] for cut in read] == [row["id"] for row in published]
        for row, cut in zip(published, read, strict=True):
            made_of = items_of(row_of(row))
            expected = target(made_of, row["num_samples"], encode, TOKENS, Rules(mode="relays2s")).ids_K
            found_K = loader(cut)
            assert len(found_K) == label_ticks(row["num_samples"])
            assert found_K.tolist() == expected.tolist()
            teaching += int((found_K != TOKENS.sil).sum())
            assert cut.load_audio().shape == (1, row["num_samples"])
    assert teaching > 100


def test_the_wavs_are_the_channels_of_the_row(hummed: Path, exports: Exports) -> None:
    folder = exports("relays2s")
    published = {row["id"]: row for row in rows(hummed)}
    every = [line for name in FILES.values() for line in lines(folder / f"{name}.jsonl")]
    assert len(every) == len(published)
    for line in every:
        row = published[line["conv_id"]]
        for role in ("user", "assistant"):
            path = folder / "syn_dialogs" / line[f"{role}_audio"]
            pcm, rate = soundfile.read(path, dtype="int16")
            assert rate == line["sampling_rate"] == 16_000
            assert pcm.ndim == 1
            assert len(pcm) == line["num_samples"] == round(line["conv_len"] * 16_000)
            assert (pcm == samples(row, role)).all()
            assert path.name.startswith(row["id"] + "_")
            assert row["voices"][role]["id"] in path.name


def test_the_labels_are_the_segments(hummed: Path, exports: Exports) -> None:
    folder = exports("relays2s")
    published = {row["id"]: row for row in rows(hummed)}
    kinds: dict[str, int] = {}
    for line in [line for name in FILES.values() for line in lines(folder / f"{name}.jsonl")]:
        for role in ("user", "assistant"):
            own = [s for s in published[line["conv_id"]]["segments"] if s["speaker"] == role]
            assert len(own) == len(line[f"{role}_label"])
            for segment, label in zip(own, line[f"{role}_label"], strict=True):
                assert (at(segment["start"]), at(segment["end"])) == (at(label["start"]), at(label["end"]))
                assert label["text"] == segment["text"]
                wanted = "interrupted" if segment["yielded"] else "standard"
                assert label["type"] == ("backchannel" if segment["kind"] == "backchannel" else wanted)
                kinds[label["type"]] = kinds.get(label["type"], 0) + 1
    assert set(kinds) == {"standard", "interrupted", "backchannel"}


@given(st.integers(0, 16_000 * 600))
def test_a_time_is_found_in_its_tick_and_stands_for_its_sample(sample: int) -> None:
    seconds = tick_safe(sample / 16_000)
    assert int(seconds / 0.16) == sample // FRAME_SAMPLES
    assert round(seconds * 16_000) == sample


def test_every_tick_border_is_found_where_plain_seconds_are_not() -> None:
    borders = range(0, 1_200)
    assert sum(int(n * FRAME_SAMPLES / 16_000 / 0.16) != n for n in borders) == 132
    assert all(int(tick_safe(n * FRAME_SAMPLES / 16_000) / 0.16) == n for n in borders)
