"""The response buffer: at any playout position exactly the words heard."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.runtime.buffer import ENOUGH, Buffer, Said, Source

SOURCES: tuple[Source, ...] = ("fast", "slow")


class Spoken(NamedTuple):
    """A word, who thought of it, the silence before it and its length."""

    text: str
    source: Source
    gap: int
    samples: int


WORDS = st.lists(
    st.builds(
        Spoken,
        st.sampled_from(("Sure,", "I", "can", "-", "help")),
        st.sampled_from(SOURCES),
        st.sampled_from((0, 1, 900)),
        st.one_of(st.integers(0, 8), st.integers(2000, 9000)),
    ),
    max_size=8,
)
PLACES = st.integers(-10, 70_000)


def filled(words: list[Spoken], voiced: int | None = None, lead: int = 1, chunk: int = 1 << 30) -> Buffer:
    """All words said, the first ``voiced`` of them synthesized after ``lead`` samples of silence, in chunks."""
    buffer = Buffer()
    for word in words:
        buffer = buffer.said(word.text, word.source)
    buffer = buffer.synthesized(lead)
    for text, _, gap, samples in words[:voiced]:
        start = buffer.num_samples + gap
        first = min(gap + samples, chunk)
        buffer = buffer.synthesized(first, [(text, start, start + samples)]).synthesized(gap + samples - first)
    return buffer


def test_an_utterance_word_by_word() -> None:
    buffer = Buffer().said("Sure, I", "fast").said(" can  help ", "slow")
    assert buffer.text == "Sure, I can help"
    assert buffer.words[1:3] == (Said("I", "fast"), Said("can", "slow"))
    assert (buffer.complete, buffer.num_samples, buffer.heard(99_999)) == (False, 0, "")
    buffer = buffer.synthesized(800).synthesized(8000, [("Sure,", 800, 7800), ("I", 7800, 8800)])
    assert (buffer.complete, buffer.num_samples) == (False, 8800)
    assert [buffer.heard(at) for at in (0, 800 + ENOUGH - 1, 800 + ENOUGH)] == ["", "", "Sure,"]
    assert [buffer.heard(at) for at in (8299, 8300, 8800, 99_999)] == ["Sure,", "Sure, I", "Sure, I", "Sure, I"]
    buffer = buffer.synthesized(4000, [("can", 8800, 10_801), ("help", 10_801, 12_800)])
    assert buffer.complete
    assert [buffer.heard(at) for at in (9800, 9801, 12_800)] == ["Sure, I", "Sure, I can", "Sure, I can help"]


def test_a_stop_keeps_what_was_heard_and_ignores_what_comes() -> None:
    buffer = Buffer().said("one two three", "fast").synthesized(3000, [("one", 0, 1000), ("two", 1000, 2000)])
    stopped = buffer.stopped(1400)
    assert (stopped.text, stopped.num_samples, stopped.complete) == ("one", 1400, True)
    assert stopped.said("four", "slow") == stopped
    assert stopped.synthesized(500, [("three", 3000, 3500), ("four", 1, 2), ("five", 2, 3)]) == stopped
    assert stopped.stopped(3000) == stopped
    assert stopped.stopped(100).text == ""
    assert buffer.text == "one two three", "the value before is as it was"


def test_audio_that_has_not_come_was_not_heard() -> None:
    announced = Buffer().said("one two", "slow").synthesized(1000, [("one", 0, 1000), ("two", 1000, 5000)])
    assert announced.heard(99_999) == announced.stopped(99_999).text == "one"
    assert announced.synthesized(4000).heard(99_999) == "one two"
    assert announced.stopped(-1) == announced.stopped(0) == Buffer(closed=True)


def test_a_mark_without_audio_goes_with_the_word_before() -> None:
    words = [Spoken("Well", "fast", 0, 1000), Spoken("-", "fast", 0, 0), Spoken("no", "slow", 0, 1000)]
    buffer = filled([*words, Spoken(".", "slow", 0, 0)], lead=0)
    assert [buffer.heard(at) for at in (499, 500, 1499, 1500)] == ["", "Well -", "Well -", "Well - no ."]


def test_audio_that_nobody_said_is_refused() -> None:
    buffer = Buffer().said("one", "fast")
    with pytest.raises(ValueError, match=r"\['one', 'two'\].*1 words wait"):
        buffer.synthesized(10, [("one", 0, 5), ("two", 5, 10)])
    with pytest.raises(ValueError, match="-1 samples"):
        buffer.synthesized(-1)


@given(WORDS, PLACES)
def test_a_word_was_heard_once_half_or_160_ms_of_it_was_played(words: list[Spoken], at: int) -> None:
    heard, start, known = [], 1, at >= 1
    for text, _, gap, samples in words:
        start += gap
        played = min(max(at - start, 0), samples)
        known = known and (samples == 0 or 2 * played >= samples or played >= 2560)
        heard += [text] * known
        start += samples
    assert filled(words).heard(at) == " ".join(heard)


@given(WORDS, st.integers(0, 8), PLACES, PLACES)
def test_the_words_heard_begin_the_text_grow_with_time_and_are_all_of_it_at_the_end(
    words: list[Spoken], voiced: int, one: int, other: int
) -> None:
    buffer = filled(words, voiced)
    sooner, later = (buffer.heard(at).split() for at in sorted((one, other)))
    assert buffer.text.split()[: len(later)] == later
    assert later[: len(sooner)] == sooner
    assert buffer.heard(0) == ""
    assert buffer.heard(buffer.num_samples).split() == buffer.text.split()[:voiced]
    assert buffer.complete == (voiced >= len(words))


@given(WORDS, st.integers(0, 8), PLACES, PLACES)
def test_a_stop_never_lengthens_and_changes_nothing_before_it(
    words: list[Spoken], voiced: int, at: int, asked: int
) -> None:
    buffer = filled(words, voiced)
    stopped = buffer.stopped(at)
    assert stopped.text == buffer.heard(at)
    assert stopped.num_samples == max(0, min(at, buffer.num_samples))
    assert stopped.heard(asked) == buffer.heard(min(at, asked))
    assert stopped.stopped(asked) == buffer.stopped(min(at, asked))
    assert stopped.stopped(asked).closed


@given(WORDS, st.integers(1, 3000), PLACES)
def test_how_the_audio_is_cut_makes_no_difference(words: list[Spoken], chunk: int, at: int) -> None:
    assert filled(words, chunk=chunk).heard(at) == filled(words).heard(at)
    assert filled(words, chunk=chunk) == filled(words)


@given(WORDS, PLACES)
def test_more_audio_unsays_nothing(words: list[Spoken], at: int) -> None:
    """What was heard of what there was at the time is heard for good."""
    before = ""
    for voiced in range(len(words) + 1):
        buffer = filled(words, voiced)
        assert buffer.heard(at).startswith(before)
        before = buffer.heard(min(at, buffer.num_samples))
