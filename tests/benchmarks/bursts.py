"""Speech whose form is known: a burst per word, 0.4 s apart. And the ways in which a speech model spoils a clip.

Shared by the speech server and the batch tool of the benchmarks and by the stand-in for a CosyVoice checkout, which
gets a copy of this file: numpy and the standard library alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]

RATE = 24_000
WORD_S, GAP_S = 0.34, 0.06
"""A word and the gap after it: 150 words per minute."""
EDGE_S = 0.15
"""Near-silence before and after the words."""
SILENCE = 10 ** (-60 / 20)
"""RMS between words."""

SOUND = ("silent", "long", "pause", "noise", "half")
"""Faults of a clip, which an acceptance test must find: nothing in it, far too long for its text, two seconds of
silence inside, clipped noise, only half of the words."""
HOPELESS = "squirrelled"
"""A text with this word fails every time, each time in another way."""


def drawn_fault(text: str, share: float, kinds: Sequence[str], rng: np.random.Generator) -> str:
    """One of the kinds of fault, each as often as any other, in ``share`` of the cases; else ``good``."""
    is_good = rng.random() >= share
    return "good" if is_good and HOPELESS not in text else kinds[int(rng.integers(len(kinds)))]


def speech_like(text: str, rng: np.random.Generator) -> Signal:
    """Mono samples at RATE: a burst per word, voiced with a moving pitch and a hiss at its start, over faint noise."""
    t = np.arange(round(WORD_S * RATE), dtype=np.float32) / np.float32(RATE)
    envelope, onset = np.sqrt(np.sin(np.pi * t / t[-1]).clip(0)), np.exp(-t / 0.03)
    edge, gap = (np.zeros(round(seconds * RATE), np.float32) for seconds in (EDGE_S, GAP_S))
    pitch = rng.uniform(90, 220)
    pieces = [edge]
    for _ in range(max(len(text.split()), 1)):
        cycles = pitch * (t + 0.02 * np.sin(2 * np.pi * rng.uniform(2, 5) * t))
        hiss = rng.standard_normal(t.size, np.float32) * onset
        pieces += [0.15 * envelope * (2 * (cycles % 1) - 1 + hiss), gap]
    signal = np.concatenate([*pieces, edge])
    return (signal + SILENCE * rng.standard_normal(signal.size, np.float32)).astype(np.float32)


def spoiled(signal: Signal, fault: str, rng: np.random.Generator) -> Signal:
    """The clip with one of the faults of SOUND, ``short`` (30 ms, less than a speech token) or ``nan``; as it is for
    any other name."""
    middle = signal.size // 2
    match fault:
        case "silent":
            return np.zeros_like(signal)
        case "long":
            return np.tile(signal, 6)
        case "pause":
            return np.concatenate([signal[:middle], np.zeros(2 * RATE, np.float32), signal[middle:]])
        case "noise":
            return np.clip(rng.normal(size=signal.size) * 4, -1, 1).astype(np.float32)
        case "half":
            return signal[:middle]
        case "short":
            return signal[: round(0.03 * RATE)]
        case "nan":
            holed = signal.copy()
            holed[middle] = np.nan
            return holed
        case _:
            return signal
