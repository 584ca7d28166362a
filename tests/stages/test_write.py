"""What a writer may hand in: a conversation that can be spoken, of the wanted length, or a reason why not."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Dialogue, Ingested
from datagen.llm import rules
from datagen.stages import write
from tests.strategies import chatter, dialogues, english

OUTLINE = chatter(3).model_copy(update={"use": "outline", "language": "de", "licence": "CDLA-Sharing-1.0"})


def config(**changes: Any) -> write.Config:
    writing = write.Writing(turns=(2, 8), **changes)
    return write.Config(writer=rules.Config(kind="rules"), writing=writing, language=english(), seed=1)


def conversation(turns: int = 4, first: int = 0, text: str = "It is number {}, I think.") -> str:
    said = [{"speaker": ("user", "assistant")[(first + n) % 2], "text": text.format(n)} for n in range(turns)]
    return json.dumps({"topic": "t", "plan": "p", "turns": said})


def test_an_outline_becomes_a_script_of_the_recipes_language() -> None:
    made = write.written(OUTLINE, conversation(), config(licence="L"))
    assert (made.id, made.use, made.language) == (OUTLINE.id, "script", "en")
    assert made.licence == "CDLA-Sharing-1.0 AND L"
    assert [t.speaker for t in made.turns] == ["user", "assistant"] * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (conversation(9), "turns: 9 were written, 2 to 8 are wanted"),
        (conversation(1), "turns: 1 were written"),
        (conversation(4, first=1), "the user speaks first"),
        (conversation(4, text="```print({})```"), "cannot be spoken"),
        (conversation(4, text="..."), "no letter or digit"),
        (conversation(8, text="word " * 60), "480 words in all, at most 420"),
        ('{"topic": "t"}', "Field required"),
        ("no JSON", "Invalid JSON"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        write.written(OUTLINE, text, config())


def test_two_turns_of_one_speaker_are_refused() -> None:
    said = [{"speaker": "user", "text": "One."}, {"speaker": "user", "text": "Two."}]
    with pytest.raises(ValueError, match="both by the user"):
        write.written(OUTLINE, json.dumps({"topic": "t", "plan": "p", "turns": said}), config())


@given(dialogues(), st.integers(-1, 1))
def test_a_rewritten_dialogue_keeps_its_turns_and_speakers(said: Dialogue, more: int) -> None:
    texts = [f"Turn {n}." for n in range(len(said.turns) + more)]
    answer = json.dumps({"turns": texts})
    if more:
        with pytest.raises(ValueError, match="turns:"):
            write.reworded(said, answer, config())
        return
    made = write.reworded(said, answer, config())
    assert [t.text for t in made.turns] == texts
    assert [t.speaker for t in made.turns] == [t.speaker for t in said.turns]


@given(dialogues())
def test_what_is_asked_follows_from_the_outline_and_the_seed(said: Dialogue) -> None:
    outline = said.model_copy(update={"use": "outline"})
    ask = write.write_ask(outline, config(domain="growing tomatoes"))
    assert all(t.text in ask.prompt for t in said.turns)
    assert "growing tomatoes" in ask.prompt
    assert "in English" in ask.prompt
    assert ask == write.write_ask(outline, config(domain="growing tomatoes"))


def test_the_number_of_turns_is_drawn_between_its_limits() -> None:
    asked = {
        int(found[1])
        for n in range(200)
        if (found := re.search(r"It has (\d+) turns", write.write_ask(chatter(n), config()).prompt))
    }
    assert asked == set(range(2, 9))


def test_only_outlines_are_asked_about_unless_all_shall_be_rewritten() -> None:
    records = [Ingested(dialogue=d, split="test") for d in (OUTLINE, chatter(4))]
    model = Mock()
    model.ask.side_effect = lambda asks, read, answers: [ask.purpose for ask in asks]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "make", lambda family, config: model)
        assert write.gather(records, config(), Mock()) == {OUTLINE.id: "write"}
        assert write.gather(records, config(rewrite=True), Mock()) == {OUTLINE.id: "write", "c-4": "rewrite"}


def test_a_refused_answer_refuses_the_record_and_others_pass_unchanged() -> None:
    record = Ingested(dialogue=chatter(4), split="test")
    assert write.process(record, config(), Mock(gathered={}), Mock()) == record
    with pytest.raises(ValueError, match="no good"):
        write.process(record, config(), Mock(gathered={"c-4": ValueError("no good")}), Mock())
