"""Collections of voices made on the spot: espeak-ng speaks, in a room with some noise, and its words are known."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import datagen.asr
from datagen.core.types import Word
from datagen.core.units import SAMPLE_RATE
from tests.tts.speaking import engine, voice

Pcm = npt.NDArray[np.int16]

LONG = (
    "I walked along the river until the sun went down, and then I took the last bus home to my family.",
    "She told me that the museum opens at nine, but on Sundays you have to wait until noon.",
    "We never found out who had left the letter, although everybody in the house had a theory.",
)
SHORT = "Let us meet again at the station tomorrow."
VARIANTS = ("m1", "f2", "m3", "f1", "m7", "f4", "m2", "f3")
ROOM_S = 0.6
"""Of room noise before and after what is said."""


@cache
def spoken(text: str, variant: str, room_s: float = ROOM_S) -> tuple[Pcm, tuple[Word, ...]]:
    """A recording at 16 kHz, its speech some 50 dB above its noise, and its words."""
    speech = engine().synthesize(text, voice(variant=variant, rate_wpm=150), 0)
    assert speech.words is not None
    room = round(room_s * SAMPLE_RATE)
    pcm = np.random.default_rng(len(text)).normal(0, 8, speech.pcm.size + 2 * room)
    pcm[room : room + speech.pcm.size] += speech.pcm
    return np.rint(pcm).astype(np.int16), tuple(word.moved(room) for word in speech.words)


def write(path: Path, text: str, variant: str, room_s: float = ROOM_S) -> None:
    """The recording, and what the recogniser ``known`` is to hear in it."""
    pcm, words = spoken(text, variant, room_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")
    path.with_suffix(".json").write_text(json.dumps([[word.text, word.start, word.end] for word in words]))


def write_voxceleb(root: Path, people: int) -> None:
    """VoxCeleb1's layout: everyone has three long recordings and a short one, from two videos."""
    rows = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    for number in range(people):
        id_, variant = f"id{10_001 + number}", VARIANTS[number % len(VARIANTS)]
        for take, text in enumerate((*LONG, SHORT)):
            write(root / f"wav/{id_}/video{take % 2}/{take:05d}.wav", text, variant)
        rows.append(f"{id_}\tSome_Body_{number}\t{variant[0]}\tUSA\tdev")
    (root / "vox1_meta.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def known_asr(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kind ``known`` among the recognisers; gives its name."""
    stand_in = str(Path(__file__).parent / "stand_in")
    monkeypatch.setattr(datagen.asr, "__path__", [*datagen.asr.__path__, stand_in])
    yield "known"
    sys.modules.pop("datagen.asr.known", None)
