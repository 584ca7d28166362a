"""Conversations with tones and noise in place of voices: plans with samples, and no engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datagen.core.audio import Pcm, active_power, from_pcm16, peak
from datagen.core.mixing import Blocks, Levels
from datagen.core.records import Plan, Timeline, VoicedScript
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import KindConfig
from datagen.stages import plan, render
from datagen.stages.noise import levels
from tests.strategies import english, plan_config

CONFIG = render.Config(seed=1)
NATURAL = english().profiles["natural"]
LEVELS, BLOCKS = Levels(), Blocks()
Samples = npt.NDArray[np.float64]
Sing = Callable[[int, np.random.Generator], Samples]


def tone(size: int, rng: np.random.Generator) -> Samples:
    """A pure tone of some pitch."""
    return 0.4 * np.sin(2 * np.pi * rng.uniform(90, 400) / SAMPLE_RATE * np.arange(size) + rng.uniform(0, 6))


def hiss(size: int, rng: np.random.Generator) -> Samples:
    """White noise."""
    return np.clip(rng.normal(0, 0.1, size), -0.99, 0.99)


@dataclass(frozen=True)
class Scene:
    """A plan and the samples it refers to."""

    plan: Plan
    sound: render.Sound

    @property
    def timeline(self) -> Timeline:
        return self.plan.timeline

    def render(self, config: render.Config = CONFIG) -> render.Signals:
        """Both signals."""
        return render.render(self.timeline, self.plan.mix, self.sound, config)

    def calm(self) -> render.Signals:
        """Both signals without the noise blocks."""
        mix = self.plan.mix.model_copy(update={"noise": ()})
        return render.render(self.timeline, mix, render.Sound(utterances=self.sound.utterances, noise=()), CONFIG)

    def floor(self) -> render.Signals:
        """Both signals with neither speech nor noise blocks."""
        silent = [np.zeros_like(u) for u in self.sound.utterances]
        return Scene(self.plan, render.Sound(utterances=silent, noise=())).calm()


def pcm16(signal: Samples) -> Pcm:
    """16-bit samples."""
    return np.rint(signal * 32_767).astype(np.int16)


def scene(
    record: VoicedScript,
    phenomena: tuple[KindConfig, ...],
    *,
    seed: int = 1,
    sing: Sing = hiss,
    asked: Levels = LEVELS,
    blocks: Blocks = BLOCKS,
) -> Scene:
    """The record with sung utterances and a bank of two noises, planned."""
    rng = np.random.default_rng(seed)
    sung = [pcm16(sing(u.num_samples, rng)) for u in record.utterances]
    measured = tuple(
        u.model_copy(
            update={
                "active_power": active_power(from_pcm16(pcm), [(w.start, w.end) for w in u.words]),
                "peak": peak(from_pcm16(pcm)),
            }
        )
        for u, pcm in zip(record.utterances, sung, strict=True)
    )
    clips = {f"n{n}": pcm16(np.clip(rng.normal(0, 0.05, size), -1, 1)) for n, size in enumerate((60_000, 200_000))}
    config = plan_config(phenomena, NATURAL, seed).model_copy(update={"levels": asked, "blocks": blocks})
    bank = [levels(name, pcm) for name, pcm in clips.items()]
    made = plan.plan(record.model_copy(update={"utterances": measured}), config, bank)
    noise = [clips[b.clip][b.clip_start : b.clip_start + b.end - b.start] for b in made.mix.noise]
    return Scene(made, render.Sound(utterances=sung, noise=noise))
