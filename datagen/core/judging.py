"""Questions about answers: does the beginning of a response make sense, and how good is a response?

The trainer asks the first to label the verifier's prefixes and the second for the quality tables (RelayS2S sections 2.4
and 4.3, appendix A.2). The wording is ours; criteria, scales and the answers' forms are those of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from datagen.core.asking import Ask
from datagen.core.types import Turn

CONTEXT_WORDS = 200
"""Of the dialogue, counted back from its end: what the paper's evaluation shows its judge."""

SENSIBLE_SYSTEM = """\
You check how a voice assistant begins to answer. You see a conversation and the first words of the assistant's next
turn; the rest of the turn is not known yet. Say whether these words make sense as the beginning of a response to what
the user said last: not off the topic, not contradicting the conversation, not broken. A beginning that commits to
little, such as a short acknowledgement, makes sense where a response may begin like that.
Answer with one JSON object: {"sensible": true or false}."""
SCORE_SYSTEM = """\
You are a strict auditor of a voice assistant. You see a conversation and the assistant's last response. Grade only that
response, on relevance, helpfulness, accuracy and clarity together:
5 excellent: right, complete and to the point; 4 good: a small weakness; 3 mediocre: partly helps;
2 poor: mostly misses the user's need; 1 useless, wrong or harmful.
Anything harmful, made up or factually wrong limits the score to 3.
Answer with one JSON object: {"score": 1 to 5}."""


class Sensible(BaseModel):
    """Answer to ``sensible_ask``."""

    sensible: bool


class Score(BaseModel):
    """Answer to ``score_ask``."""

    score: int = Field(ge=1, le=5)


def sensible_ask(id_: str, context: Sequence[Turn], prefix: str, seed: int = 0) -> Ask:
    """Asks whether a drafted prefix makes sense after a conversation whose last turn is the user's."""
    prompt = f"{_shown(context)}\n\nThe assistant begins: {prefix.strip()} ..."
    return _ask(id_, "judge", SENSIBLE_SYSTEM, prompt, Sensible, seed)


def score_ask(id_: str, context: Sequence[Turn], response: str, seed: int = 0) -> Ask:
    """Asks for the quality of a response to a conversation whose last turn is the user's."""
    prompt = f"{_shown(context)}\n\nThe response to grade:\nAssistant: {response.strip()}"
    return _ask(id_, "score", SCORE_SYSTEM, prompt, Score, seed)


def _ask(id_: str, purpose: str, system: str, prompt: str, answer: type[BaseModel], seed: int) -> Ask:
    return Ask(
        id=id_,
        purpose=purpose,
        system=system,
        prompt=prompt,
        answer_schema=answer.model_json_schema(),
        max_output_tokens=2048,
        temperature=0,
        seed=seed,
    )


def _shown(context: Sequence[Turn]) -> str:
    """The last turns within ``CONTEXT_WORDS`` words, at least one, each with its speaker."""
    if not context or context[-1].speaker != "user":
        raise ValueError("context: the last turn must be the user's; leave the assistant's response out of it")
    shown: list[Turn] = []
    words = 0
    for turn in reversed(context):
        words += len(turn.words)
        if shown and words > CONTEXT_WORDS:
            break
        shown.append(turn)
    return "\n".join(f"{turn.speaker.capitalize()}: {turn.text}" for turn in reversed(shown))
