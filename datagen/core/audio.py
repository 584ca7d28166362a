"""Arithmetic on signals: powers, fades, mixing, noise and 16-bit samples.

A signal is a one-dimensional float32 array at 16 kHz with full scale = 1. A power is a mean square, so 0 dB is the
power of a signal that is at full scale all the time. Functions that change their argument say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from datagen.core.units import from_ms

Signal = npt.NDArray[np.float32]
Pcm = npt.NDArray[np.int16]
Span = tuple[int, int]

FULL_SCALE = 32_768
"""16-bit steps per unit of a signal."""

_CHUNK = 1 << 15
"""Samples converted at a time: three such buffers stay in the processor's cache, which doubles the speed."""

_ENERGY_CHUNK = 1 << 13
_NOISE_STEPS = 128
"""Steps from the middle to the edge of the noise floor: finer than 16 bits up to a floor of -56 dBFS."""

CLICK_LIMIT = 2.0
"""``clicks`` above this are worth a look. Measured at 1,065 places in 25 recordings: running speech reaches 1.7, speech
cut with a fade of 5 to 20 ms 1.1; half of the hard cuts exceed 3.6, the others fall on places that hide them."""

_CLICK_REACH = from_ms(0.5)
"""Samples on each side of a cut that count as the cut: covers the ringing of a step in a fourth difference."""
_CLICK_NEIGHBOURHOOD = from_ms(10)
"""Samples on each side that say how bright the sound around a cut is; both together hold a pitch period."""


def db(ratio: float) -> float:
    """A ratio of powers in decibels; 0 gives minus infinity.

    >>> round(db(100.0), 6), db(0.0)
    (20.0, -inf)
    """
    if ratio < 0:
        raise ValueError(f"ratio {ratio} is negative; powers are not")
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf


def from_db(level_db: float) -> float:
    """Decibels as a ratio of powers.

    >>> from_db(20.0)
    100.0
    """
    return 10 ** (level_db / 10)


def power(x: Signal | Pcm) -> float:
    """Mean square, exact to one in a million; 0 for an empty signal. 16-bit samples count as shares of full scale."""
    return _energy(x) / x.size if x.size else 0.0


def active_power(x: Signal | Pcm, spans: Iterable[Span]) -> float:
    """Mean square over the samples of ``spans`` alone (half-open intervals): the level of speech without its silences.

    ValueError when a span leaves the signal or when the spans hold no sample at all.
    """
    energy, count = 0.0, 0
    for start, end in joined(spans):
        if not 0 <= start <= end <= x.size:
            raise ValueError(f"span {start}..{end} is not inside the {x.size} samples of the signal")
        energy += _energy(x[start:end])
        count += end - start
    if count == 0:
        raise ValueError("spans hold no sample; give at least one stretch that sounds")
    return energy / count


def fade_edges(x: Signal, start_fade_samples: int, end_fade_samples: int) -> Signal:
    """Raises the first samples from silence and lowers the last ones to it, along a raised cosine, IN PLACE.

    A fade-out laid over the fade-in of the same length adds up to 1. Where the two fades are longer than the signal
    both shrink in proportion, so that both edges still reach silence. Returns ``x``.
    """
    if start_fade_samples < 0 or end_fade_samples < 0:
        raise ValueError(f"fades of {start_fade_samples} and {end_fade_samples} samples; a fade is not negative")
    asked = start_fade_samples + end_fade_samples
    if asked > x.size:
        start_fade_samples = x.size * start_fade_samples // asked
        end_fade_samples = x.size - start_fade_samples if end_fade_samples else 0
    if start_fade_samples:
        x[:start_fade_samples] *= _ramp(start_fade_samples)
    if end_fade_samples:
        x[x.size - end_fade_samples :] *= _ramp(end_fade_samples)[::-1]
    return x


def add_at(out: Signal, piece: Signal, at: int) -> None:
    """Adds ``piece`` to ``out`` from sample ``at`` on, in place; ValueError when it does not fit."""
    if at < 0 or at + piece.size > out.size:
        raise ValueError(f"a piece of {piece.size} samples at {at} does not fit into {out.size} samples")
    out[at : at + piece.size] += piece


def noise_gain(speech_power: float, noise_power: float, snr_db: float) -> float:
    """The factor for a noise of ``noise_power`` that puts it ``snr_db`` below speech of ``speech_power``.

    Measure the noise as it will be mixed, with its fades. ValueError when either is silent.
    """
    if speech_power <= 0 or noise_power <= 0:
        raise ValueError(f"powers {speech_power} (speech) and {noise_power} (noise); silence has no ratio, skip it")
    return math.sqrt(speech_power / (noise_power * from_db(snr_db)))


def realised_snr_db(speech_power: float, noise: Signal) -> float:
    """Speech over noise as mixed: ``noise`` is the block with its gain and its fades; infinite when it is silent."""
    noise_power = power(noise)
    return db(speech_power / noise_power) if noise_power > 0 else math.inf


def add_noise_floor(x: Signal, rms: float, rng: np.random.Generator) -> None:
    """Adds white noise to ``x``, in place: uniform in +-sqrt(3) * rms, flat spectrum, bounded peaks, no repetition.

    One byte per sample, which is many times faster than normal numbers and sounds the same. The level is exact in
    expectation; over n samples it scatters by about 3.9 / sqrt(n) dB.
    """
    if rms < 0:
        raise ValueError(f"rms {rms} is negative")
    factor = np.float32(rms * math.sqrt(3) / _NOISE_STEPS)
    noise = np.empty(min(x.size, _CHUNK), np.float32)
    for start in range(0, x.size, _CHUNK):
        part = x[start : start + _CHUNK]
        draws = rng.bit_generator.random_raw(-(-part.size // 8)).view(np.int8)[: part.size]
        part += np.multiply(draws, factor, out=noise[: part.size])


def to_pcm16(x: Signal) -> tuple[Pcm, int]:
    """16-bit samples, rounded to the nearest step and saturated, and how many samples saturation changed.

    ``to_pcm16(from_pcm16(pcm))`` gives ``pcm`` back. ValueError for a NaN.
    """
    pcm = np.empty(x.size, np.int16)
    buffer = np.empty(min(x.size, _CHUNK), np.float32)
    clipped = 0
    for start in range(0, x.size, _CHUNK):
        part = x[start : start + _CHUNK]
        steps = np.multiply(part, np.float32(FULL_SCALE), out=buffer[: part.size])
        np.rint(steps, out=steps)
        low, high = steps.min(), steps.max()
        if not low <= high:
            raise ValueError("the signal holds NaN; find the operation that made it")
        if low < -FULL_SCALE or high > FULL_SCALE - 1:
            clipped += int(np.count_nonzero((steps < -FULL_SCALE) | (steps > FULL_SCALE - 1)))
            np.clip(steps, -FULL_SCALE, FULL_SCALE - 1, out=steps)
        pcm[start : start + _CHUNK] = steps
    return pcm, clipped


def from_pcm16(pcm: Pcm) -> Signal:
    """16-bit samples as a signal, a fresh array; exact."""
    return np.multiply(pcm, np.float32(1 / FULL_SCALE), dtype=np.float32)


def peak(x: Signal) -> float:
    """The largest magnitude; 0 for an empty signal."""
    return float(max(x.max(), -x.min())) if x.size else 0.0


def longest_zero_run(pcm: Pcm) -> int:
    """Length of the longest stretch of exact digital zeros: what tells a muted channel from a quiet room."""
    zero = np.zeros(pcm.size + 2, bool)
    np.equal(pcm, 0, out=zero[1:-1])
    edges = np.flatnonzero(zero[1:] != zero[:-1])
    return int((edges[1::2] - edges[::2]).max(initial=0))


def clicks(x: Signal, at_samples: Iterable[int]) -> float:
    """How much brighter the sound is at the worst of some places than beside it: an energy ratio, 0 without places.

    Compared are the peaks of the fourth difference (which rises 24 dB per octave, so that a step stands out of a
    voice) within 0.5 ms of the place and up to 10 ms around. What one sample that is a 16-bit step off would give is
    added to both, so that rounding never counts and silence gives 1. Judge by ``CLICK_LIMIT``. ValueError for a place
    outside the signal.
    """
    floor, reach = (6 / FULL_SCALE) ** 2, _CLICK_REACH + _CLICK_NEIGHBOURHOOD
    worst = 0.0
    for at in at_samples:
        if not 0 <= at <= x.size:
            raise ValueError(f"place {at} is not inside the {x.size} samples of the signal")
        first, stop = max(at - reach, 0), min(at + reach, x.size)
        around = np.zeros(stop - first + 4)
        around[2:-2] = x[first:stop]
        bright = np.square(np.diff(around, n=4))
        left, right = max(at - first - _CLICK_REACH, 0), at - first + _CLICK_REACH
        # The outermost differences see the zeros around the excerpt, not the signal.
        beside = max(bright[2:left].max(initial=0), bright[right:-2].max(initial=0))
        worst = max(worst, float((bright[left:right].max(initial=0) + floor) / (beside + floor)))
    return worst


def joined(spans: Iterable[Span], gap: int = 0) -> Iterator[Span]:
    """The spans with those that touch, or lie at most ``gap`` apart, made one. Words mostly touch, and fewer spans are
    faster.

    >>> list(joined([(0, 3), (3, 5), (7, 9)])), list(joined([(0, 3), (5, 9)], gap=2))
    ([(0, 5), (7, 9)], [(0, 9)])
    """
    held: Span | None = None
    for start, end in spans:
        if held is not None and 0 <= start - held[1] <= gap and start <= end:
            held = (held[0], end)
            continue
        if held is not None:
            yield held
        held = (start, end)
    if held is not None:
        yield held


def _energy(x: Signal | Pcm) -> float:
    """Sum of squares: in float32 within a chunk, small enough to stay in one thread, in float64 between chunks."""
    scale = FULL_SCALE**-2 if x.dtype == np.int16 else 1.0
    buffer = np.empty(min(x.size, _ENERGY_CHUNK), np.float32)
    total = 0.0
    for start in range(0, x.size, _ENERGY_CHUNK):
        part = x[start : start + _ENERGY_CHUNK]
        if part.dtype == np.int16:
            part = np.multiply(part, np.float32(1), out=buffer[: part.size])
        total += float(np.dot(part, part))
    return total * scale


def _ramp(num_samples: int) -> Signal:
    phase = (np.arange(num_samples) + 0.5) * (math.pi / num_samples)
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
