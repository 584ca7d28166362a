"""write: a language model writes what has to be written before it can be spoken.

An *outline* (a chat between two people that is not to be spoken itself) becomes a new conversation between a user and
an assistant in the recipe's language; RelayS2S section 3.1 does so with TopicalChat, ConvAI2 and BlendedSkillTalk.
With ``rewrite`` also the dialogues that could be spoken as they are get the wording of speech.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, Field, SerializeAsAny

from datagen.answers import Budget
from datagen.core.asking import Ask
from datagen.core.language import Language
from datagen.core.rng import key, stream
from datagen.core.textnorm import speakable
from datagen.core.types import Dialogue, Ingested, Speaker, Strict, Turn
from datagen.kinds import KindConfig, LanguageModel, make
from datagen.stages.inputs import Inputs, Put

NAME = "write"
VERSION = 1
UPSTREAM = ("ingest",)
IN = Ingested

SYSTEM = """\
You write conversations between a user and a voice assistant exactly as they would be said aloud.
Rules for every turn:
- Only words a person can say: no lists, headings, markup, code, links, emoji, brackets or stage directions.
- Write numbers, dates, times, prices and units as spoken words.
- Everyday spoken language with contractions; the user may think aloud in sentences of several clauses.
- The assistant is helpful, correct and brief; it never says that it is a text or that it cannot hear.
- No names of real private people, no medical, legal or financial instructions that could harm.
Answer with one JSON object that follows the given schema."""
ANSWER_TOKENS_PER_WORD = 3
"""Room for an answer: JSON, other languages, and a model that is wordier than asked."""


def _rising(limits: tuple[int, int]) -> tuple[int, int]:
    if not 2 <= limits[0] <= limits[1] <= 60:
        raise ValueError(f"turns {limits}: give two numbers from 2 to 60, the lower first")
    return limits


class Writing(Strict):
    """What is asked of the writer: the recipe's key ``writing``."""

    rewrite: bool = False
    """Whether dialogues that are no outlines are put into spoken language as well."""
    turns: Annotated[tuple[int, int], AfterValidator(_rising)] = (4, 12)
    """Least and most turns of a written conversation; each draws its own number."""
    words_per_turn: int = Field(default=25, ge=5, le=100)
    """About how long a turn should be."""
    domain: str = ""
    """What the conversations should be about, in words; empty = whatever the outline is about."""
    licence: str = "LicenseRef-model-output"
    """Of what the model writes, beside the licence of the outline: see the provider's terms."""


class Config(Strict):
    aside: ClassVar[frozenset[str]] = frozenset({"budget"})

    writer: SerializeAsAny[KindConfig]
    writing: Writing
    language: Language
    seed: int
    max_words: int = 420
    """Of a whole conversation; a longer answer is sent back. 420 words stay under three minutes."""
    budget: Budget | None = None


class SaidTurn(BaseModel):
    """A turn as the model gives it."""

    speaker: Speaker
    text: str


class Conversation(BaseModel):
    """The answer to an outline. Topic and plan come first: the model thinks before it writes."""

    topic: str
    plan: str
    turns: list[SaidTurn]


class Rewritten(BaseModel):
    """The answer to a dialogue that is to be reworded: as many texts as it has turns."""

    turns: list[str]


def gather(records: Sequence[Ingested], config: Config, inputs: Inputs) -> Mapping[str, Dialogue | ValueError]:
    """What the writer makes of the shard's outlines and, with ``rewrite``, of its dialogues."""
    wanted = {r.id: r.dialogue for r in records if r.dialogue.use == "outline" or config.writing.rewrite}
    model: LanguageModel = make("llm", config.writer)
    asks = [_ask(dialogue, config) for dialogue in wanted.values()]

    def read(ask: Ask, text: str) -> Dialogue:
        before = wanted[ask.id]
        return written(before, text, config) if before.use == "outline" else reworded(before, text, config)

    return dict(zip(wanted, model.ask(asks, read, inputs.answers(config.budget)), strict=True))


def process(record: Ingested, config: Config, inputs: Inputs, put: Put) -> Ingested:
    """The record with what was written for it; unchanged where nothing had to be."""
    found = inputs.gathered.get(record.id, record.dialogue)
    if isinstance(found, ValueError):
        raise found
    return record.model_copy(update={"dialogue": found})


def _ask(dialogue: Dialogue, config: Config) -> Ask:
    return write_ask(dialogue, config) if dialogue.use == "outline" else rewrite_ask(dialogue, config)


def write_ask(outline: Dialogue, config: Config) -> Ask:
    """Asks for a conversation on an outline's topic."""
    writing, name = config.writing, config.language.name
    low, high = writing.turns
    count = int(stream(config.seed, outline.id, "write/turns").integers(low, high + 1))
    about = f" It must be about {writing.domain}; take from the chat only what fits." if writing.domain else ""
    chat = "\n".join(f"{'A' if t.speaker == 'user' else 'B'}: {t.text}" for t in outline.turns)
    return Ask(
        id=outline.id,
        purpose="write",
        system=SYSTEM,
        prompt=(
            f"Here is a chat between two people:\n\n{chat}\n\n"
            "Note its topic and, in a few sentences, a plan for another conversation with a similar topic and course, "
            f"now between a user and a voice assistant.{about} Then write that conversation in {name}. It has {count} "
            "turns, begins with the user, and the speakers alternate; a turn has about "
            f"{writing.words_per_turn} words, some far fewer. Copy no sentence of the chat."
        ),
        answer_schema=Conversation.model_json_schema(),
        max_output_tokens=_room(count * writing.words_per_turn),
        seed=_seed(config, outline.id),
    )


def rewrite_ask(dialogue: Dialogue, config: Config) -> Ask:
    """Asks for a dialogue's turns in spoken language."""
    turns = "\n".join(f"{number} ({t.speaker}): {t.text}" for number, t in enumerate(dialogue.turns))
    return Ask(
        id=dialogue.id,
        purpose="rewrite",
        system=SYSTEM,
        prompt=(
            f"Rewrite this conversation in {config.language.name} as it would be spoken. Keep the meaning, the order "
            f"and the number of turns ({len(dialogue.turns)}); shorten an answer that is too long to listen to. Give "
            f"the texts alone, without speaker or number.\n\n{turns}"
        ),
        answer_schema=Rewritten.model_json_schema(),
        max_output_tokens=_room(sum(len(t.words) for t in dialogue.turns)),
        seed=_seed(config, dialogue.id),
    )


def written(outline: Dialogue, text: str, config: Config) -> Dialogue:
    """The conversation in an answer; ValueError says what is wrong with it."""
    answer = Conversation.model_validate_json(text)
    low, high = config.writing.turns
    if not low <= len(answer.turns) <= high:
        raise ValueError(f"turns: {len(answer.turns)} were written, {low} to {high} are wanted")
    if answer.turns[0].speaker != "user":
        raise ValueError("turns: the user speaks first")
    said: list[tuple[Speaker, str]] = [(t.speaker, t.text) for t in answer.turns]
    return _dialogue(outline, said, f"{outline.licence} AND {config.writing.licence}", config)


def reworded(dialogue: Dialogue, text: str, config: Config) -> Dialogue:
    """The dialogue with the texts of an answer; ValueError says what is wrong with them."""
    answer = Rewritten.model_validate_json(text)
    if len(answer.turns) != len(dialogue.turns):
        raise ValueError(f"turns: {len(answer.turns)} were given, the conversation has {len(dialogue.turns)}")
    said: list[tuple[Speaker, str]] = [
        (turn.speaker, words) for turn, words in zip(dialogue.turns, answer.turns, strict=True)
    ]
    return _dialogue(dialogue, said, f"{dialogue.licence} AND {config.writing.licence}", config)


def _dialogue(before: Dialogue, said: Sequence[tuple[Speaker, str]], licence: str, config: Config) -> Dialogue:
    spell = config.language.spelling.replace
    turns = tuple(Turn(speaker=speaker, text=speakable(text, spell)) for speaker, text in said)
    if (words := sum(len(t.words) for t in turns)) > config.max_words:
        raise ValueError(f"turns: {words} words in all, at most {config.max_words} fit a conversation")
    return Dialogue(
        id=before.id,
        language=config.language.code,
        domain=before.domain,
        source=before.source,
        licence=licence,
        turns=turns,
    )


def _room(words: int) -> int:
    return max(1024, words * ANSWER_TOKENS_PER_WORD)


def _seed(config: Config, record_id: str) -> int:
    return key(config.seed, record_id, "write") % 2**31
