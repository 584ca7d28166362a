"""Voices that say nothing: a pulse train and noise through moving formants, for babble where no TTS engine is at hand.

Pure functions of their arguments and the generator that is passed in. Syllables come at the rate of speech (about four
a second), phrases fall in pitch and end in pauses, vowels are those of English; there are no words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datagen.core.units import SAMPLE_RATE
from datagen.noise._shaping import (
    FREQUENCIES,
    Signal,
    bump,
    convolved,
    db,
    drift,
    filtered,
    frame_count,
    frame_times,
    per_sample,
    phase,
    room,
    sculpted,
    tone,
    unit,
)

Rng = np.random.Generator

VOWELS = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ],
    np.float32,
)
"""Formants in Hz of ten English vowels spoken by men (Peterson and Barney 1952, table II)."""
VOWELS.flags.writeable = False
BANDWIDTHS = (80.0, 110.0, 170.0)
"""Usual bandwidths of the three formants in Hz."""
FORMANT_LEVELS = (1.0, 0.8, 0.5)
STOP, FRICATIVE, NASAL, PAUSE, VOWEL = range(5)
VOICED = np.array([0.03, 0.06, 0.4, 0.0, 1.0], np.float32)
"""Amplitude of the pulse train in each kind of segment."""
BREATH = np.array([0.03, 0.22, 0.01, 0.0, 0.012], np.float32)
"""Amplitude of the noise in each kind of segment."""


def _segments(rng: Rng, seconds: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Kinds and durations of segments, a consonant or pause before every vowel, longer than ``seconds`` altogether."""
    count = int(seconds / 0.15) + 40
    heads = rng.choice([STOP, FRICATIVE, NASAL, PAUSE], count, p=[0.34, 0.22, 0.31, 0.13])
    length = np.where(heads == FRICATIVE, rng.uniform(0.08, 0.14, count), rng.uniform(0.04, 0.1, count))
    silence = np.where(rng.random(count) < 0.25, rng.uniform(1.0, 3.0, count), rng.uniform(0.15, 0.6, count))
    length = np.where(heads == PAUSE, silence, length)
    vowels = rng.lognormal(np.log(0.12), 0.35, count)
    kinds = np.stack([heads, np.full(count, VOWEL)], 1).ravel()
    return kinds.astype(np.intp), np.stack([length, vowels], 1).ravel()


def _glide(curve: Signal) -> Signal:
    """A three-frame glide, so that the mouth moves instead of jumping."""
    padded = np.concatenate([curve[:1], curve, curve[-1:]])
    return (0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]).astype(np.float32)


def _pitch(rng: Rng, base_hz: float, kinds: npt.NDArray[np.intp]) -> Signal:
    """The fundamental on frames: falling through each phrase, starting afresh after each pause."""
    position = np.arange(len(kinds))
    starts = np.maximum.accumulate(np.where(kinds == PAUSE, position, 0))
    fall = np.exp(-0.004 * np.minimum(position - starts, 90))[:, None]
    return base_hz * fall * np.exp(rng.uniform(0.05, 0.12) * drift(rng, len(kinds), 0.3))


def _formants(tracks: Signal) -> Signal:
    """The mouth's gain ``(frames, 513)`` for formant tracks ``(frames, 3)`` in Hz."""
    gain = np.zeros((len(tracks), FREQUENCIES.shape[1]), np.float32)
    for i, (width, level) in enumerate(zip(BANDWIDTHS, FORMANT_LEVELS, strict=True)):
        gain += np.float32(level) / np.sqrt(1 + np.square((FREQUENCIES - tracks[:, i : i + 1]) / np.float32(width)))
    return gain / (1 + np.square(np.float32(120) / np.maximum(FREQUENCIES, 1)))


def voice(rng: Rng, n: int) -> tuple[Signal, Signal]:
    """One speaker of ``n`` samples: the voiced part as a signal of RMS 1, the breath as a power map beside it."""
    high = rng.random() < 0.5
    base_hz = rng.uniform(165, 235) if high else rng.uniform(85, 140)
    tract = rng.uniform(1.1, 1.25) if high else rng.uniform(0.94, 1.08)
    seconds = n / SAMPLE_RATE
    kinds, lengths = _segments(rng, seconds)
    ends = np.cumsum(lengths)
    index = np.searchsorted(ends, frame_times(n)[:, 0] + rng.uniform(0, 4), "right")
    mouth = VOWELS[rng.integers(0, len(VOWELS), len(kinds))] * np.float32(tract)
    mouth[0::2] = 0.5 * (mouth[0::2] + mouth[1::2])
    mouth[0::2, 0] = 260
    stress = np.exp(0.3 * rng.standard_normal((len(kinds), 1))).astype(np.float32)
    voiced = _glide((VOICED[kinds][:, None] * stress)[index])
    pitch = _pitch(rng, base_hz, kinds[index])
    harmonics = np.arange(1.0, int(7800 / (1.15 * base_hz)))
    source = tone(phase(per_sample(pitch, n)), harmonics**-0.85, rng)
    sound = filtered(source, _formants(_glide(mouth[index])) * voiced)
    hiss_hz = rng.uniform(2200, 5500, (len(kinds), 1)).astype(np.float32)[index]
    breath = np.square(_glide((BREATH[kinds][:, None] * stress)[index])) * bump(hiss_hz, 0.6)
    return unit(sound), breath * np.float32(40)


def crowd(rng: Rng, n: int, speakers: int) -> Signal:
    """Several speakers around a table or a room, each at its own distance, with the echo of the room."""
    total = np.zeros(n, np.float32)
    breaths = np.zeros((frame_count(n), FREQUENCIES.shape[1]), np.float32)
    for _ in range(speakers):
        sound, breath = voice(rng, n)
        level = db(rng.normal(0, 3))
        total += sound * np.sqrt(level)
        breaths += breath * level
    return echoing(rng, total + sculpted(rng, n, breaths))


def echoing(rng: Rng, signal: Signal) -> Signal:
    """A signal of RMS 1 as heard from some way off in a room: less treble, more echo."""
    echoes = room(rng, rng.uniform(0.3, 0.7), direct=rng.uniform(0.8, 1.6))
    far = convolved(len(signal), (signal, echoes))
    corner = rng.uniform(1500, 3500)
    dull = np.power(1 + np.square(FREQUENCIES / np.float32(corner)), -0.25)
    return unit(filtered(far, dull.astype(np.float32)))
