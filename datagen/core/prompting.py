"""Where to cut a recording so that an engine can clone the voice from it, and which cuts are best.

A good prompt begins right before speech, ends in a little natural silence, holds no long pause, no clipping and little
noise, and is said at an ordinary pace; the engine repeats whatever it is given. Times are samples at the recording's
own rate, levels are decibels of full scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from datagen.core.audio import Signal, Span, db, joined
from datagen.core.types import Strict

Pair = tuple[float, float]

FRAMES_PER_SECOND = 100
LEAD_S = 0.1
"""Kept before the first sound: quiet beginnings (f, h, s) lie below the threshold of speech."""
TAIL_S = 0.35
"""Kept after the last sound where there is as much silence."""
GUARD_S = 0.05
"""Left of a pause before what is said next, for its quiet beginning."""
MIN_GAP_S = 0.15
"""A shorter silence is no place to cut: it may be a stop consonant."""
JOIN_S = 0.12
"""Speech is not interrupted by silences up to this length."""
CLICK_S = 0.06
"""A shorter sound is no speech."""
QUIETEST_DB = -80.0
"""Of a noise floor: less is a gate's or a fade's, not a room's."""
PADDING_DB = -110.0
"""Below the rounding of 16-bit samples: digital silence, which at the edges of a recording was put there later."""
THRESHOLD = 0.35
"""Of the way in decibels from the noise floor to loud speech: what is louder is speech. In 33 recordings by many
makers this finds the pauses that one sees in them."""
LEAST_RISE_DB = 6.0
"""A recording whose loud frames rise less above its floor holds no speech that stands out."""
CLIPPED_AT = 0.999
MAX_CLIPPED = 3
"""Samples at full scale in a prompt; one peak touches it in two or three."""
BEST_SNR_DB = 40.0
"""More is not better."""
QUIET_DB = -30.0
FULL_ACTIVITY = 0.75
"""The share of sounding frames in fluent speech is 0.7 to 0.85 in the same 33 recordings."""


class Rules(Strict):
    """What a prompt must be like."""

    seconds: Pair = (3.0, 10.0)
    best_seconds: Pair = (5.0, 8.0)
    """Others cost 2 dB of score per second."""
    short_seconds: Pair = (3.0, 4.0)
    """Of the short prompt for backchannels and the like."""
    short_words: tuple[int, int] = (6, 10)
    tail_seconds: Pair = (0.2, 0.5)
    """Silence at the end; less costs up to 10 dB of score, more is cut off."""
    max_pause_seconds: float = Field(default=0.8, gt=0)
    min_snr_db: float = 15.0
    min_level_db: float = -45.0
    """Of the speech, without its pauses."""
    min_active: float = Field(default=0.5, ge=0, le=1)
    """Share of sounding frames from the first to the last sound."""
    words_per_second: Pair | None = (1.5, 5.0)
    """From the first sound to the last: 19 English readers have 2.1 to 4.6. None for languages written without
    spaces."""
    seconds_per_token: Pair = (0.14, 0.5)
    """By ``acceptance.tokens``; 20 recordings of readers have 0.19 to 0.41. Outside the bounds the text is not that of
    the sound."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("seconds", "best_seconds", "short_seconds", "short_words", "tail_seconds", "seconds_per_token"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name}: give a lower and an upper bound (given: {low:g}, {high:g})")
        return self


@dataclass(frozen=True)
class Hearing:
    """What sounds in a recording, in frames of 10 ms."""

    rate: int
    num_samples: int
    hop: int
    """Samples of a frame."""
    power: npt.NDArray[np.float64]
    """Of every frame, without its mean, averaged with its two neighbours'."""
    active: npt.NDArray[np.bool_]
    clipped: npt.NDArray[np.int64]
    """Samples at full scale in every frame."""
    floor: float
    """Mean power of the quietest tenth, at least ``QUIETEST_DB``."""
    spans: tuple[Span, ...]
    """Speech, pauses up to ``JOIN_S`` included, in samples."""


@dataclass(frozen=True)
class Cut:
    """A stretch of a recording."""

    start: int
    end: int
    spans: tuple[Span, ...]
    """The speech in it, in samples of the recording."""
    rate: int
    snr_db: float
    level_db: float
    score: float
    """Higher is better, in decibels."""
    fault: str
    """Why it is no prompt; empty when it is one."""

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / self.rate

    @property
    def speaking_seconds(self) -> float:
        """From the first sound to the last."""
        return (self.spans[-1][1] - self.spans[0][0]) / self.rate


def listen(signal: Signal, rate: int) -> Hearing:
    """Finds the speech in a recording of one person; ValueError when none stands out of its noise."""
    hop = rate // FRAMES_PER_SECOND
    frames = signal[: signal.size // hop * hop].reshape(-1, hop)
    if len(frames) < FRAMES_PER_SECOND:
        raise ValueError(f"lasts {signal.size / rate:.2f} s, less than a second")
    power = np.convolve(frames.var(axis=1, dtype=np.float64), np.full(3, 1 / 3), "same")
    level = 10 * np.log10(power + 1e-12)
    sounding = np.flatnonzero(level > PADDING_DB)
    recorded = np.maximum(level[sounding[0] : sounding[-1] + 1] if sounding.size else level, QUIETEST_DB)
    low, high = np.percentile(recorded, [10, 90])
    if high - low < LEAST_RISE_DB:
        raise ValueError(f"nothing in it rises {LEAST_RISE_DB:g} dB above its noise")
    active = level > low + THRESHOLD * (high - low)
    return Hearing(
        rate=rate,
        num_samples=signal.size,
        hop=hop,
        power=power,
        active=active,
        clipped=np.count_nonzero(np.abs(frames) >= CLIPPED_AT, axis=1),
        floor=float(np.mean(10 ** (recorded[recorded <= low] / 10))),
        spans=tuple((a * hop, b * hop) for a, b in _spans(active)),
    )


def _spans(active: npt.NDArray[np.bool_]) -> Iterator[Span]:
    """Runs of sounding frames without clicks, joined over short silences."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], active, [False]))))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    sounds = ((start, end) for start, end in runs if end - start >= CLICK_S * FRAMES_PER_SECOND)
    yield from joined(sounds, gap=round(JOIN_S * FRAMES_PER_SECOND))


def cuts(hearing: Hearing, rules: Rules) -> list[Cut]:
    """Every stretch of the right length from one pause to another, in order; some with a fault.

    The edges of the recording count as pauses where it is silent there: speech that reaches an edge may be cut off.
    """
    rate, spans = hearing.rate, hearing.spans
    before = [0, *(end for _, end in spans)]
    after = [*(start for start, _ in spans), hearing.num_samples]
    found: list[Cut] = []
    for first, (onset, _) in enumerate(spans):
        gap = onset - before[first]
        if gap < MIN_GAP_S * rate:
            continue
        start = onset - min(round(LEAD_S * rate), gap // 2)
        for last in range(first, len(spans)):
            stop = spans[last][1]
            room = after[last + 1] - stop
            if stop - start > rules.seconds[1] * rate:
                break
            if room < MIN_GAP_S * rate:
                continue
            tail = min(_tail(rules, rate), room if last == len(spans) - 1 else room - round(GUARD_S * rate))
            if rules.seconds[0] * rate <= stop + tail - start <= rules.seconds[1] * rate:
                found.append(_judged(hearing, rules, start, stop + tail, spans[first : last + 1]))
    return found


def whole(hearing: Hearing, rules: Rules) -> Cut:
    """All the speech of a recording, without more silence around it than a prompt should have."""
    if not hearing.spans:
        raise ValueError("holds no speech")
    start = max(0, hearing.spans[0][0] - round(LEAD_S * hearing.rate))
    end = min(hearing.num_samples, hearing.spans[-1][1] + _tail(rules, hearing.rate))
    return _judged(hearing, rules, start, end, hearing.spans)


def _tail(rules: Rules, rate: int) -> int:
    """Samples of silence wanted at the end."""
    return round(min(max(TAIL_S, rules.tail_seconds[0]), rules.tail_seconds[1]) * rate)


def _judged(hearing: Hearing, rules: Rules, start: int, end: int, spans: tuple[Span, ...]) -> Cut:
    """The cut with what is measured of it."""
    first, last = spans[0][0] // hearing.hop, spans[-1][1] // hearing.hop
    active = hearing.active[first:last]
    level = db(float(hearing.power[first:last][active].mean()))
    snr = level - db(hearing.floor)
    share = float(active.mean())
    seconds = (end - start) / hearing.rate
    pauses = [(b - a) / hearing.rate for (_, a), (b, _) in pairwise(spans)]
    clipped = int(hearing.clipped[start // hearing.hop : -(-end // hearing.hop)].sum())
    tail = (end - spans[-1][1]) / hearing.rate
    faults = {
        f"lasts {seconds:.1f} s, not {rules.seconds[0]:g} to {rules.seconds[1]:g}": not (
            rules.seconds[0] <= seconds <= rules.seconds[1]
        ),
        f"{clipped} samples are clipped": clipped > MAX_CLIPPED,
        f"its speech is {snr:.0f} dB above the noise, not {rules.min_snr_db:g}": snr < rules.min_snr_db,
        f"its speech has {level:.0f} dB, less than {rules.min_level_db:g}": level < rules.min_level_db,
        f"it pauses for {max(pauses, default=0):.1f} s": max(pauses, default=0) > rules.max_pause_seconds,
        f"it sounds {share:.0%} of the time": share < rules.min_active,
    }
    score = (
        min(snr, BEST_SNR_DB)
        - 10 * max(0.0, 1 - tail / max(rules.tail_seconds[0], 1e-9))
        - 2 * max(rules.best_seconds[0] - seconds, seconds - rules.best_seconds[1], 0.0)
        - 20 * max(0.0, FULL_ACTIVITY - share)
        - 0.5 * max(0.0, QUIET_DB - level)
    )
    fault = next((text for text, is_so in faults.items() if is_so), "")
    return Cut(start, end, spans, hearing.rate, snr, level, score, fault)
