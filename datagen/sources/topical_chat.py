"""Topical-Chat: 10,792 written conversations between two people about eight broad topics.

Reads the files of the corpus's ``conversations`` folder as published; ``path`` may also be the whole checkout. The
domain is ``chat-a`` to ``chat-d``, after the corpus's own ``config``: how alike the two people's reading was. Their
topic is not in the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel

from datagen.kinds import Need, Source
from datagen.sources._files import File, Home, corpus, needs_files
from datagen.sources._turns import CorpusConfig, Origin, Said, Written, slug

ORIGIN = Origin(source="topical_chat", licence="CDLA-Sharing-1.0")
HOME = Home(
    wanted=re.compile(r"^(?!.*\b(reading_sets|src|TopicalChatASR)/).*\.json(\.\w+)?$"),
    what="topical_chat dialogue files (.json)",
    remedy="git clone https://github.com/alexa/Topical-Chat; its folder is the path",
)

Agent = Literal["agent_1", "agent_2"]


class Config(CorpusConfig):
    """See CorpusConfig; the two people have no roles in the corpus."""

    kind: Literal["topical_chat"]
    user: Agent = "agent_1"
    """Who becomes the user; the other one becomes the assistant."""


class _Message(BaseModel):
    agent: Agent
    message: str


class _Conversation(BaseModel):
    config: str
    content: tuple[_Message, ...]


def make(config: Config) -> Source:
    """The conversations of the files; ValueError when there are none."""

    def write(record: Any, file: File) -> Written:
        name, raw = record
        conversation = _Conversation.model_validate(raw)
        turns: list[Said] = [
            ("user" if m.agent == config.user else "assistant", m.message) for m in conversation.content
        ]
        return Written(name, f"chat-{slug(conversation.config)}", turns)

    return corpus(config, HOME, ORIGIN, _records, write)


def needs(config: Config) -> Iterator[Need]:
    """The corpus's files."""
    return needs_files(config, HOME)


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (ORIGIN.licence,)


def _records(document: Any) -> Iterable[Any]:
    if not isinstance(document, dict):
        raise ValueError("expected an object of conversations by id")
    return document.items()
