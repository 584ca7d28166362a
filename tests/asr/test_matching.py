"""Laws of finding a text's words among heard ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rapidfuzz")
pytest.importorskip("text_to_num")

from datagen.asr._matching import matched
from datagen.asr._wording import normal_words
from datagen.core.words import fill_word_times
from datagen.kinds import Heard

TEXTS = st.lists(
    st.sampled_from(
        ["Well,", "well", "twenty-five", "$45", "don't", "it's", "Mm-hmm,", "today", "today.", "-", "7:30"]
    ),
    max_size=10,
)


def heard(words: list[str], step: int = 1000) -> Heard:
    return Heard(tuple((word, n * step, n * step + 600) for n, word in enumerate(words)))


@given(TEXTS)
def test_what_is_heard_as_written_is_found_where_it_was_heard(words: list[str]) -> None:
    found = matched(words, heard(words), "en")
    assert found == {n: (n * 1000, n * 1000 + 600) for n, word in enumerate(words) if normal_words(word, "en")}


@given(TEXTS, TEXTS)
def test_found_words_rise_and_are_words_that_were_heard(words: list[str], other: list[str]) -> None:
    listened = heard(other)
    found = matched(words, listened, "en")
    borders = [time for index in sorted(found) for time in found[index]]
    assert borders == sorted(borders)
    filled = fill_word_times(words, found, 0, 1000 * len(other))
    assert len(filled) == len(words)
    for index, (start, end) in found.items():
        at = [word for word, a, b in listened.words if a <= start and end <= b]
        assert set(normal_words(words[index], "en")) <= {unit for word in at for unit in normal_words(word, "en")}


@given(TEXTS, st.integers(0, 9))
def test_one_word_more_or_less_hides_no_other(words: list[str], at: int) -> None:
    plain = [word for word in words if normal_words(word, "en")]
    assert len(matched(plain, heard([*plain[:at], "nevertheless", *plain[at:]]), "en")) == len(plain)
    without = plain[:at] + plain[at + 1 :]
    assert len(matched(plain, heard(without), "en")) >= len(without)


def test_a_word_of_several_is_found_when_its_ends_are() -> None:
    said = ["今天我想去北京。", "好吗"]
    characters = Heard((("今", 0, 100), ("天", 100, 200), ("你", 200, 300), ("想去", 300, 500), ("北京", 500, 700)))
    assert matched(said, characters, "zh") == {0: (0, 700)}


def test_one_heard_word_may_hold_two_written_ones() -> None:
    assert matched(["twenty", "well-known"], Heard((("well", 0, 400), ("known", 400, 900))), "en") == {1: (0, 900)}
    assert matched(["well", "known"], Heard((("well-known", 0, 900),)), "en") == {0: (0, 400), 1: (400, 900)}
