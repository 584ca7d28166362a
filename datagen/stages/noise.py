"""noise: the bank of noise clips at 16 kHz, made or read once and cut from ever after."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field, SerializeAsAny

from datagen.core.audio import Pcm, db, peak, power, to_pcm16
from datagen.core.mixing import LEVEL_SAMPLES, ClipLevels
from datagen.core.types import Strict, Unreadable
from datagen.kinds import Clip, KindConfig, NoiseSource, make, unreadable
from datagen.stages.inputs import Inputs, NoiseClip, Put

NAME = "noise"
VERSION = 1
BANK_PEAK = 0.9
SILENT_POWER = 1e-10
"""-100 dBFS: a clip below it is no noise."""


class Config(Strict):
    noise: SerializeAsAny[KindConfig]
    seed: int
    clips_per_shard: int = Field(default=4, ge=1)


def num_shards(config: Config) -> int:
    """Shards the bank needs."""
    source: NoiseSource = make("noise", config.noise)
    return -(-len(source.clips()) // config.clips_per_shard)


def records(config: Config, shard: int, inputs: Inputs) -> Iterator[Clip | Unreadable]:
    """The shard's clips, and with the first shard whatever the kind could not read."""
    source: NoiseSource = make("noise", config.noise)
    if shard == 0:
        yield from unreadable(source)
    start = shard * config.clips_per_shard
    yield from source.clips()[start : start + config.clips_per_shard]


def process(clip: Clip, config: Config, inputs: Inputs, put: Put) -> NoiseClip:
    """The clip's samples in the pack, at the highest level that 16 bits hold well."""
    source: NoiseSource = make("noise", config.noise)
    signal = source.read(clip, config.seed)
    if power(signal) < SILENT_POWER:
        raise ValueError("the clip is silent")
    pcm, _ = to_pcm16(signal * np.float32(BANK_PEAK / peak(signal)))
    return NoiseClip(
        levels=levels(clip.id, pcm),
        scene=clip.scene,
        licence=clip.licence,
        origin=clip.origin,
        shard=inputs.shard,
        pcm=put(pcm.astype("<i2").tobytes()),
    )


def levels(clip_id: str, pcm: Pcm) -> ClipLevels:
    """Where the clip sounds."""
    windows = [power(pcm[start : start + LEVEL_SAMPLES]) for start in range(0, pcm.size, LEVEL_SAMPLES)]
    return ClipLevels(
        id=clip_id,
        num_samples=pcm.size,
        levels_db=tuple(max(round(db(p), 1), -120.0) for p in windows),
    )
