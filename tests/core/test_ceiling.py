from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.ceiling import event_ceiling, hit_probability, onset_ceiling, wilson
from datagen.core.histogram import Histogram
from datagen.core.rng import stream

TICK = 2_560
MS = 16


def counted(ms: list[float]) -> Histogram:
    histogram = Histogram(width=160)
    for value in ms:
        histogram.add(round(value * MS))
    return histogram


@pytest.mark.parametrize("tolerance", [0, 1, 2])
@settings(max_examples=40)
@given(st.integers(-10_000, 10_000))
def test_the_chance_of_a_hit_equals_trying_every_phase(tolerance, difference):
    phases = np.arange(TICK)
    hits = np.abs((phases + difference) // TICK - phases // TICK) <= tolerance
    assert hit_probability(np.array([float(difference)]), TICK, tolerance)[0] == pytest.approx(hits.mean())


def test_without_jitter_the_ceiling_is_one_hundred_per_cent():
    ceiling = onset_ceiling(counted([200.0] * 50))
    assert ceiling is not None
    assert (ceiling.recall, ceiling.wait_ms, ceiling.onsets) == (1.0, 200.0, 50)
    assert ceiling.low < 1.0 == ceiling.high


@settings(max_examples=30)
@given(st.lists(st.integers(-50, 150), min_size=1, max_size=30), st.integers(-50, 150))
def test_no_fixed_wait_beats_the_ceiling(offsets, wait):
    ceiling = onset_ceiling(counted([10.0 * o for o in offsets]))
    assert ceiling is not None
    score = hit_probability((np.array(offsets) - wait) * 10.0 * MS).mean()
    assert score <= ceiling.recall + 1e-9
    assert ceiling.low <= ceiling.recall <= ceiling.high


def test_the_ceiling_falls_as_the_jitter_grows_and_the_interval_narrows_with_more_data():
    rng = stream(0, "ceiling", "test")
    spread = rng.normal(size=400)
    falling = [onset_ceiling(counted(list(300 + sd * spread))) for sd in (10, 100, 200, 400)]
    recalls = [c.recall for c in falling if c is not None]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] == 1.0 > recalls[-1]
    few, many = onset_ceiling(counted(list(300 + 200 * spread[:40]))), falling[2]
    assert few is not None
    assert many is not None
    assert few.high - few.low > 2 * (many.high - many.low)


@settings(max_examples=40)
@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_the_share_and_stays_inside_zero_and_one(successes, trials):
    share = min(successes, trials) / trials
    low, high = wilson(min(successes, trials), trials)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_nothing_to_score_has_no_ceiling():
    assert onset_ceiling(Histogram(width=160)) is None
    assert event_ceiling({}) is None
    assert event_ceiling({400: 0}) is None
    assert wilson(0, 0) == (0.0, 1.0)


def test_one_chance_for_all_places_gives_that_precision():
    ceiling = event_ceiling({400: 80})
    assert ceiling is not None
    assert (ceiling.precision, ceiling.recall, ceiling.places) == (pytest.approx(0.4), 1.0, pytest.approx(200))
    assert ceiling.f1 == pytest.approx(2 * 0.4 / 1.4)
    assert ceiling.low < ceiling.f1 < ceiling.high


@given(st.dictionaries(st.integers(1, 1000), st.integers(1, 200), min_size=1, max_size=8))
@settings(max_examples=30)
def test_no_threshold_beats_the_ceiling(chances):
    ceiling = event_ceiling(chances)
    assert ceiling is not None
    events = sum(chances.values())
    for threshold in chances:
        hits = sum(n for p, n in chances.items() if p >= threshold)
        places = sum(n * 1000 / p for p, n in chances.items() if p >= threshold)
        assert 2 * hits / (places + events) <= ceiling.f1 + 1e-9


def test_the_ceiling_from_events_alone_is_what_an_oracle_reaches_on_all_places():
    """Draws events at places the estimate never sees, and scores the oracle there."""
    rng = stream(3, "ceiling", "oracle")
    places = rng.choice([0.1, 0.3, 0.7], size=4000, p=[0.6, 0.3, 0.1])
    happened = rng.random(4000) < places
    ceiling = event_ceiling({int(p * 1000): int((happened & (places == p)).sum()) for p in (0.1, 0.3, 0.7)})
    assert ceiling is not None
    chosen = places >= ceiling.threshold
    f1 = 2 * (chosen & happened).sum() / (chosen.sum() + happened.sum())
    assert f1 == pytest.approx(ceiling.f1, abs=0.04)
    assert ceiling.places == pytest.approx(4000, rel=0.1)


def test_the_interval_is_the_same_every_time():
    assert event_ceiling({400: 80, 200: 30}) == event_ceiling({200: 30, 400: 80})
