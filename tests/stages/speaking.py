"""An engine that says anything as a buzz as long as its text, and fails in every way the rules know."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datagen.core.acceptance import tokens
from datagen.core.rng import stream
from datagen.core.types import Prompt, Voice
from datagen.files import Folder
from datagen.kinds import KindConfig, Speech, Unspoken
from datagen.stages.studio import Studio
from datagen.stages.synthesize import Config

Signal = npt.NDArray[np.float64]
RATE = 16_000
SECONDS_PER_TOKEN = 0.25


def buzz(text: str, seed: int) -> Signal:
    """Noise with the rhythm of syllables, a little silence around it, as long as the text takes to say."""
    rng = stream(seed, text, "buzz")
    size = int(max(tokens(text), 1) * SECONDS_PER_TOKEN * RATE)
    wave = rng.standard_normal(size) * (0.06 + 0.03 * np.sin(np.arange(size) * 2 * np.pi * 4 / RATE))
    return np.concatenate([np.zeros(RATE // 5), wave, np.zeros(RATE // 5)])


def silence(wave: Signal) -> Signal:
    return np.zeros_like(wave)


def cut_off(wave: Signal) -> Signal:
    return wave[: RATE // 5 + 640]


def rambling(wave: Signal) -> Signal:
    return np.concatenate([wave] * 12)


def hole(wave: Signal) -> Signal:
    middle = wave.size // 2
    return np.concatenate([wave[:middle], np.zeros(2 * RATE), wave[middle:]])


def overdriven(wave: Signal) -> Signal:
    return np.clip(wave * 60, -1, 1)


FAULTS: dict[str, Callable[[Signal], Signal]] = {
    "silent": silence,
    "too short": cut_off,
    "too long": rambling,
    "inner silence": hole,
    "clipped": overdriven,
}
"""What the reason begins with -> what is done to the clip."""


class Buzzer:
    """The engine. ``fault`` says by text, voice and seed what goes wrong: a name of FAULTS, ``fails`` or nothing."""

    def __init__(
        self, fault: Callable[[str, Voice, int], str] = lambda text, voice, seed: "", parallel: int = 1
    ) -> None:
        self.fault, self.parallel = fault, parallel
        self.calls: list[tuple[str, str, int]] = []
        self._lock = threading.Lock()

    def check_voice(self, voice: Voice) -> None:
        """Everyone can buzz."""

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        with self._lock:
            self.calls.append((text, voice.prompts[0].path if voice.prompts else "", seed))
        name = self.fault(text, voice, seed)
        if name == "fails":
            raise Unspoken("the server sent half a clip")
        wave = FAULTS.get(name, lambda same: same)(buzz(text, seed))
        return Speech(np.rint(np.clip(wave, -1, 1) * 32_767).astype(np.int16), None)


def voice(name: str = "v1", prompts: tuple[float, ...] = ()) -> Voice:
    """A voice with prompts of so many seconds, named after them."""
    listed = tuple(
        Prompt(path=f"p{number}-{seconds:g}s.wav", sha256=f"{number:064d}", text="These are my words.", seconds=seconds)
        for number, seconds in enumerate(prompts)
    )
    return Voice(id=name, language="en", split="train", origin="o", licence="CC0-1.0", prompts=listed)


def studio(engine: Buzzer, shelf: Path, recogniser: Any = None, aligner: Any = None, **changes: Any) -> Studio:
    """A studio with this engine."""
    voices = (voice("v1"), voice("v2"))
    config = Config(tts=KindConfig(kind="buzz"), voices=voices, seed=1, **changes)
    return Studio(config, engine, recogniser, aligner, Folder(str(shelf)))
