"""Laws of filling in word times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.units import SAMPLE_RATE
from datagen.core.words import estimate_words, fill_word_times, letters, share

WORDS = st.lists(st.text(alphabet="abcXYZé59-.,'*", min_size=1, max_size=9), max_size=12)


@st.composite
def partly_known(draw: st.DrawFn) -> tuple[list[str], dict[int, tuple[int, int]], int, int]:
    """Words, rising times for some of them, and the interval they lie in."""
    words = draw(WORDS)
    indices = sorted(draw(st.sets(st.integers(0, len(words) - 1)))) if words else []
    borders = sorted(draw(st.lists(st.integers(-50_000, 200_000), min_size=2 * len(indices) + 2, max_size=60)))
    start, end = borders[0], borders[2 * len(indices) + 1]
    known = {index: (borders[2 * n + 1], borders[2 * n + 2]) for n, index in enumerate(indices)}
    return words, known, start, end


@given(partly_known(), st.booleans())
def test_every_word_gets_a_time_in_order_and_inside(case: tuple, gaps_are_silent: bool) -> None:
    words, known, start, end = case
    filled = fill_word_times(words, known, start, end, gaps_are_silent=gaps_are_silent)
    assert [word.text for word in filled] == words
    borders = [start, *(time for word in filled for time in (word.start, word.end)), end]
    assert borders == sorted(borders)


@given(partly_known(), st.booleans())
def test_exact_words_keep_their_times_and_all_others_are_marked(case: tuple, gaps_are_silent: bool) -> None:
    words, known, start, end = case
    for index, word in enumerate(fill_word_times(words, known, start, end, gaps_are_silent=gaps_are_silent)):
        if not word.estimated:
            assert (word.start, word.end) == known[index]


@given(partly_known())
def test_with_silent_gaps_nothing_is_said_where_no_known_word_is(case: tuple) -> None:
    words, known, start, end = case
    for word in fill_word_times(words, known, start, end, gaps_are_silent=True):
        if known:
            assert any(left <= word.start and word.end <= right for left, right in known.values())


@given(WORDS, st.integers(-1000, 1000), st.integers(0, 100_000))
def test_shares_tile_the_interval_in_proportion_to_letters(words: list[str], start: int, length: int) -> None:
    parts = share(words, start, start + length)
    assert len(parts) == len(words)
    if not words:
        return
    assert (parts[0][0], parts[-1][1]) == (start, start + length)
    assert all(left[1] == right[0] for left, right in pairwise(parts))
    total = sum(map(letters, words))
    for word, (a, b) in zip(words, parts, strict=True):
        assert total == 0 or abs((b - a) - length * letters(word) / total) <= 1


def test_words_run_together_share_the_interval_of_the_first() -> None:
    filled = fill_word_times(["in", "the", "moon"], {0: (0, 1000), 2: (1000, 3000)}, 0, 3000)
    assert [(w.start, w.end, w.estimated) for w in filled] == [
        (0, 400, True),
        (400, 1000, True),
        (1000, 3000, False),
    ]


def test_an_unknown_word_takes_a_gap_that_has_room_unless_gaps_are_silent() -> None:
    known = {0: (0, 4000), 2: (12_000, 16_000)}
    spoken = fill_word_times(["I", "saw", "it"], known, 0, 16_000)
    assert [(w.start, w.end, w.estimated) for w in spoken] == [
        (0, 4000, False),
        (4000, 12_000, True),
        (12_000, 16_000, False),
    ]
    silent = fill_word_times(["I", "saw", "it"], known, 0, 16_000, gaps_are_silent=True)
    assert silent[1].end == 4000
    assert silent[0].estimated


def test_punctuation_takes_no_time_and_leaves_its_neighbour_exact() -> None:
    filled = fill_word_times(["well", "-", "yes"], {0: (0, 100), 2: (9000, 9900)}, 0, 9900)
    assert [(w.start, w.end, w.estimated) for w in filled] == [(0, 100, False), (100, 100, True), (9000, 9900, False)]


@pytest.mark.parametrize(
    ("known", "complaint"),
    [
        ({2: (0, 10)}, "word 2"),
        ({-1: (0, 10)}, "word -1"),
        ({0: (0, 60), 1: (50, 80)}, "must rise"),
        ({0: (-1, 60)}, "must rise"),
        ({1: (90, 101)}, "must rise"),
    ],
)
def test_impossible_times_are_refused(known: dict[int, tuple[int, int]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fill_word_times(["a", "b"], known, 0, 100)


@given(WORDS.map(" ".join), st.floats(20, 600))
def test_an_estimate_has_the_rate_that_was_asked_for(text: str, words_per_minute: float) -> None:
    words = estimate_words(text, words_per_minute)
    assert [word.text for word in words] == text.split()
    assert all(word.estimated for word in words)
    if words:
        assert words[0].start == 0
        assert words[-1].end == round(len(words) * 60 * SAMPLE_RATE / words_per_minute)


@pytest.mark.parametrize("rate", [0, -5, float("inf"), float("nan")])
def test_a_rate_must_be_a_positive_number(rate: float) -> None:
    with pytest.raises(ValueError, match="words_per_minute"):
        estimate_words("hello", rate)
