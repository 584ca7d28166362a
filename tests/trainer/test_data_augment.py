"""Levels and floors: named, within their ranges, free of exact zeros and of clipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.core.audio import Signal, power
from datagen.core.types import Word
from trainer.data.augment import LEAST_RMS, Augment, Augmentation, gate, with_floor
from trainer.data.rows import Row, Segment

SIZE = 40_000


def row(words: tuple[tuple[int, int], ...] = ((9_000, 15_000), (22_000, 25_000)), name: str = "a-1") -> Row:
    """A conversation in which the user says some words; the assistant answers at the end."""
    said = tuple(Word(text="so", start=a, end=b) for a, b in words)
    user = [
        Segment(speaker="user", kind="turn", start=a.start, end=a.end, text="so", text_full="so", words=(a,))
        for a in said
    ]
    reply = Segment(speaker="assistant", kind="turn", start=39_000, end=39_500, text="yes", text_full="yes")
    plain = {"language": "en", "domain": "d", "source": "s", "profile": "polite"}
    return Row(
        id=name,
        num_samples=SIZE,
        segments=tuple(sorted([*user, reply], key=lambda s: s.start)),
        events=(),
        user_voice="u",
        assistant_voice="a",
        **plain,
    )


def tone(peak: float = 0.5) -> Signal:
    """Never quiet for long: 250 Hz."""
    return (peak * np.sin(np.arange(SIZE) * (2 * np.pi / 64) + 0.01)).astype(np.float32)


def silence() -> Signal:
    return np.zeros(SIZE, np.float32)


def rms(x: Signal) -> float:
    return float(np.sqrt(power(x)))


ADDED = Augmentation(own_share=0, gated_share=0, level_db=0)
OWN = Augmentation(own_share=1, gated_share=0)
GATED = Augmentation(own_share=0, gated_share=1, level_db=0)


@given(st.integers(0, 2**20), st.integers(0, 9), st.sampled_from([0.0, 1e-5, 0.3, 1.0]))
@settings(max_examples=40, deadline=None)
def test_no_exact_zero_is_left_and_nothing_clips(seed: int, epoch: int, peak: float) -> None:
    samples = tone(peak)
    samples[5_000:20_000] = 0
    out = Augment(Augmentation(), seed)(samples, row(), epoch)
    assert (out.size, out.dtype) == (SIZE, np.float32)
    assert np.count_nonzero(out == 0) == 0
    assert np.abs(out).max() <= 1


def test_the_same_name_gives_the_same_bytes_and_no_other_does() -> None:
    def drawn(seed: int, name: str, epoch: int) -> bytes:
        return Augment(Augmentation(), seed)(tone(), row(name=name), epoch).tobytes()

    assert drawn(1, "a-1", 0) == drawn(1, "a-1", 0)
    assert len({drawn(1, "a-1", 0), drawn(2, "a-1", 0), drawn(1, "b-1", 0), drawn(1, "a-1", 1)}) == 4


def test_floors_are_spread_evenly_over_the_decades() -> None:
    found = np.array([rms(Augment(ADDED, 1)(silence(), row(), epoch)) for epoch in range(400)])
    assert 0.98e-5 < found.min() < 1.1e-5
    assert 0.9e-3 < found.max() < 1.02e-3
    assert np.mean(found < 1e-4) == pytest.approx(0.5, abs=0.08)


def test_shares_of_the_three_kinds() -> None:
    heard = [Augment(Augmentation(level_db=0), 1)(tone(0.01), row(), epoch) for epoch in range(400)]
    muted = [rms(x[30_000:34_000]) < 2e-3 for x in heard]
    own = [np.abs(x - tone(0.01)).max() < 3e-6 for x in heard]
    assert np.mean(muted) == pytest.approx(0.25, abs=0.07)
    assert np.mean(own) == pytest.approx(0.25, abs=0.07)


def test_the_level_moves_both_ways_within_its_range() -> None:
    levels = np.array([20 * np.log10(rms(Augment(OWN, 1)(tone(0.1), row(), e)) / rms(tone(0.1))) for e in range(200)])
    assert -6.01 < levels.min() < -5.5
    assert 5.5 < levels.max() < 6.01
    assert levels.mean() == pytest.approx(0, abs=0.7)


def test_a_loud_conversation_is_scaled_not_clipped() -> None:
    gains = []
    for epoch in range(30):
        out = Augment(OWN, 1)(tone(0.9), row(), epoch)
        gains.append(float(np.dot(out, tone(0.9)) / np.dot(tone(0.9), tone(0.9))))
        assert np.abs(out - np.float32(gains[-1]) * tone(0.9)).max() < 4 * LEAST_RMS
    assert max(gains) == pytest.approx(0.9999 / float(tone(0.9).max()), rel=1e-5)
    assert min(gains) < 0.6


def test_a_row_that_keeps_its_floor_hears_no_exact_silence() -> None:
    assert rms(Augment(OWN, 1)(silence(), row(), 0)) == pytest.approx(LEAST_RMS, rel=0.01)


def test_a_gated_conversation_is_quieter_than_its_own_floor_between_words() -> None:
    for epoch in range(20):
        out = Augment(GATED, 1)(tone(), row(), epoch)
        assert 0.97e-5 < rms(out[32_000:]) < 1.03e-3
        assert np.abs(out[9_000:15_000] - tone()[9_000:15_000]).max() < 2e-3


@pytest.mark.parametrize("level", [1e-5, 1e-4, 1e-3])
def test_a_fixed_floor_is_exact_and_the_same_noise_at_every_level(level: float) -> None:
    clean = with_floor(0)(tone(), row(), 0)
    noise = with_floor(level)(tone(), row(), 0).astype(np.float64) - clean
    assert rms(with_floor(level)(tone(), row(), 0)[30_000:]) == pytest.approx(level, rel=0.02)
    other = with_floor(level / 2)(silence(), row(), 3) * 2
    assert np.abs(noise - other).max() < 1e-7
    assert with_floor(level)(tone(), row(), 0).tobytes() == with_floor(level)(tone(), row(), 9).tobytes()
    assert with_floor(level)(tone(), row(name="b-1"), 0).tobytes() != with_floor(level)(tone(), row(), 0).tobytes()


def test_a_floor_of_zero_is_digital_silence_between_the_words_and_leaves_the_words() -> None:
    out = with_floor(0)(tone(), row(), 0)
    around = 3_200 - 160
    for start, end in ((9_000, 15_000), (22_000, 25_000)):
        assert (out[start - around : end + around] == tone()[start - around : end + around]).all()
    # 15,000 + 3,200 to 22,000 - 3,200 is a pause inside the turn: muted like the ends.
    for start, end in ((0, 5_800), (18_200, 18_800), (28_200, SIZE)):
        assert not out[start:end].any()


@given(
    st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 6_000)), max_size=6),
    st.integers(0, 5_000),
)
@settings(deadline=None)
def test_the_gate_opens_for_the_words_and_nowhere_else(words: list[tuple[int, int]], around: int) -> None:
    spans = tuple(sorted((start, min(start + size, SIZE)) for start, size in words))
    out = np.ones(SIZE, np.float32)
    gate(out, row(spans), around)
    near = np.zeros(SIZE, bool)
    for start, end in spans:
        near[max(start - around, 0) : end + around] = True
    assert not out[~near].any()
    assert out.min() >= 0
    assert out.max(initial=0) <= 1
    for start, end in spans:
        if around >= 160:
            assert (out[start:end] == 1).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"floor_rms": (0.0, 1e-3)}, "above 0"),
        ({"floor_rms": (1e-5, 0.2)}, "up to 0.1"),
        ({"floor_rms": (1e-3, 1e-5)}, "the lower first"),
        ({"own_share": 0.8, "gated_share": 0.3}, "more than all rows"),
        ({"gate_ms": (-5.0, 100.0)}, "cut into words"),
        ({"level_db": -1.0}, "greater than or equal to 0"),
    ],
)
def test_impossible_settings(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Augmentation.model_validate(keys)
    with pytest.raises(ValueError, match="from 0"):
        with_floor(-1e-5)
