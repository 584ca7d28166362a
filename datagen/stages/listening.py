"""What annotate asks a language model: where a listener would react, with which words, and where a speaker hesitates.

RelayS2S section 3.2 asks Gemini for insertion points and contents of backchannels; pauses are asked for in the same
request. The answer is held against the dialogue: a word that is not there is refused.
"""

from __future__ import annotations

from pydantic import BaseModel

from datagen.core.asking import Ask
from datagen.core.language import Language
from datagen.core.types import Dialogue, Place, Turn

SYSTEM = """\
You annotate spoken conversations for a speech data set. Each turn is given with numbered words.
backchannels: places inside a turn where the listener would make a short sign of listening without taking the floor.
  Only after a word that ends a clause or a thought, never before the turn is understandable, never after its last word.
  `token` is what the listener says there: one to three words that fit what was just said.
pauses: places inside a turn where its speaker might hesitate in search of words; never at the end of a clause.
`after_word` is the number of the last word before the place. Prefer few, natural places over many.
Answer with one JSON object that follows the given schema."""
MAX_TOKEN_WORDS = 3
ROOM_PER_WORD = 6
"""Tokens of answer allowed per word of dialogue: a place takes about 25 tokens, one in four words is plenty."""


class Backchannel(BaseModel):
    """A sign of listening as the model gives it."""

    turn: int
    after_word: int
    token: str


class Pause(BaseModel):
    """A hesitation as the model gives it."""

    turn: int
    after_word: int


class Places(BaseModel):
    """The whole answer."""

    backchannels: list[Backchannel]
    pauses: list[Pause]


def places_ask(dialogue: Dialogue, language: Language, seed: int) -> Ask:
    """Asks for the places of a dialogue."""
    numbered = "\n".join(
        f"turn {number} ({turn.speaker}): " + " ".join(f"{i}:{word}" for i, word in enumerate(turn.words))
        for number, turn in enumerate(dialogue.turns)
    )
    examples = ", ".join(token.text for token in language.backchannels)
    words = sum(len(turn.words) for turn in dialogue.turns)
    return Ask(
        id=dialogue.id,
        purpose="annotate",
        system=SYSTEM,
        prompt=f"The language is {language.name}; usual signs of listening are: {examples}.\n\n{numbered}",
        answer_schema=Places.model_json_schema(),
        max_output_tokens=1024 + ROOM_PER_WORD * words,
        seed=seed,
    )


def places(dialogue: Dialogue, text: str) -> tuple[Place, ...]:
    """The places in an answer, in order; ValueError names the first that cannot be."""
    answer = Places.model_validate_json(text)
    found: dict[tuple[int, int], Place] = {}
    for item in answer.backchannels:
        token = " ".join(item.token.split()).strip()
        if not any(c.isalpha() for c in token) or len(token.split()) > MAX_TOKEN_WORDS:
            raise ValueError(f"backchannels: token {token[:40]!r} is not one to {MAX_TOKEN_WORDS} words")
        _check(dialogue, item.turn, item.after_word, "backchannels")
        found[item.turn, item.after_word] = Place(
            turn=item.turn, after_word=item.after_word, kind="clause", text=Turn(speaker="user", text=token).text
        )
    for pause in answer.pauses:
        _check(dialogue, pause.turn, pause.after_word, "pauses")
        place = Place(turn=pause.turn, after_word=pause.after_word, kind="hesitation")
        found.setdefault((pause.turn, pause.after_word), place)
    return tuple(found[at] for at in sorted(found))


def _check(dialogue: Dialogue, turn: int, after_word: int, what: str) -> None:
    if not 0 <= turn < len(dialogue.turns):
        raise ValueError(f"{what}: there is no turn {turn}; turns are 0 to {len(dialogue.turns) - 1}")
    last = len(dialogue.turns[turn].words) - 2
    if not 0 <= after_word <= last:
        raise ValueError(f"{what}: turn {turn} has no place after word {after_word}; the last one is after word {last}")
