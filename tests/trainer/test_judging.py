"""The grammar as a judge of prefixes: it accepts what it wrote, and says so where it cannot tell."""

from __future__ import annotations

import pytest

from datagen import kinds
from datagen.core.types import Dialogue, Turn
from tests.trainer.talks import Said, row
from trainer.data.rows import Row
from trainer.evaluate.judging import GrammarJudge

TALK = row(Said("user", 0, 5), Said("assistant", 6, 9), ticks=12)


@pytest.fixture(scope="module")
def judge() -> GrammarJudge:
    return GrammarJudge("en")


@pytest.fixture(scope="module")
def written() -> list[Dialogue]:
    source = kinds.make("sources", kinds.parse("sources", {"kind": "grammar", "grammar": "en"}))
    return [dialogue for dialogue in source.read(0, 12, 5) if isinstance(dialogue, Dialogue)]


def of(dialogue: Dialogue) -> Row:
    return TALK.model_copy(update={"id": dialogue.id, "language": dialogue.language, "domain": dialogue.domain})


def opening(turn: Turn) -> str:
    return " ".join(turn.text.split()[:5])


def test_what_the_grammar_wrote_is_good_and_what_it_did_not_is_bad(
    judge: GrammarJudge, written: list[Dialogue]
) -> None:
    answers = [(d, n) for d in written for n, turn in enumerate(d.turns) if n and turn.speaker == "assistant"]
    assert len(answers) > 10
    for dialogue, n in answers:
        before = dialogue.turns[:n]
        assert judge(of(dialogue), before, opening(dialogue.turns[n])) is True
        assert judge(of(dialogue), before, "Purple seven the quickly of") is False
        assert judge(of(dialogue), before, "") is False


def test_it_says_nothing_about_what_it_does_not_know(judge: GrammarJudge, written: list[Dialogue]) -> None:
    dialogue = next(d for d in written if d.turns[0].speaker == "user")
    before, said = dialogue.turns[:1], opening(dialogue.turns[1])
    known = of(dialogue)
    assert judge(known, before, said) is True
    for other in ({"domain": "astrology"}, {"language": "fi"}):
        assert judge(known.model_copy(update=other), before, said) is None
    stranger = Turn(speaker="user", text="Flibber the gnorts under seventeen blue moons.")
    assert judge(known, (stranger,), said) is None
    assert judge(known, dialogue.turns[:2], said) is None, "the assistant spoke last"


def test_an_unknown_grammar_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no grammar 'xx'"):
        GrammarJudge("xx")
