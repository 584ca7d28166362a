"""What an oracle could reach: scores are only meaningful beside the ceiling that the data's own randomness sets.

The moment at which an assistant answers and the places at which a listener says "mhm" are drawn at random. A model
that had learnt the generating process perfectly would still miss some of them. These functions say how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
import numpy.typing as npt

from datagen.core.histogram import Histogram
from datagen.core.rng import stream
from datagen.core.types import Strict
from datagen.core.units import FRAME_SAMPLES, SAMPLES_PER_MS

_Z95 = 1.959964
_PERMILLE = 1_000
_WAIT_STEP = 10 * SAMPLES_PER_MS
_REPEATS = 1_000


class OnsetCeiling(Strict):
    """The best a fixed waiting time can do. Precision, recall and F1 coincide: one prediction per turn."""

    wait_ms: float
    """The best waiting time, from the end of the user's turn; negative = before it."""
    recall: float
    low: float
    high: float
    """95 % Wilson interval, of a score over as many onsets as were counted."""
    onsets: int


class EventCeiling(Strict):
    """The best a predictor can do that knows every eligible place and its chance, but not the draw."""

    threshold: float
    """Predict where the chance is at least this."""
    precision: float
    recall: float
    f1: float
    low: float
    high: float
    """95 % interval of F1 over repetitions of the draw at as many places as the events stand for."""
    events: int
    places: float
    """Expected number of eligible places, most of which stayed silent."""


def wilson(successes: float, trials: int, z: float = _Z95) -> tuple[float, float]:
    """Wilson score interval of a share; (0, 1) without trials. ``successes`` may be an expected number.

    >>> [round(x, 3) for x in wilson(8, 10)]
    [0.49, 0.943]
    """
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(max(share * (1 - share), 0.0) / trials + z * z / (4 * trials * trials))
    # Rounding must not put the share itself outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def hit_probability(
    difference: npt.NDArray[np.float64], tick: int = FRAME_SAMPLES, tolerance: int = 1
) -> npt.NDArray[np.float64]:
    """Chance that two moments ``difference`` samples apart fall into ticks at most ``tolerance`` apart.

    With the phase of the tick grid uniform, a distance of d ticks becomes floor(d) or floor(d) + 1 ticks, the latter
    with the fractional part of d as its chance. So the chance of a hit is 1 up to ``tolerance`` ticks, 0 from
    ``tolerance + 1`` on, and a straight line between.
    """
    return np.clip(tolerance + 1 - np.abs(difference) / tick, 0.0, 1.0)


def onset_ceiling(offsets: Histogram, tick: int = FRAME_SAMPLES, tolerance: int = 1) -> OnsetCeiling | None:
    """Ceiling of start-of-speech scores; None without onsets.

    ``offsets``: start of the assistant's turn minus end of the user's, in samples. The oracle hears the end of the
    user's turn exactly and knows the distribution of the offsets but not the one that was drawn; so the best it can do
    is to wait a fixed time. A prediction counts when its tick is at most ``tolerance`` ticks from the true one.
    """
    if not offsets.n:
        return None
    values, counts = offsets.arrays()
    steps = round((values[-1] - values[0]) / _WAIT_STEP) + 1
    waits = values[0] + np.arange(steps, dtype=np.float64) * _WAIT_STEP
    scores = np.array([hit_probability(values - wait, tick, tolerance) @ counts for wait in waits]) / offsets.n
    # Many waiting times are equally good when all offsets lie within a tick: the middle one is the safest.
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    wait, recall = float(waits[best[len(best) // 2]]), float(scores.max())
    low, high = wilson(recall * offsets.n, offsets.n)
    return OnsetCeiling(wait_ms=wait / SAMPLES_PER_MS, recall=recall, low=low, high=high, onsets=offsets.n)


def event_ceiling(chances: Mapping[int, int], seed: int = 0) -> EventCeiling | None:
    """Ceiling of the scores of a random event such as a backchannel; None without events.

    ``chances``: the chance of the event in thousandths, given that its place qualified -> how many events had it. A
    published row holds the events that happened; each of chance p stands for 1/p places on average, so the places
    where nothing happened are counted without being listed. Predicting at every place with a chance of at least t
    hits all events there and false-alarms at the rest; the t with the highest F1 is the oracle's.

    The interval repeats the draw (a binomial one per chance) at the same places with the same threshold: what the
    oracle would score on data sets of this size. The delay of the event after its place is not part of it: where that
    is random too, a score with a tolerance in ticks lies lower.
    """
    levels = sorted((p for p, n in chances.items() if n > 0), reverse=True)
    if not levels:
        return None
    p = np.array(levels) / _PERMILLE
    hits = np.array([chances[k] for k in levels], dtype=np.float64)
    places = hits / p
    f1 = 2 * np.cumsum(hits) / (np.cumsum(places) + hits.sum())
    best = int(np.argmax(f1))
    low, high = _repeat(p, places, best, seed)
    return EventCeiling(
        threshold=float(p[best]),
        precision=float(hits[: best + 1].sum() / places[: best + 1].sum()),
        recall=float(hits[: best + 1].sum() / hits.sum()),
        f1=float(f1[best]),
        low=low,
        high=high,
        events=int(hits.sum()),
        places=float(places.sum()),
    )


def _repeat(p: npt.NDArray[np.float64], places: npt.NDArray[np.float64], best: int, seed: int) -> tuple[float, float]:
    """2.5 and 97.5 percentile of F1 when the events are drawn again at the same places."""
    trials = np.rint(places).astype(np.int64)
    drawn = stream(seed, "ceiling", "repeat").binomial(trials, p, size=(_REPEATS, len(p)))
    hit = drawn[:, : best + 1].sum(axis=1)
    f1 = 2 * hit / np.maximum(trials[: best + 1].sum() + drawn.sum(axis=1), 1)
    return float(np.quantile(f1, 0.025)), float(np.quantile(f1, 0.975))
