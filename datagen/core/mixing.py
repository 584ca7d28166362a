"""Levels and noise of a conversation, decided before any sample is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from datagen.core.audio import from_db
from datagen.core.records import Mix, NoiseBlock, Utterance
from datagen.core.types import Speaker, Strict
from datagen.core.units import SAMPLE_RATE


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if not -np.inf < limits[0] <= limits[1] < np.inf:
        raise ValueError(f"range {limits}: give two numbers, the lower first")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Low and high end of a uniform draw."""
Share = Annotated[float, Field(ge=0, le=1)]
BlockSeconds = Annotated[float, Field(ge=0.1)]
LEVEL_SAMPLES = SAMPLE_RATE // 10
"""100 ms, the grain of a clip's levels."""
MIN_BLOCK = SAMPLE_RATE
"""A shorter rest is added to the block before it, or where the clip is too short for that, filled up from it."""
TRIES = 16
"""Draws of a clip and a start before a silent stretch is taken for want of another."""
PEAK = 0.9
"""Speech alone stays below this share of full scale, whatever level is asked for."""


class Levels(Strict):
    """How loud things are, in dB below full scale; each conversation draws its own."""

    user_dbfs: Range = (-30.0, -22.0)
    """Active speech level: people sit at different distances."""
    assistant_dbfs: Range = (-26.0, -26.0)
    floor_dbfs: Range = (-84.0, -60.0)
    """Noise floor under the whole user channel. Never digital silence: a model trained on exact zeros detects the end
    of a turn by them and by nothing else (released RelayS2S model, its model card)."""


class Blocks(Strict):
    """Noise blocks as RelayS2S section 3.2 describes them: non-overlapping blocks of 5-10 s from one clip each,
    covering 50-100 % of the conversation at 0-20 dB."""

    probability: float = Field(default=1.0, ge=0, le=1)
    """Share of conversations with noise blocks."""
    coverage: Annotated[tuple[Share, Share], AfterValidator(_rising)] = (0.5, 1.0)
    block_s: Annotated[tuple[BlockSeconds, BlockSeconds], AfterValidator(_rising)] = (5.0, 10.0)
    snr_db: Range = (0.0, 20.0)


class ClipLevels(Strict):
    """How long a noise clip is and where it sounds."""

    id: str
    num_samples: int = Field(gt=0)
    levels_db: tuple[float, ...]
    """Mean level of every 100 ms, the last one perhaps shorter; a silent one counts -120."""

    def sounds(self, start: int, stop: int) -> bool:
        """Whether a stretch is worth mixing: not 30 dB below the clip as a whole."""
        powers = np.power(10.0, np.asarray(self.levels_db) / 10)
        window = powers[start // LEVEL_SAMPLES : max(stop // LEVEL_SAMPLES, start // LEVEL_SAMPLES + 1)]
        return bool(window.mean() > 1e-3 * powers.mean())


def draw_range(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """A uniform draw."""
    return limits[0] + (limits[1] - limits[0]) * float(rng.random())


def speech_gain(utterances: Sequence[Utterance], speaker: Speaker, level_dbfs: float) -> float:
    """The factor that brings a speaker's words to a level, less where a peak would exceed 0.9 of full scale."""
    own = [u for u in utterances if u.speaker == speaker]
    if not own:
        return 1.0
    samples = [sum(w.end - w.start for w in u.words) for u in own]
    mean = sum(u.active_power * n for u, n in zip(own, samples, strict=True)) / max(sum(samples), 1)
    return min((from_db(level_dbfs) / mean) ** 0.5, PEAK / max(u.peak for u in own))


def plan_blocks(
    blocks: Blocks, clips: Sequence[ClipLevels], num_samples: int, rng: np.random.Generator
) -> tuple[NoiseBlock, ...]:
    """Noise blocks that cover the drawn share of ``num_samples`` exactly.

    Args:
        blocks: what to draw.
        clips: every clip of the bank; a block is never longer than its clip.
        num_samples: length of the conversation.
        rng: the conversation's noise stream.

    Blocks are drawn until the coverage is reached, the last one cut to it; the uncovered rest is spread between them
    at random.
    """
    if not clips or rng.random() >= blocks.probability:
        return ()
    left = int(draw_range(blocks.coverage, rng) * num_samples)
    free = num_samples - left
    chosen: list[tuple[str, int, int]] = []
    while left > 0:
        clip, start, size = _draw_block(blocks, clips, left, rng)
        chosen.append((clip.id, start, size))
        left -= size
    cuts = np.sort(rng.integers(0, free + 1, size=len(chosen)))
    placed: list[NoiseBlock] = []
    covered = 0
    for (clip, clip_start, size), gap in zip(chosen, cuts, strict=True):
        start = covered + int(gap)
        snr_db = round(draw_range(blocks.snr_db, rng), 3)
        placed.append(NoiseBlock(clip=clip, clip_start=clip_start, start=start, end=start + size, snr_db=snr_db))
        covered += size
    return tuple(placed)


def _draw_block(
    blocks: Blocks, clips: Sequence[ClipLevels], left: int, rng: np.random.Generator
) -> tuple[ClipLevels, int, int]:
    """A clip, a start in it and a size of at most ``left`` samples; where it sounds, if there is such a place."""
    clip, start, size = clips[0], 0, min(left, clips[0].num_samples)
    for _ in range(TRIES):
        clip = clips[int(rng.integers(len(clips)))]
        size = _block_size(int(draw_range(blocks.block_s, rng) * SAMPLE_RATE), left, clip.num_samples)
        start = int(rng.integers(clip.num_samples - size + 1))
        if clip.sounds(start, start + size):
            break
    return clip, start, size


def _block_size(drawn: int, left: int, available: int) -> int:
    """The drawn size as far as the clip goes, or what avoids a short rest."""
    size = min(drawn, left, available)
    if left - size >= MIN_BLOCK:
        return size
    return left if left <= available else max(min(available, left - MIN_BLOCK), 1)


def plan_mix(
    utterances: Sequence[Utterance],
    num_samples: int,
    levels: Levels,
    blocks: Blocks,
    clips: Sequence[ClipLevels],
    rng: np.random.Generator,
) -> Mix:
    """Gains, floor and noise of one conversation."""
    user_dbfs, assistant_dbfs = draw_range(levels.user_dbfs, rng), draw_range(levels.assistant_dbfs, rng)
    floor = from_db(draw_range(levels.floor_dbfs, rng)) ** 0.5
    return Mix(
        user_gain=speech_gain(utterances, "user", user_dbfs),
        assistant_gain=speech_gain(utterances, "assistant", assistant_dbfs),
        floor_rms=floor,
        noise=plan_blocks(blocks, clips, num_samples, rng),
    )
