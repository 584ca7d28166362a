"""Where speech begins and ends in a clip, and how long it is silent in between, by the energy of 10 ms frames.

Everything is measured against the clip's own active level, so that a quiet voice is treated like a loud one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datagen.core.audio import FULL_SCALE, Pcm, Signal
from datagen.core.units import from_ms

Levels = npt.NDArray[np.float32]
"""dBFS of every frame, mean square without its DC; 0 = full scale all the time, silence = ``NOTHING_DB``."""

FRAME = from_ms(10)
"""Samples per frame: as long as one pitch period of a low voice, so voiced speech has no silent frames."""
NOTHING_DB = -120.0
"""Below the rounding of 16 bits (-101 dB): digital silence."""

ACTIVE_DB = 20.0
"""The active level is the mean power of the frames within this of the loudest one: vowels and most consonants."""
SPEECH_DB = 25.0
"""A frame less than this below the active level is speech, whatever the noise. In 32 recordings of people what a voice
activity detector (Silero) takes for speech reaches at most 110 ms beyond the first and the last such frame."""
SILENCE_DB = 40.0
"""A frame more than this below it is silence: weak fricatives lie above, the floor of a clean clip far below."""
FLOOR_MARGIN_DB = 10.0
"""How far above the clip's noise floor a frame must be to stand out: frames of noise scatter by a few dB."""
_FLOOR_FRAMES = 5
"""The noise floor is the mean power of the quietest 50 ms: longer than the closures inside words."""


def frame_levels(pcm: Pcm | Signal) -> Levels:
    """The level of every 10 ms, the last one possibly shorter; empty for an empty clip."""
    scale = np.float32(1 / FULL_SCALE if pcm.dtype == np.int16 else 1)
    whole = pcm.size // FRAME * FRAME
    frames = np.multiply(pcm[:whole], scale, dtype=np.float32).reshape(-1, FRAME)
    powers = frames.var(axis=1)
    if whole < pcm.size:
        powers = np.append(powers, np.multiply(pcm[whole:], scale, dtype=np.float32).var())
    return (10 * np.log10(np.maximum(powers, 10 ** (NOTHING_DB / 10)))).astype(np.float32)


def active_level(levels: Levels) -> float:
    """The level of the speech without its silences, in dBFS; ``NOTHING_DB`` for an empty clip.

    It depends on the loudest frames alone, so cutting silence off does not change it.
    """
    if not levels.size:
        return NOTHING_DB
    return _mean(levels[levels >= levels.max() - ACTIVE_DB])


def threshold(levels: Levels) -> float:
    """The level that parts speech from silence at a clip's edges: ``FLOOR_MARGIN_DB`` above the noise floor, but no
    further below the active level than ``SILENCE_DB`` and no nearer than ``SPEECH_DB``. ValueError for an empty
    clip."""
    if not levels.size:
        raise ValueError("a clip without samples has no levels")
    active = active_level(levels)
    powers = 10 ** (levels.astype(np.float64) / 10)
    width = min(_FLOOR_FRAMES, levels.size)
    smooth = np.convolve(powers, np.full(width, 1 / width), "valid")
    floor = 10 * float(np.log10(smooth.min()))
    return min(max(floor + FLOOR_MARGIN_DB, active - SILENCE_DB), active - SPEECH_DB)


def trimmed(pcm: Pcm | Signal, keep_samples: int) -> tuple[int, int]:
    """``[start, stop)`` of the clip without the silence around its speech, of which ``keep_samples`` (up to a whole
    frame more) stay where there is so much.

    No frame less than ``SPEECH_DB`` below the active level is cut off. Trimming what was trimmed changes nothing. A
    clip of one level, be it noise or digital silence, is left whole: to refuse it is for others.
    """
    if keep_samples < 0:
        raise ValueError(f"keep_samples is {keep_samples}; give 0 or more")
    levels, keep = frame_levels(pcm), -(-keep_samples // FRAME)
    first, stop = 0, levels.size
    while stop > first:  # with its silence gone a clip's floor may count as higher: until nothing more goes
        loud = first + np.flatnonzero(levels[first:stop] > threshold(levels[first:stop]))
        edges = max(first, int(loud[0]) - keep), min(stop, int(loud[-1]) + 1 + keep)
        if edges == (first, stop):
            break
        first, stop = edges
    return first * FRAME, min(stop * FRAME, pcm.size)


def spoken(levels: Levels) -> tuple[int, int]:
    """The frames from the first that is speech to the last, half-open."""
    loud = np.flatnonzero(levels > active_level(levels) - SPEECH_DB)
    return (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, 0)


def longest_silence(levels: Levels) -> int:
    """Frames of the longest stretch without speech inside the clip; a breath is no speech."""
    first, stop = spoken(levels)
    loud = np.flatnonzero(levels[first:stop] > active_level(levels) - SPEECH_DB)
    return int(np.diff(loud).max(initial=1)) - 1


def _mean(levels: Levels) -> float:
    """The mean of levels as powers."""
    return float(10 * np.log10(np.mean(10 ** (levels.astype(np.float64) / 10))))
