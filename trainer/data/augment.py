"""What is done to the user's channel before the model hears it: its level and the noise under it.

A released RelayS2S model detects the end of a turn by exact digital silence and by nothing else: white noise at an RMS
of 1e-5 is enough to stop it. Our data has a noise floor of its own under the whole channel (-84 to -60 dBFS, an RMS of
6e-5 to 1e-3), so noise can only be added above that. What makes it quieter is a gate: between the user's words the
channel is muted, as headsets and noise suppression do, and only then the floor is laid. The gate follows the words, not
the turns, so a pause inside a turn sounds like its end and gives nothing away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from datagen.core.audio import Signal, Span, add_noise_floor, fade_edges, from_db, peak
from datagen.core.mixing import Range, Share, draw_range
from datagen.core.rng import stream
from datagen.core.types import Strict
from datagen.core.units import from_ms
from trainer.data.rows import Row

LEAST_RMS = 1e-6
"""Noise under the rows that keep their own floor (-120 dBFS, inaudible): where a dataset holds exact zeros after all, a
mel bin sees -2.4 in place of -15.9, which is 18 nats below the faintest real floor."""
GATE_MS = 200
"""How far the gate of ``with_floor`` stays open around a word: more than the times of words are wrong."""
_FADE_MS = 10
_PEAK_PER_RMS = math.sqrt(3)
"""Of the uniform noise that ``add_noise_floor`` makes."""
_TOP = 0.9999
"""Of full scale: what the level may reach with the noise, with room for rounding."""

Transform = Callable[[Signal, Row, int], Signal]
"""Changes the user's samples of a row in an epoch, in place; gives back what to use. Must travel through pickle."""


class Augmentation(Strict):
    """What training draws for every conversation anew in every epoch."""

    floor_rms: Range = (1e-5, 1e-3)
    """White noise is added at an RMS drawn log-uniformly from this range, full scale = 1."""
    own_share: Share = 0.25
    """Of conversations that keep the floor they have."""
    gated_share: Share = 0.25
    """Of conversations that are muted between the user's words before noise is added: without them nothing quieter
    than the dataset's own floor is ever heard in training."""
    gate_ms: Range = (100.0, 400.0)
    """How far the gate stays open around a word."""
    level_db: float = Field(default=6.0, ge=0)
    """The level is changed by up to this much up or down, less where it would clip."""

    @model_validator(mode="after")
    def _possible(self) -> Augmentation:
        if not 0 < self.floor_rms[0] <= self.floor_rms[1] <= 0.1:
            raise ValueError(f"floor_rms {self.floor_rms}: give RMS values above 0 (exact silence) and up to 0.1")
        if self.own_share + self.gated_share > 1:
            raise ValueError(f"own_share {self.own_share} and gated_share {self.gated_share} are more than all rows")
        if self.gate_ms[0] < 0:
            raise ValueError(f"gate_ms {self.gate_ms} is negative; a gate would cut into words")
        return self


@dataclass(frozen=True)
class Augment:
    """A training transform: what it draws depends on the seed, the epoch and the row's id alone."""

    config: Augmentation
    seed: int

    def __call__(self, samples: Signal, row: Row, epoch: int) -> Signal:
        """Never leaves an exact zero, and never a magnitude above 1 that was not there."""
        rng = stream(self.seed, row.id, f"augment-{epoch}")
        share, level = rng.random(), self.config.level_db * (2 * rng.random() - 1)
        low, high = np.log(self.config.floor_rms)
        rms = math.exp(draw_range((low, high), rng))
        gate_ms = draw_range(self.config.gate_ms, rng)
        if share < self.config.own_share:
            rms = LEAST_RMS
        elif share < self.config.own_share + self.config.gated_share:
            gate(samples, row, from_ms(gate_ms))
        loudest = peak(samples)
        room = (_TOP - _PEAK_PER_RMS * rms) / loudest if loudest else math.inf
        samples *= np.float32(min(math.sqrt(from_db(level)), room))
        add_noise_floor(samples, rms, rng)
        samples[samples == 0] = LEAST_RMS
        return samples


@dataclass(frozen=True)
class WithFloor:
    """An evaluation transform, see ``with_floor``."""

    rms: float
    seed: int = 0

    def __call__(self, samples: Signal, row: Row, epoch: int) -> Signal:
        """The same for every epoch."""
        gate(samples, row, from_ms(GATE_MS))
        if self.rms:
            add_noise_floor(samples, self.rms, stream(self.seed, row.id, "floor"))
        return samples


def with_floor(rms: float, seed: int = 0) -> WithFloor:
    """The channel muted between the user's words (200 ms around them stay as they are), then white noise of exactly
    this RMS under all of it, full scale = 1.

    0 leaves exact digital silence between the words: what a muted microphone sends, and the only condition in which
    the released RelayS2S model takes turns. The noise of a row is the same at every level but for its scale, so levels
    are compared on the same data. Rows as they are published have no transform.
    """
    if not 0 <= rms <= 0.1:
        raise ValueError(f"rms {rms}: give a share of full scale from 0 (digital silence) to 0.1 (-20 dBFS)")
    return WithFloor(rms, seed)


def gate(samples: Signal, row: Row, around: int) -> None:
    """Mutes what is further than ``around`` samples from any word of the user, in place, with fades of 10 ms."""
    fade = from_ms(_FADE_MS)
    last = 0
    for start, end in _open(row, around, samples.size):
        samples[last:start] = 0
        fade_edges(samples[start:end], fade if start else 0, fade if end < samples.size else 0)
        last = end
    samples[last:] = 0


def _open(row: Row, around: int, size: int) -> list[Span]:
    """Where the gate is open: the user's words with what is around them, in order, apart from each other."""
    found: list[Span] = []
    for start, end in sorted(row.spoken("user")):
        start, end = max(start - around, 0), min(end + around, size)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
