"""Laws of what espeak-ng is given to read."""

from __future__ import annotations

import pytest
from hypothesis import given

from datagen.tts._espeak_text import prepare
from tests.tts.speaking import ODD


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Yeah.. right", "Yeah... right"),
        ("one\0two", "one two"),
        ("“It’s” ‘fine’", "It's fine"),
        ("<b>bold</b> [x] a<b", "bold x a b"),
        ("hello - there *** you", "hello, there you"),
        ("yes—no --- ok", "yes, no, ok"),
        ("what?!?! no!!", "what?!?! no!"),
        ("R&D is 50% at 20°C", "R&D is 50% at 20°C"),
        ("ﬁne ｗｉｄｅ", "fine wide"),
        ("*** --- …", ""),
    ],
)
def test_what_is_read(text: str, read: str) -> None:
    assert prepare(text.split()).text == read


@given(ODD)
def test_each_word_that_is_read_has_its_own_place(text: str) -> None:
    reading = prepare(text.split())
    assert list(reading.indices) == sorted(set(reading.indices))
    assert len(reading.ends) == len(reading.indices)
    starts = [0, *(end + 1 for end in reading.ends[:-1])]
    assert [reading.word_at(start) for start in starts[: len(reading.ends)]] == list(reading.indices)
    assert "\0" not in reading.text
    assert "<" not in reading.text
