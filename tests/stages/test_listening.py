"""What a language model may say about where listeners react: only what fits the dialogue becomes a place."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Dialogue, Script
from datagen.stages import listening
from tests.strategies import chatter, dialogues, english


def answer(backchannels: list[dict[str, Any]], pauses: list[dict[str, Any]] | None = None) -> str:
    return json.dumps({"backchannels": backchannels, "pauses": pauses or []})


@st.composite
def answers(draw: st.DrawFn, said: Dialogue) -> dict[str, list[dict[str, Any]]]:
    """Places inside and outside the dialogue."""
    turn, word = st.integers(-1, len(said.turns)), st.integers(-1, 31)
    token = st.sampled_from(["yeah", "mm-hmm", "oh I see", "", "...", "a much too long sign of listening"])
    backchannels = draw(st.lists(st.fixed_dictionaries({"turn": turn, "after_word": word, "token": token}), max_size=4))
    pauses = draw(st.lists(st.fixed_dictionaries({"turn": turn, "after_word": word}), max_size=4))
    return {"backchannels": backchannels, "pauses": pauses}


def fits(said: Dialogue, place: dict[str, Any]) -> bool:
    turn, word = place["turn"], place["after_word"]
    inside = 0 <= turn < len(said.turns) and 0 <= word < len(said.turns[turn].words) - 1
    return inside and place.get("token", "yeah") in ("yeah", "mm-hmm", "oh I see")


@given(st.data())
def test_an_answer_is_used_when_all_of_it_fits_the_dialogue(data: st.DataObject) -> None:
    said = data.draw(dialogues())
    asked = data.draw(answers(said))
    places = [place for kind in asked.values() for place in kind]
    if not all(fits(said, place) for place in places):
        with pytest.raises(ValueError, match=r"^(backchannels|pauses): [^\n]+$"):
            listening.places(said, json.dumps(asked))
        return
    found = listening.places(said, json.dumps(asked))
    Script(dialogue=said, places=found)  # its constructor refuses what does not fit
    assert [(p.turn, p.after_word) for p in found] == sorted({(p["turn"], p["after_word"]) for p in places})
    assert all(bool(p.text) == (p.kind == "clause") for p in found)


@pytest.mark.parametrize(
    ("backchannels", "reason"),
    [
        ([{"turn": 9, "after_word": 0, "token": "yeah"}], "there is no turn 9; turns are 0 to 7"),
        ([{"turn": -1, "after_word": 0, "token": "yeah"}], "there is no turn -1"),
        ([{"turn": 0, "after_word": 99, "token": "yeah"}], "has no place after word 99; the last one is after word"),
        ([{"turn": 0, "after_word": 1, "token": "--"}], "token '--' is not one to 3 words"),
        ([{"turn": 0, "after_word": 1, "token": "yes I do think so"}], "is not one to 3 words"),
    ],
)
def test_what_is_wrong_is_said(backchannels: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        listening.places(chatter(1), answer(backchannels))


def test_there_is_no_place_after_the_last_word() -> None:
    said = chatter(1)
    last = len(said.turns[0].words) - 1
    with pytest.raises(ValueError, match="no place after word"):
        listening.places(said, answer([], [{"turn": 0, "after_word": last}]))
    assert listening.places(said, answer([], [{"turn": 0, "after_word": last - 1}]))


def test_a_backchannel_beats_a_pause_at_the_same_word() -> None:
    at = {"turn": 0, "after_word": 1}
    (place,) = listening.places(chatter(1), answer([{**at, "token": " I   see "}], [at]))
    assert (place.kind, place.text) == ("clause", "I see")


@given(dialogues())
def test_every_word_is_shown_with_its_number(said: Dialogue) -> None:
    ask = listening.places_ask(said, english(), 1)
    for turn in said.turns:
        for number, word in enumerate(turn.words):
            assert f" {number}:{word}" in ask.prompt
    assert ask.answer_schema == listening.Places.model_json_schema()
    assert ask == listening.places_ask(said, english(), 1)
