from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Dialogue, Turn
from datagen.llm.rules import Config, make
from tests.strategies import dialogue, dialogues, english

RULES = make(Config(kind="rules"))


def marked(text: str, code: str = "en") -> str:
    """The text with ``|`` at clause ends and ``~`` at hesitations."""
    said = dialogue([Turn(speaker="user", text=text)])
    signs = {p.after_word: "|" if p.kind == "clause" else "~" for p in RULES.places(said, english(code))}
    return " ".join(f"{word} {signs[n]}" if n in signs else word for n, word in enumerate(text.split()))


@given(dialogues(), st.sampled_from(["en", "es"]))
def test_places_lie_between_words_one_at_most_in_each_gap(said: Dialogue, code: str) -> None:
    places = RULES.places(said, english(code))
    positions = [(p.turn, p.after_word) for p in places]
    assert all(left < right for left, right in pairwise(positions))
    assert all(p.after_word + 1 < len(said.turns[p.turn].words) for p in places)


@given(dialogues(max_turns=3))
def test_capitals_make_no_difference(said: Dialogue) -> None:
    loud = said.model_copy(update={"turns": tuple(Turn(speaker=t.speaker, text=t.text.upper()) for t in said.turns)})
    assert RULES.places(loud, english()) == RULES.places(said, english())


@given(dialogues(max_turns=4))
def test_a_turns_places_depend_on_that_turn_alone(said: Dialogue) -> None:
    alone = [
        (n, p.after_word, p.kind)
        for n, turn in enumerate(said.turns)
        for p in RULES.places(dialogue([turn]), english())
    ]
    assert [(p.turn, p.after_word, p.kind) for p in RULES.places(said, english())] == alone


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("en", "one two, | three four"),
        ("en", 'he said ~ "no." | Nothing else'),
        ("en", "we left ~ (at last) | but ~ returned"),
        ("en", "(all done.) | Nothing else"),
        ("en", "something green | because ~ we like green"),
        ("en", "put flowers ~ on the table"),
        ("en", "one two three four"),
        ("es", "¿vamos? | Claro"),
        ("es", "compramos flores | porque ~ llueve"),
    ],
)
def test_places_in_plain_sentences(code: str, expected: str) -> None:
    text = " ".join(w for w in expected.split() if w not in "|~")
    assert marked(text, code) == expected
