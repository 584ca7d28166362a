"""Tools every synthetic scene is built from: noise of a wanted spectrum over time, tones, echoes, levels.

Signals are float32 arrays of samples at 16 kHz. Slow things (gains, spectra, pitches) live on *frames*, one every 512
samples (32 ms), and are arrays ``(frames, 1)``; spectra over frequency are ``(1, 513)``; a power map is their product.
Everything is a pure function of its arguments and the generator that is passed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from datagen.core.units import SAMPLE_RATE

Signal = npt.NDArray[np.floating[Any]]
"""Samples or a map; float32 except where a frequency is summed up over time."""
Points = tuple[tuple[float, float], ...]
"""A spectrum as pairs of (Hz, dB), rising in Hz, read with straight lines over the logarithm of the frequency."""

HOP = 512
WINDOW = 2 * HOP
FRAME_SECONDS = HOP / SAMPLE_RATE
FREQUENCIES: Signal = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE).astype(np.float32)[None, :]
FREQUENCIES.flags.writeable = False
_TAPER: Signal = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW).astype(np.float32)
_TAPER.flags.writeable = False


def frame_count(n: int) -> int:
    """How many frames cover ``n`` samples; frame ``i`` is centred on sample ``i * HOP``."""
    return n // HOP + 2


def frame_times(n: int) -> Signal:
    """Seconds of the frames' centres, ``(frames, 1)``."""
    return (np.arange(frame_count(n), dtype=np.float32) * np.float32(FRAME_SECONDS))[:, None]


def db(value: Signal | float) -> Signal:
    """Decibels to power."""
    return np.power(np.float32(10), np.asarray(value, np.float32) / 10)


def spectrum(points: Points, frequencies: Signal = FREQUENCIES) -> Signal:
    """The power of a spectrum at the frames' frequencies, or at the given ones (any shape); flat beyond its ends."""
    hz, level = np.array(points).T
    return db(np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(hz), level).astype(np.float32))


def bump(centre_hz: Signal | float, octaves: float, frequencies: Signal = FREQUENCIES) -> Signal:
    """A resonance of power 1 at its centre, falling off like a bell over the logarithm of the frequency."""
    distance = np.log2(np.maximum(frequencies, 1.0) / centre_hz) / octaves
    return np.exp(-np.square(distance), dtype=np.float32)


def drift(rng: np.random.Generator, frames: int, seconds: float) -> Signal:
    """A smooth random curve of mean 0 and standard deviation 1, ``(frames, 1)``, that turns about every ``seconds``."""
    width = max(3, round(seconds / FRAME_SECONDS)) | 1
    kernel = np.hanning(width + 2)[1:-1]
    steps = rng.standard_normal(frames + width - 1)
    return (np.convolve(steps, kernel / np.linalg.norm(kernel), "valid")).astype(np.float32)[:, None]


def per_sample(curve: Signal, n: int) -> Signal:
    """A curve on frames, read at every sample with straight lines in between."""
    values = np.broadcast_to(curve, (frame_count(n), 1)).astype(np.float32)
    ramp = (np.arange(HOP, dtype=np.float32) / HOP)[None, :]
    return (values[:-1] + np.diff(values, axis=0) * ramp).ravel()[:n]


def _overlap_add(frames: Signal, n: int) -> Signal:
    halves = np.zeros((len(frames) + 1, HOP), np.float32)
    halves[:-1] += frames[:, :HOP]
    halves[1:] += frames[:, HOP:]
    return halves.ravel()[HOP : HOP + n]


def sculpted(rng: np.random.Generator, n: int, power: Signal) -> Signal:
    """Gaussian noise whose spectrum follows a power map ``(frames, 513)`` (or anything that broadcasts to it).

    Incoherent sounds add in power, so a scene sums the maps of its noisy parts and pays for one synthesis.
    """
    shape = (frame_count(n), FREQUENCIES.shape[1])
    noise = rng.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]
    frames = np.fft.irfft(noise * np.sqrt(np.broadcast_to(power, shape)), WINDOW, axis=1)
    return _overlap_add(frames * _TAPER, n) * np.float32(np.sqrt(HOP))


def filtered(signal: Signal, gain: Signal) -> Signal:
    """A signal through a filter that changes over time; ``gain`` is an amplitude map ``(frames, 513)``."""
    n = len(signal)
    padded = np.zeros((frame_count(n) + 1) * HOP, np.float32)
    padded[HOP : HOP + n] = signal
    blocks = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectra = np.fft.rfft(blocks * _TAPER, axis=1) * gain
    return _overlap_add(np.fft.irfft(spectra, WINDOW, axis=1) * _TAPER, n)


def phase(hz: Signal) -> npt.NDArray[np.float64]:
    """Cycles passed at every sample of a tone with the frequency ``hz`` per sample."""
    return np.cumsum(hz, dtype=np.float64) / SAMPLE_RATE


def tone(cycles: npt.NDArray[np.float64], amplitudes: npt.ArrayLike, rng: np.random.Generator) -> Signal:
    """A periodic sound with the given harmonics (the first is the fundamental), their phases drawn at random."""
    levels = np.asarray(amplitudes, np.float64)
    size = 2048
    table = np.fft.irfft(np.concatenate([[0], levels * np.exp(2j * np.pi * rng.random(len(levels)))]), size) * size / 2
    return table.astype(np.float32)[(cycles * size).astype(np.int64) % size]


def decay(n: int, seconds: float) -> Signal:
    """An exponential that falls by 60 dB within ``seconds``, with a rise of 4 samples so that it does not click."""
    t = np.arange(n, dtype=np.float32)
    return np.exp(t * np.float32(-6.91 / (seconds * SAMPLE_RATE))) * np.minimum(1, (t + 1) / 4)


def ping(hz: float, seconds: float, n: int, start: float = 0.0) -> Signal:
    """A decaying sine from the given phase (in cycles)."""
    t = np.arange(n, dtype=np.float32) / SAMPLE_RATE
    return np.sin(2 * np.pi * (np.float32(hz) * t + np.float32(start))) * decay(n, seconds)


def burst(rng: np.random.Generator, n: int, points: Points, seconds: float) -> Signal:
    """A decaying burst of coloured noise with an RMS of about 1 at its start."""
    size = 1 << (n - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(
        np.fft.rfft(rng.standard_normal(size)) * np.sqrt(spectrum(points, hz.astype(np.float32))), size
    )
    return (noise[:n] / np.sqrt(np.mean(np.square(noise)))).astype(np.float32) * decay(n, seconds)


def place(n: int, kernel: Signal, starts: npt.NDArray[np.intp], amplitudes: Signal) -> Signal:
    """Copies of a short sound at the given samples; what reaches beyond either end of the ``n`` samples is cut off."""
    out = np.zeros(n + 2 * len(kernel), np.float32)
    for start, amplitude in zip(starts, amplitudes, strict=True):
        at = min(max(int(start), -len(kernel)), n) + len(kernel)
        out[at : at + len(kernel)] += amplitude * kernel
    return out[len(kernel) : len(kernel) + n]


def convolved(n: int, *pairs: tuple[Signal, Signal]) -> Signal:
    """The sum of signals of ``n`` samples, each through its own filter (a short kernel), cut to ``n`` samples."""
    size = -(-(n + max(len(kernel) for _, kernel in pairs)) // 8000) * 8000
    total = np.zeros(size // 2 + 1, np.complex64)
    for signal, kernel in pairs:
        total += np.fft.rfft(signal, size) * np.fft.rfft(kernel, size)
    return np.fft.irfft(total, size)[:n]


def room(rng: np.random.Generator, seconds: float, direct: float) -> Signal:
    """An echo kernel: the direct sound, then a tail that falls by 60 dB within ``seconds`` and loses its treble."""
    n = int(seconds * SAMPLE_RATE)
    tail = rng.standard_normal(n).astype(np.float32) * decay(n, seconds)
    dull = np.convolve(tail, np.hanning(9)[1:-1].astype(np.float32), "same")
    tail = tail * decay(n, 0.3 * seconds) + 0.5 * dull
    kernel = tail / np.sqrt(np.sum(np.square(tail)))
    kernel[0] += direct
    return kernel.astype(np.float32)


def unit(signal: Signal, level_db: float = 0.0) -> Signal:
    """The signal at an RMS of ``level_db`` decibels re 1; silence stays silence."""
    rms = np.sqrt(np.mean(np.square(signal), dtype=np.float64))
    return signal * np.float32(10 ** (level_db / 20) / rms) if rms > 0 else signal


def colour(rng: np.random.Generator) -> Points:
    """A place's and a microphone's own response: a tilt and a few decibels of rise and fall from octave to octave."""
    octaves = np.arange(9)
    level = rng.normal(0, 0.7) * (octaves - 5) + rng.normal(0, 2.0, len(octaves))
    return tuple((31.25 * 2.0**i, float(gain)) for i, gain in zip(octaves, level, strict=True))


RMS, KNEE, CEILING = 0.05, 0.5, 0.9
"""The level of every finished clip, the amplitude from which peaks are bent, and the one they stay below."""


def finish(signal: Signal, response: Points) -> npt.NDArray[np.float32]:
    """The signal as a microphone delivers it: no DC, nothing below 15 Hz or above 7.8 kHz, at a fixed level.

    Peaks above ``KNEE`` are bent smoothly towards ``CEILING``: rare transients lose a little, nothing else changes.
    """
    hz = np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE).astype(np.float32)
    band = np.interp(hz, [0, 15, 40, 7200, 7800, 8000], [0, 0, 1, 1, 0, 0]).astype(np.float32)
    shaped = np.fft.irfft(np.fft.rfft(signal) * band * np.sqrt(spectrum(response, hz)), len(signal))
    out = unit(shaped.astype(np.float32), 20 * np.log10(RMS))
    over = np.abs(out) > KNEE
    if over.any():
        loud = out[over]
        span = CEILING - KNEE
        out[over] = np.sign(loud) * (KNEE + span * np.tanh((np.abs(loud) - KNEE) / span))
    return out.astype(np.float32)
