"""One clock: integer samples at 16 kHz, half-open intervals, signed offsets.

Milliseconds appear where people write numbers (recipes, language files), seconds only in what is published.
"""

from __future__ import annotations

SAMPLE_RATE = 16_000
"""Samples per second of every signal in the project."""

FRAME_MS = 160
"""One model frame, the decision interval of the duplex model (RelayS2S section 2.2)."""

SAMPLES_PER_MS = SAMPLE_RATE // 1000
FRAME_SAMPLES = FRAME_MS * SAMPLES_PER_MS
"""2,560 samples: one tick of the model."""


def from_ms(ms: float) -> int:
    """Milliseconds to samples, rounded half away from zero (so that a sign flip commutes with it).

    >>> from_ms(160), from_ms(-0.03125), from_ms(0.03125)
    (2560, -1, 1)
    """
    samples = ms * SAMPLES_PER_MS
    return int(samples + 0.5) if samples >= 0 else -int(-samples + 0.5)


def to_ms(samples: int) -> float:
    """Samples to milliseconds."""
    return samples / SAMPLES_PER_MS


def to_seconds(samples: int) -> float:
    """Samples to seconds; only for the published border (rows, exports, displays)."""
    return samples / SAMPLE_RATE


def frame_of(sample: int) -> int:
    """The 160 ms frame that holds a sample; integer arithmetic, so exact at every frame border."""
    return sample // FRAME_SAMPLES
