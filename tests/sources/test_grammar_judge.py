"""Laws of the judge: what a grammar allows the assistant to say, with the dialogue known or only its texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.types import Dialogue, Speaker, Turn
from datagen.sources.grammar import Config, GrammarSource, make
from tests.sources.grammar_folders import write

SEED = 3


@lru_cache
def source(name: str) -> GrammarSource:
    return make(Config(grammar=name))


@pytest.fixture
def mini(tmp_path: Path) -> GrammarSource:
    return make(Config(grammar=str(write(tmp_path))))


def dialogue(source: GrammarSource, index: int) -> Dialogue:
    got = next(source.read(index, index + 1, SEED))
    assert isinstance(got, Dialogue)
    return got


def assistant_turns(dialogue: Dialogue) -> list[int]:
    return [k for k, turn in enumerate(dialogue.turns) if turn.speaker == "assistant"]


def openings(source: GrammarSource, count: int, start: int = 0) -> Iterator[tuple[int, int, Dialogue]]:
    for index in range(start, start + count):
        got = dialogue(source, index)
        yield from ((index, k, got) for k in assistant_turns(got))


def first(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def plain(text: str) -> str:
    return re.sub(r"[^\w' ]", "", text).casefold()


def said(*texts: str, speaker: Speaker = "user") -> list[Turn]:
    """Alternating turns, the last by ``speaker``."""
    order: tuple[Speaker, Speaker] = ("user", "assistant")
    shift = len(texts) - 1 + order.index(speaker)
    return [Turn(speaker=order[(shift - k) % 2], text=text) for k, text in enumerate(texts)]


# -- the dialogue is known -----------------------------------------------------------------------------------


@given(st.integers(0, 100_000), st.integers(1, 40), st.sampled_from(["en", "es"]))
@settings(max_examples=40, deadline=None)
def test_what_was_said_may_be_said(index: int, words: int, name: str) -> None:
    got = dialogue(source(name), index)
    for turn in assistant_turns(got):
        prefix = first(got.turns[turn].text, words)
        shouted = re.sub(r"[^\w'\- ]", "", prefix).upper()
        assert source(name).judge(index, turn, prefix, SEED).valid
        assert source(name).judge(index, turn, shouted, SEED).valid


def test_a_beginning_of_a_valid_prefix_is_valid_and_a_longer_one_is_not_more_than_the_turn(mini: GrammarSource) -> None:
    for index, turn, got in openings(mini, 30):
        words = got.turns[turn].words
        assert all(mini.judge(index, turn, " ".join(words[:n]), SEED).valid for n in range(len(words) + 1))
        assert not mini.judge(index, turn, " ".join([*words, "indeed"]), SEED).valid
        assert not mini.judge(index, turn, " ".join(words)[:-2] + "zz", SEED).valid


def test_a_wrong_slot_value_is_invalid(mini: GrammarSource) -> None:
    judged = 0
    for index, turn, got in openings(mini, 80):
        text = got.turns[turn].text
        for right, wrong in (("pizza", "soup"), ("soup", "pizza"), ("Monday", "Friday"), ("Friday", "Tuesday")):
            if re.search(rf"\b{right}\b", text):
                verdict = mini.judge(index, turn, text.replace(right, wrong), SEED)
                assert not verdict.valid
                assert repr(wrong.lower()) in verdict.reason
                judged += 1
    assert judged > 80


def test_other_peoples_answers_are_nearly_always_invalid() -> None:
    turns = list(openings(source("en"), 60))
    pairs = [(turns[k], turns[(k * 37 + 11) % len(turns)]) for k in range(0, len(turns), 2)]
    pairs = [(here, other) for here, other in pairs if here[2].domain != other[2].domain]
    accepted = [
        first(other[2].turns[other[1]].text, 5)
        for here, other in pairs
        if source("en").judge(here[0], here[1], first(other[2].turns[other[1]].text, 5), SEED).valid
    ]
    assert len(pairs) > 60
    assert len(accepted) <= 0.05 * len(pairs), accepted


def test_openings_are_distinct_and_all_valid() -> None:
    for name in ("en", "es"):
        for index, turn, got in list(openings(source(name), 8))[:20]:
            listed = source(name).openings(index, turn, 4, SEED, limit=60)
            assert 0 < len(listed) == len({plain(text) for text in listed}) <= 60
            assert all(source(name).judge(index, turn, text, SEED).valid for text in listed)
            assert listed == source(name).openings(index, turn, 4, SEED, limit=60)
            assert len(listed) == 60 or plain(first(got.turns[turn].text, 4)) in {plain(text) for text in listed}


def test_all_openings_of_a_small_grammar_are_listed(mini: GrammarSource) -> None:
    index, turn = next((i, k) for i, k, d in openings(mini, 99) if d.turns[k].text.endswith("for which day?"))
    assert set(mini.openings(index, turn, 3, SEED)) == {
        "Sure, for which",
        "Of course, for",
        "All right, for",
        "Okay, for which",
    }


def test_only_assistant_turns_that_exist_are_judged(mini: GrammarSource) -> None:
    user = next(k for k, turn in enumerate(dialogue(mini, 0).turns) if turn.speaker == "user")
    with pytest.raises(ValueError, match="is the user's; only the assistant is judged"):
        mini.judge(0, user, "sure", SEED)
    with pytest.raises(ValueError, match="turn 99 does not exist in grammar-mini-0000000"):
        mini.openings(0, 99, 3, SEED)


# -- only the texts are known --------------------------------------------------------------------------------


def heard(turn: Turn, way: str) -> Turn:
    """A turn as it might reach us: unpunctuated with a hesitation, cut short, replaced, or begun with an opener."""
    if way == "messy":
        words = re.sub(r"[^\w'\- ]", "", turn.text).lower().split()
        return turn.model_copy(update={"text": " ".join([*words[:1], "um", *words[1:]])})
    if way == "cut" and turn.speaker == "assistant":
        return turn.model_copy(update={"text": first(turn.text, max(1, len(turn.words) // 2))})
    if way == "unknown" and turn.speaker == "assistant":
        return turn.model_copy(update={"text": "I would put it quite differently, to be honest."})
    if way == "opener" and turn.speaker == "user":
        return turn.model_copy(update={"text": f"wait sorry {turn.text}"})
    return turn


@pytest.mark.parametrize("way", ["plain", "messy", "cut", "unknown", "opener", "last"])
def test_a_context_is_recognised_however_it_was_heard(way: str) -> None:
    for index in range(200, 212):
        got = dialogue(source("en"), index)
        turn = assistant_turns(got)[-1]
        turns = [heard(t, way) for t in got.turns[turn - 1 if way == "last" else 0 : turn]]
        verdict = source("en").judge_context(turns, first(got.turns[turn].text, 5))
        assert verdict.valid, (verdict, turns, got.turns[turn])


def test_slots_are_read_from_the_texts(mini: GrammarSource) -> None:
    turns = said("Some small talk.", "Oh, really?", "I'd like some soup for Friday, please.")
    assert mini.judge_context(turns, "okay, your soup will be ready on Friday").valid
    for wrong in ("okay, your pizza", "sure, your soup will be ready on Monday", "sure, for which day"):
        assert not mini.judge_context(turns, wrong).valid
    corrected = [*turns, *said("Sure, soup on Friday", "Sorry, not Friday, Monday.", speaker="user")]
    assert mini.judge_context(corrected, "sure, your soup will be ready on Monday, it takes an hour").valid
    assert not mini.judge_context(corrected, "sure, your soup will be ready on Friday").valid


def test_what_is_not_in_the_grammar_is_said_to_be_so(mini: GrammarSource) -> None:
    lost = mini.judge_context(said("Where did I park the car?"), "sure")
    assert not lost.valid
    assert lost.reason.startswith("context not recognised: 'Where did I park")
    again = mini.judge_context(said("Hello, how can I help?", speaker="assistant"), "sure")
    assert (again.valid, again.reason) == (False, "the assistant spoke last")
    assert mini.judge_context([], "hello there").valid
    assert not mini.judge_context([], "goodbye").valid


def test_following_a_turn_leaves_the_context_as_it_was(mini: GrammarSource) -> None:
    start = mini.context([])
    one = mini.follow(start, said("When do you open?")[0])
    two = mini.follow(start, said("I'd like a pizza, please.")[0])
    assert start == mini.context([])
    assert one.known
    assert two.known
    assert one.states != two.states


@given(st.integers(0, 5_000), st.integers(0, 8), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_continuation_completes_the_prefix_to_something_allowed(index: int, words: int, seed: int) -> None:
    english = source("en")
    got = dialogue(english, index)
    turn = assistant_turns(got)[-1]
    prefix = first(got.turns[turn].text, words)
    whole = english.continuations(got.turns[:turn], prefix, seed)
    assert whole is not None
    assert whole == english.continuations(got.turns[:turn], prefix, seed)
    assert [w.strip(".,?!") for w in whole.lower().split()][: len(prefix.split())] == [
        w.strip(".,?!") for w in prefix.lower().split()
    ]
    assert english.judge_context(got.turns[:turn], whole).valid


def test_there_is_no_continuation_of_what_is_not_allowed(mini: GrammarSource) -> None:
    assert mini.continuations(said("When do you open?"), "we close", 0) is None
    assert mini.continuations(said("Where did I park the car?"), "", 0) is None
    assert mini.continuations(said("We open at ten.", speaker="assistant"), "", 0) is None
    assert mini.continuations(said("When do you open?"), "", 0) == "We open at ten."
