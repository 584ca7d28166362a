"""Every way to cloned speech, from the studio to what speaks, with many faults: the benchmark ``clips`` in small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.audio import Pcm, to_pcm16
from datagen.core.units import SAMPLE_RATE
from tests.benchmarks.bursts import RATE, SOUND, drawn_fault, speech_like, spoiled
from tests.benchmarks.clips import ROUTES
from tests.benchmarks.listening import Ear, flaws

NUMBER, SHARE = 60, 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTES)
def test_bad_clips_are_caught_and_no_line_is_lost(tmp_path: Path, name: str) -> None:
    outcome = ROUTES[name](tmp_path, NUMBER, SHARE, 0.5)
    assert outcome.flawed == []
    assert outcome.accepted + outcome.refused.total() == NUMBER
    assert outcome.refused.total() == 1, "the hopeless one, with its reason"
    assert all(reason.endswith("; N attempts") for reason in outcome.refused)
    assert outcome.faulty.keys() <= outcome.kinds
    assert len(outcome.faulty) > len(outcome.kinds) / 2
    assert outcome.faulty.total() > 15
    assert outcome.distinct > 50


def clip(words: int, fault: str = "", seed: int = 0) -> Pcm:
    """A clip of so many words at 16 kHz."""
    rng = np.random.default_rng([words, seed])
    signal = spoiled(speech_like("word " * words, rng), fault, rng)
    return to_pcm16(soxr.resample(np.clip(signal, -1, 1), RATE, SAMPLE_RATE, quality="HQ"))[0]


@given(words=st.integers(1, 25), seed=st.integers(0, 1000), edges=st.tuples(*[st.integers(0, 1600)] * 2))
def test_the_judge_passes_good_clips_and_the_ear_hears_their_words(
    words: int, seed: int, edges: tuple[int, int]
) -> None:
    pcm = clip(words, seed=seed)
    cut = pcm[edges[0] : pcm.size - edges[1]]
    assert flaws(cut, words) == []
    ear, text = Ear(), " ".join(f"w{n}" for n in range(words))
    ear.expect(text)
    assert ear.transcribe(cut, "en").text == text


@given(words=st.integers(1, 25), seed=st.integers(0, 1000), fault=st.sampled_from(SOUND))
def test_the_judge_finds_every_fault_of_sound(words: int, seed: int, fault: str) -> None:
    assert flaws(clip(words, fault, seed), words) != []


@given(words=st.integers(1, 25), other=st.integers(1, 25))
def test_the_judge_and_the_ear_notice_a_word_too_few_or_too_many(words: int, other: int) -> None:
    assert (flaws(clip(words), other) == []) == (words == other)
    ear = Ear()
    ear.expect("w " * other)
    assert len(ear.transcribe(clip(words), "en").words) == words


def test_every_fault_is_drawn_as_often_as_any_other_and_always_for_a_hopeless_text() -> None:
    rng = np.random.default_rng(1)
    drawn = [drawn_fault("Hello.", 0.3, SOUND, rng) for _ in range(4000)]
    counts = [drawn.count(kind) for kind in ("good", *SOUND)]
    assert counts == pytest.approx([2800, *[240] * 5], rel=0.2)
    assert "good" not in [drawn_fault("I squirrelled it away.", 0.0, SOUND, rng) for _ in range(20)]
