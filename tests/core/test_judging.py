"""Questions about answers show the judge the right part of the conversation and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.core.judging import CONTEXT_WORDS, Score, Sensible, score_ask, sensible_ask
from datagen.core.types import Turn
from tests.strategies import chatter

LONG = chatter(1, turns=31, words=(10, 30)).turns


@given(st.integers(1, 15))
def test_the_context_is_the_end_of_the_conversation_within_its_words(exchanges: int) -> None:
    context = LONG[: 2 * exchanges - 1]
    shown = sensible_ask("c", context, "Well, I").prompt.split("\n\n")[0].split("\n")
    assert shown == [f"{t.speaker.capitalize()}: {t.text}" for t in context[-len(shown) :]]
    assert len(shown) == 1 or sum(len(t.words) for t in context[-len(shown) :]) <= CONTEXT_WORDS
    if len(shown) < len(context):
        assert sum(len(t.words) for t in context[-len(shown) - 1 :]) > CONTEXT_WORDS


def test_a_turn_longer_than_the_context_is_shown_whole() -> None:
    turn = Turn(speaker="user", text="word " * 300 + "end")
    assert turn.text in score_ask("c", [turn], "Yes.").prompt


def test_the_assistants_turn_is_not_part_of_the_context() -> None:
    with pytest.raises(ValueError, match="last turn must be the user's"):
        sensible_ask("c", LONG[:2], "Well")
    with pytest.raises(ValueError, match="last turn must be the user's"):
        score_ask("c", [], "Well")


def test_answers_are_what_the_paper_asks_for() -> None:
    assert Sensible.model_validate_json('{"sensible": false}').sensible is False
    assert Score.model_validate_json('{"score": 5}').score == 5
    for wrong in (0, 6, 3.5):
        with pytest.raises(ValidationError):
            Score.model_validate({"score": wrong})
