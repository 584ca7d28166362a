"""Laws of normal words: writing does not matter, words do."""

from __future__ import annotations

import string
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datagen.asr import _wording
from datagen.asr._wording import normal_words

pytest.importorskip("text_to_num")

TOKENS = st.sampled_from(
    [
        *("Mm-hmm", "uh-huh", "MHM", "7:30", "$1,999.50", "20%", "twenty-five", "nineteen", "ninety", "3rd", "first"),
        *("percent", "a.m.", "don't", "I'm", "o'clock", "a", "hundred", "100", "1990s", "2.5", "million", "and"),
        *("U.S.A.", "--", "...", "Dr.", "é", "naïve", "今天", "สวัสดี", "नमस्ते", "‘quoted’", "rock'n'roll"),
    ]
)
TEXTS = st.one_of(st.lists(TOKENS, max_size=9).map(" ".join), st.text(max_size=40))


@given(TEXTS, st.sampled_from(["en", "es", "de", "zh"]))
@example("ŉ ´n", "en")
def test_normal_words_are_normal(text: str, language: str) -> None:
    words = normal_words(text, language)
    assert normal_words(" ".join(words), language) == words
    assert all(word and not any(c.isspace() for c in word) for word in words)


@given(st.text(alphabet=string.ascii_letters + " ", max_size=40))
def test_case_and_marks_do_not_matter(text: str) -> None:
    plain = normal_words(text, "en")
    assert normal_words(text.upper(), "en") == plain
    assert normal_words(f" “{text}”!? ", "en") == plain
    assert normal_words(text.replace(" ", ", "), "en") == plain


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("en", "In 1999, at 7:30.", "in nineteen ninety-nine at seven thirty"),
        ("en", "It costs $45 or 20%.", "it costs forty-five dollars or twenty per cent"),
        ("en", "May 3rd, 7:00 a.m.", "may third seven am"),
        ("en-GB", "£1,200 for 100 people", "twelve hundred pounds for a hundred people"),
        ("en", "2.5 million", "two point five million"),
        ("en", "the 21st", "the twenty first"),
        ("en", "Mm-hmm.", "mhm"),
        ("en", "Uh-huh?", "uh huh"),
        ("en", "I’m “here”", "i'm here"),
        ("es", "Son 45€, el 50 %", "son cuarenta y cinco euros el cincuenta por ciento"),
        ("es", "La 1ª vez, 1999", "la primera vez mil novecientos noventa y nueve"),
        ("fr", "le 1er, 99", "le premier quatre-vingt-dix-neuf"),
        ("de", "Die 21 Straßen", "die einundzwanzig strassen"),
        ("zh", "你好，北京。", "你 好 北 京"),
    ],
)
def test_figures_and_their_readings_are_the_same_words(language: str, written: str, spoken: str) -> None:
    assert normal_words(written, language) == normal_words(spoken, language) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [("it's", "its"), ("nineteen", "ninety"), ("mm-hmm", "uh-huh"), ("7:30", "7:50"), ("I can", "I can't"), ("é", "e")],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert normal_words(one, "en") != normal_words(other, "en")


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    assert normal_words("今天OK吗", "zh") == ["今", "天", "ok", "吗"]
    assert normal_words("नमस्ते दुनिया", "hi") == ["नमस्ते", "दुनिया"], "vowel signs part no words"


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "text_to_num", None)
    _wording._number_words.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'duplexkit\[asr\]'"):
        normal_words("Hello.", "en")
