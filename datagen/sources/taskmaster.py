"""Taskmaster 1 to 4: task dialogues between a user and an assistant, spoken (Wizard of Oz) or written by one person.

Reads the four releases' own files: a list of dialogues (TM-1 self-dialogs and woz-dialogs, TM-2, TM-3, TM-4) or one
dialogue alone (TM-1 ``sample.json``). ``path`` may be a file, one release's folder or the whole checkout. The domain
is the release's ``vertical`` (TM-3, TM-4) or its ``instruction_id`` without the number (TM-1, TM-2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel

from datagen.core.types import Speaker
from datagen.kinds import Need, Source
from datagen.sources._files import File, Home, corpus, needs_files
from datagen.sources._turns import CorpusConfig, Origin, Said, Written, slug

ORIGIN = Origin(source="taskmaster", licence="CC BY 4.0")
HOME = Home(
    wanted=re.compile(r"^(?!.*\b(ontology|reward|splits)/)(?!.*\bontology\.json).*\.json(\.\w+)?$"),
    what="taskmaster dialogue files (.json)",
    remedy="git clone https://github.com/google-research-datasets/Taskmaster; its folder is the path",
)
_SPEAKERS: dict[str, Speaker] = {"USER": "user", "user": "user", "ASSISTANT": "assistant", "assistant": "assistant"}


class Config(CorpusConfig):
    """See CorpusConfig."""

    kind: Literal["taskmaster"]


class _Utterance(BaseModel):
    speaker: Literal["USER", "user", "ASSISTANT", "assistant"]
    text: str


class _Conversation(BaseModel):
    conversation_id: str
    instruction_id: str | None = None
    vertical: str | None = None
    utterances: tuple[_Utterance, ...]


def make(config: Config) -> Source:
    """The dialogues of the files; ValueError when there are none."""
    return corpus(config, HOME, ORIGIN, _records, _write)


def needs(config: Config) -> Iterator[Need]:
    """The corpus's files."""
    return needs_files(config, HOME)


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (ORIGIN.licence,)


def _records(document: Any) -> Iterable[Any]:
    if isinstance(document, dict) and "utterances" in document:
        return [document]
    if not isinstance(document, list):
        raise ValueError("expected a list of dialogues, or one dialogue with utterances")
    return document


def _write(record: Any, file: File) -> Written:
    conversation = _Conversation.model_validate(record)
    domain = conversation.vertical or re.sub(r"-\d+[a-z]?$", "", conversation.instruction_id or "task")
    turns: list[Said] = [(_SPEAKERS[u.speaker], u.text) for u in conversation.utterances]
    return Written(conversation.conversation_id, slug(domain), turns)
