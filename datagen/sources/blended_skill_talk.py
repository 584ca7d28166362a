"""BlendedSkillTalk: 6,808 chats between two people who show personality, empathy and knowledge.

Reads either published form (Smith et al., arXiv:2004.08449; CC BY-NC by ParlAI's README): ``train.json``,
``valid.json`` and ``test.json`` of ParlAI's download, or the Parquet files of ``ParlAI/blended_skill_talk`` on the
Hugging Face Hub.

    {"personas": [[..], [..]], "context_dataset": "wizard_of_wikipedia", "additional_context": "Gardening",
     "free_turker_utterance": "..", "guided_turker_utterance": "..", "dialog": [[0, ".."], [1, ".."], ..], ..}

The two ``_utterance``s open the chat: they come from the corpus that ``context_dataset`` names, and the two people
(0 is the free one, 1 the guided one) go on from there. Personas, topic and suggestions are not spoken and not read. The
domain is ``chat-`` and the ``context_dataset``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal

from pydantic import BaseModel

from datagen.core.types import Speaker, other
from datagen.kinds import Need, Source
from datagen.sources._files import File, Home, corpus, needs_files, read_json
from datagen.sources._parquet import Parquet
from datagen.sources._turns import CorpusConfig, Origin, Said, Written, slug

ORIGIN = Origin(source="blended_skill_talk", licence="CC BY-NC")
HOME = Home(
    wanted=re.compile(
        r"^(?:.*/)?(?:(?:train|valid|test)\.json(\.\w+)?|(?:train|validation|test)-\d+-of-\d+\.parquet)$"
    ),
    what="BlendedSkillTalk files (train.json or train-00000-of-00001.parquet)",
    remedy="hf download ParlAI/blended_skill_talk --repo-type dataset --local-dir blended_skill_talk",
)
_COLUMNS = ("context", "previous_utterance", "free_messages", "guided_messages")


class Config(CorpusConfig):
    """See CorpusConfig."""

    kind: Literal["blended_skill_talk"]
    user: Literal["free", "guided"] = "free"
    """Who becomes the user: the free one speaks first. The other becomes the assistant."""


class _Chat(BaseModel):
    """A chat as JSON has it."""

    context_dataset: str
    free_turker_utterance: str
    guided_turker_utterance: str
    dialog: tuple[tuple[Literal[0, 1], str], ...]


class _Row(BaseModel):
    """The same as a row of a table."""

    context: str
    previous_utterance: tuple[str, str]
    free_messages: tuple[str, ...]
    guided_messages: tuple[str, ...]

    def chat(self) -> _Chat:
        """The row as JSON would have it."""
        pairs = zip(self.free_messages, self.guided_messages, strict=True)
        dialog = chain.from_iterable(((0, free), (1, guided)) for free, guided in pairs)
        free, guided = self.previous_utterance
        return _Chat.model_validate(
            {
                "context_dataset": self.context,
                "free_turker_utterance": free,
                "guided_turker_utterance": guided,
                "dialog": tuple(dialog),
            }
        )


def make(config: Config) -> Source:
    """The chats of the files; ValueError when there are none."""
    free: Speaker = "user" if config.user == "free" else "assistant"
    speakers = (free, other(free))

    def write(record: Any, file: File) -> Written:
        number, raw = record
        chat = _Chat.model_validate(raw) if "dialog" in raw else _Row.model_validate(raw).chat()
        opening = ((0, chat.free_turker_utterance), (1, chat.guided_turker_utterance))
        turns: list[Said] = [(speakers[who], text) for who, text in (*opening, *chat.dialog)]
        return Written(f"bst-{file.stem}-{number:06d}", f"chat-{slug(chat.context_dataset)}", turns)

    return corpus(config, HOME, ORIGIN, _records, write, _parse)


def needs(config: Config) -> Iterator[Need]:
    """The corpus's files."""
    return needs_files(config, HOME)


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (ORIGIN.licence,)


def _parse(file: File) -> Any:
    if file.name.endswith(".parquet"):
        return Parquet.open(file, _COLUMNS).read(_COLUMNS).to_pylist()
    return read_json(file)


def _records(document: Any) -> Iterable[Any]:
    if not isinstance(document, list) or not all(isinstance(record, dict) for record in document):
        raise ValueError("expected a list of chats")
    return enumerate(document, 1)
