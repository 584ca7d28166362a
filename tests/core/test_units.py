from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datagen.core.units import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLE_RATE,
    SAMPLES_PER_MS,
    frame_of,
    from_ms,
    to_ms,
    to_seconds,
)

TIMES = st.floats(-1e7, 1e7)
SAMPLES = st.integers(-(10**10), 10**10)


def test_the_frame_is_the_papers() -> None:
    assert (SAMPLE_RATE, FRAME_MS, FRAME_SAMPLES) == (16_000, 160, 2_560)


@given(TIMES)
def test_milliseconds_become_the_nearest_sample(ms: float) -> None:
    assert abs(from_ms(ms) - ms * SAMPLES_PER_MS) <= 0.5 + 1e-6


@given(TIMES)
def test_rounding_treats_both_signs_alike(ms: float) -> None:
    assert from_ms(-ms) == -from_ms(ms)


@given(SAMPLES)
def test_samples_survive_the_way_through_milliseconds_and_seconds(samples: int) -> None:
    assert from_ms(to_ms(samples)) == samples
    assert round(to_seconds(samples) * SAMPLE_RATE) == samples


@given(st.integers(0, 10**10))
def test_a_sample_lies_in_its_frame(sample: int) -> None:
    frame = frame_of(sample)
    assert frame * FRAME_SAMPLES <= sample < (frame + 1) * FRAME_SAMPLES
