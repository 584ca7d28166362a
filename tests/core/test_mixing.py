from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.core.audio import db
from datagen.core.mixing import (
    LEVEL_SAMPLES,
    MIN_BLOCK,
    PEAK,
    Blocks,
    ClipLevels,
    Levels,
    draw_range,
    plan_blocks,
    plan_mix,
    speech_gain,
)
from datagen.core.records import NoiseBlock, Utterance
from datagen.core.rng import stream
from datagen.core.types import Speaker, Word
from datagen.core.units import SAMPLE_RATE

SECONDS = st.integers(1, 200).map(lambda n: n / 10)


@st.composite
def banks(draw: st.DrawFn) -> list[ClipLevels]:
    """Clips of a sample to half a minute, sounding or partly silent."""
    sizes = draw(st.lists(st.one_of(st.integers(1, 40_000), st.integers(32_000, 480_000)), min_size=1, max_size=4))
    silent = draw(st.integers(1, 5))
    return [
        ClipLevels(
            id=f"clip-{number}",
            num_samples=size,
            levels_db=tuple(-120.0 if n % silent else -20.0 for n in range(-(-size // LEVEL_SAMPLES))),
        )
        for number, size in enumerate(sizes)
    ]


@st.composite
def blockses(draw: st.DrawFn) -> Blocks:
    low, high = sorted((draw(st.integers(0, 100)), draw(st.integers(0, 100))))
    short, long = sorted((draw(SECONDS), draw(SECONDS)))
    return Blocks(coverage=(low / 100, high / 100), block_s=(short, long), snr_db=(-5, 25))


def covered(blocks: tuple[NoiseBlock, ...]) -> int:
    return sum(b.end - b.start for b in blocks)


@given(blockses(), banks(), st.integers(1, 2_000_000), st.integers(0, 99))
def test_noise_blocks_are_possible_and_cover_what_was_drawn(
    asked: Blocks, bank: list[ClipLevels], num_samples: int, seed: int
) -> None:
    assume(min(c.num_samples for c in bank) > 2_000 or num_samples < 100_000)
    made = plan_blocks(asked, bank, num_samples, stream(seed, "c", "mix"))
    sizes = {c.id: c.num_samples for c in bank}
    assert all(left.end <= right.start for left, right in pairwise(made))
    assert all(0 <= b.start < b.end <= num_samples for b in made)
    assert all(b.clip_start + b.end - b.start <= sizes[b.clip] for b in made)
    assert all(-5 <= b.snr_db <= 25 for b in made)
    twin = stream(seed, "c", "mix")
    twin.random()
    assert covered(made) == int(draw_range(asked.coverage, twin) * num_samples)


@given(st.integers(3 * SAMPLE_RATE, 180 * SAMPLE_RATE), st.integers(0, 99), st.integers(2, 30))
def test_blocks_are_as_long_as_the_paper_says(num_samples: int, seed: int, clip_s: int) -> None:
    """5 to 10 s, as far as the clip goes; only what is left at the end may be shorter, and never a mere click."""
    bank = [ClipLevels(id="c", num_samples=clip_s * SAMPLE_RATE, levels_db=(-20.0,) * (clip_s * 10))]
    made = plan_blocks(Blocks(), bank, num_samples, stream(seed, "c", "mix"))
    lengths = [b.end - b.start for b in made]
    assert num_samples // 2 - 1 <= sum(lengths) <= num_samples
    assert all(length <= min(10 * SAMPLE_RATE + MIN_BLOCK, clip_s * SAMPLE_RATE) for length in lengths)
    assert min(lengths) >= MIN_BLOCK
    assert sum(length < min(5, clip_s) * SAMPLE_RATE for length in lengths) <= 2


def test_silent_stretches_are_avoided() -> None:
    levels = (-20.0,) * 100 + (-120.0,) * 100
    clip = ClipLevels(id="c", num_samples=200 * LEVEL_SAMPLES, levels_db=levels)
    blocks = [b for n in range(50) for b in plan_blocks(Blocks(), [clip], 480_000, stream(n, "c", "mix"))]
    assert len(blocks) > 100
    assert all(clip.sounds(b.clip_start, b.clip_start + b.end - b.start) for b in blocks)
    assert clip.sounds(0, 1)
    assert not clip.sounds(100 * LEVEL_SAMPLES, 200 * LEVEL_SAMPLES)


def test_a_clip_of_silence_is_taken_for_want_of_another() -> None:
    clip = ClipLevels(id="c", num_samples=480_000, levels_db=(-120.0,) + (-300.0,) * 299)
    assert plan_blocks(Blocks(), [clip], 480_000, stream(1, "c", "mix"))


def test_the_share_of_conversations_with_noise_is_as_asked() -> None:
    bank = [ClipLevels(id="c", num_samples=480_000, levels_db=(-20.0,) * 300)]
    asked = Blocks(probability=0.3)
    noisy = sum(bool(plan_blocks(asked, bank, 160_000, stream(1, f"c-{n}", "mix"))) for n in range(1_000))
    assert noisy == pytest.approx(300, abs=4 * 15)
    assert plan_blocks(Blocks(probability=0), bank, 160_000, stream(1, "c", "mix")) == ()
    assert plan_blocks(Blocks(), [], 160_000, stream(1, "c", "mix")) == ()


def utterance(speaker: Speaker, power: float, peak: float, samples: int = 16_000) -> Utterance:
    word = Word(text="yes", start=0, end=samples)
    return Utterance(
        turn=0, speaker=speaker, text="yes", num_samples=samples, words=(word,), active_power=power, peak=peak
    )


@given(
    st.lists(st.tuples(st.floats(1e-6, 0.3), st.floats(0.01, 1), st.integers(100, 50_000)), min_size=1, max_size=5),
    st.floats(-60, -1),
)
def test_speech_gets_the_level_asked_for_or_as_near_as_its_peaks_allow(
    spoken: list[tuple[float, float, int]], level: float
) -> None:
    own = [utterance("user", *s) for s in spoken]
    gain = speech_gain([*own, utterance("assistant", 0.1, 1.0)], "user", level)
    samples = [u.num_samples for u in own]
    mean = sum(u.active_power * n for u, n in zip(own, samples, strict=True)) / sum(samples)
    loudest = max(u.peak for u in own) * gain
    assert loudest <= PEAK + 1e-9
    assert db(mean * gain**2) <= level + 1e-6
    assert db(mean * gain**2) == pytest.approx(level) or loudest == pytest.approx(PEAK)


def test_who_says_nothing_needs_no_gain() -> None:
    assert speech_gain([utterance("user", 0.1, 0.5)], "assistant", -26) == 1.0


def test_levels_and_noise_of_a_conversation_lie_within_what_was_asked() -> None:
    bank = [ClipLevels(id="c", num_samples=480_000, levels_db=(-20.0,) * 300)]
    spoken = [utterance("user", 0.01, 0.2), utterance("assistant", 0.02, 0.3)]
    mixes = [plan_mix(spoken, 160_000, Levels(), Blocks(), bank, stream(1, f"c-{n}", "mix")) for n in range(200)]
    user = [db(0.01 * m.user_gain**2) for m in mixes]
    floor = [db(m.floor_rms**2) for m in mixes]
    assert -30 <= min(user) < -29 < -23 < max(user) <= -22
    assert -84 <= min(floor) < -82 < -62 < max(floor) <= -60
    assert {round(db(0.02 * m.assistant_gain**2), 6) for m in mixes} == {-26.0}
    assert all(m.noise for m in mixes)


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (Blocks, {"coverage": (0.5, 1.1)}),
        (Blocks, {"coverage": (0.5, 0.4)}),
        (Blocks, {"block_s": (0.0, 1.0)}),
        (Blocks, {"snr_db": (9, 3)}),
        (Blocks, {"snr_db": (0, float("inf"))}),
        (Blocks, {"probability": 2}),
        (Levels, {"user_dbfs": (-20, -30)}),
        (Levels, {"floor_dbfs": (float("nan"), -30)}),
    ],
)
def test_impossible_mixes_are_refused(made: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"the lower first|less than or equal to 1|greater than or equal to 0.1"):
        made(**fields)


def test_one_draw_lies_between_the_limits() -> None:
    rng = np.random.default_rng(1)
    drawn = [draw_range((-3.0, 5.0), rng) for _ in range(1_000)]
    assert -3 <= min(drawn) < -2.9
    assert 4.9 < max(drawn) < 5
