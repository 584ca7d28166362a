"""A prefix and the answer that goes on from it: no word lost, none said twice, whatever the pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.runtime.joining import Joiner, join

WORDS = st.lists(st.sampled_from(("I", "i", "can", "Can", "help", "you")), max_size=7).map(" ".join)
MARKED = st.lists(st.sampled_from(("I", "can,", "can", "-", "\u2014", "you.", '"you')), max_size=7).map(" ".join)
ANY = st.one_of(WORDS, MARKED, st.text(st.characters(codec="utf-8"), max_size=30), st.text("aA .\n,", max_size=12))
CUTS = st.lists(st.integers(0, 40), max_size=6)


def in_pieces(prefix: str, whole: str, cuts: list[int]) -> list[str]:
    """What is said after the prefix, push by push and at the end."""
    joiner, said = Joiner(prefix), []
    borders = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for start, stop in pairwise(borders):
        joiner, words = joiner.push(whole[start:stop])
        said.append(words)
    return [*said, joiner.end()]


@pytest.mark.parametrize(
    ("prefix", "whole", "together"),
    [
        ("Sure, I can help you", "with that.", "Sure, I can help you with that."),
        ("Sure, I can help you", " help you with that.", "Sure, I can help you with that."),
        ("Sure, I can help you", "Sure, I can help you with that.", "Sure, I can help you with that."),
        ("Sure, I can help you", "sure! i can help you, now.", "Sure, I can help you now."),
        ("Sure, I can help you", "Sure, I can do it.", "Sure, I can help you Sure, I can do it."),
        ("I think that I", "I think so.", "I think that I think so."),
        ("no no", "no no no", "no no no"),
        ("It\u2019s", "It's \u2014 nine", "It\u2019s \u2014 nine"),
        ("Well - I", "\u2014 well, I know.", "Well - I know."),
        ("Well,", "... yes", "Well, ... yes"),
        ("2 + 2", "+ 2 is 4", "2 + 2 is 4"),
        ("\u0915\u0940", "\u0915\u093f", "\u0915\u0940 \u0915\u093f"),
        ("Stra\u00dfe", "STRASSE acht", "Stra\u00dfe acht"),
        ("", " It  is\nnine. ", "It is nine."),
        ("Yes.", "yes", "Yes."),
        ("Yes.", "", "Yes."),
        ("- -", "- yes", "- - - yes"),
        ("", "", ""),
    ],
)
def test_examples(prefix: str, whole: str, together: str) -> None:
    assert join(prefix, whole) == together


@given(WORDS, WORDS)
def test_the_longest_repetition_at_the_seam_is_left_out_and_nothing_else(prefix: str, whole: str) -> None:
    head, tail = prefix.split(), whole.split()
    lengths = [n for n in range(len(tail) + 1) if prefix.lower().split()[len(head) - n :] == whole.lower().split()[:n]]
    longest = max(n for n in lengths if n <= len(head))
    assert join(prefix, whole).split() == head + tail[longest:]


@given(ANY, ANY)
def test_the_prefix_stays_as_it_was_said(prefix: str, whole: str) -> None:
    head, tail, together = prefix.split(), whole.split(), join(prefix, whole).split()
    rest = together[len(head) :]
    assert together[: len(head)] == head
    assert rest == tail[len(tail) - len(rest) :]


@given(ANY, ANY, CUTS)
def test_any_pieces_make_the_same_words(prefix: str, whole: str, cuts: list[int]) -> None:
    said = in_pieces(prefix, whole, cuts)
    assert [*prefix.split(), *" ".join(said).split()] == join(prefix, whole).split()
    assert said == [" ".join(words.split()) for words in said], "whole words with single spaces"


def left_out(prefix: str, whole: str) -> int:
    return len(prefix.split()) + len(whole.split()) - len(join(prefix, whole).split())


@given(WORDS, WORDS)
def test_words_are_held_exactly_as_long_as_more_could_be_left_out(prefix: str, whole: str) -> None:
    joiner, words = Joiner(prefix).push(whole + " ")
    head, tail = prefix.split(), whole.split()
    more = any(left_out(prefix, " ".join([*tail, *head[start:]])) > len(tail) for start in range(len(head)))
    assert list(joiner.held) == (tail if more else [])
    assert words.split() == ([] if more else tail[left_out(prefix, whole) :])
    assert len(joiner.held) < max(len(head), 1)


@given(ANY, ANY, CUTS, st.integers(0, 6))
def test_a_joiner_is_a_value(prefix: str, whole: str, cuts: list[int], again: int) -> None:
    joiner, _ = Joiner(prefix).push(whole[:again])
    before = joiner
    first = joiner.push(whole[again:])
    assert (joiner.push(whole[again:]), joiner.end(), joiner) == (first, before.end(), before)


def test_words_come_at_once_where_nothing_is_repeated() -> None:
    joiner, said = Joiner("Sure, I can").push(" Now ")
    assert said == "Now"
    assert joiner.push("I can he") == (Joiner("", (), "he"), "I can")


def test_a_word_waits_for_its_end() -> None:
    joiner, said = Joiner("").push("hel")
    assert said == ""
    assert joiner.push("p")[1] == ""
    assert joiner.push("p ")[1] == "help"
    assert joiner.end() == "hel"
