"""Schema-Guided Dialogue: task dialogues over the schemas of services, simulated in outline and written by people.

Reads ``train``, ``dev`` and ``test``'s ``dialogues_*.json`` as published; ``path`` may be a file, one split's folder
or the whole checkout (its rewritten copies in ``sgd_x`` are left out). The corpus numbers dialogues per split, so ids
are ``sgd-<split>-<dialogue_id>``. The domain joins the services without their version: ``restaurants``,
``hotels+travel``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, Field

from datagen.core.types import Speaker
from datagen.kinds import Need, Source
from datagen.sources._files import File, Home, corpus, needs_files
from datagen.sources._turns import CorpusConfig, Origin, Said, Written, slug

ORIGIN = Origin(source="schema_guided", licence="CC BY-SA 4.0")
HOME = Home(
    wanted=re.compile(r"^(?!.*\bsgd_x/)(.*/)?dialogues_\d+\.json(\.\w+)?$"),
    what="schema_guided dialogue files (.json)",
    remedy="git clone https://github.com/google-research-datasets/dstc8-schema-guided-dialogue; its folder is the path",
)
_SPLIT = re.compile(r"(?:^|/)(train|dev|test)/[^/]*$")
_SPEAKERS: dict[str, Speaker] = {"USER": "user", "SYSTEM": "assistant"}


class Config(CorpusConfig):
    """See CorpusConfig."""

    kind: Literal["schema_guided"]


class _Turn(BaseModel):
    speaker: Literal["USER", "SYSTEM"]
    utterance: str


class _Dialogue(BaseModel):
    dialogue_id: str
    services: tuple[str, ...] = Field(min_length=1)
    turns: tuple[_Turn, ...]


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
    if not isinstance(document, list):
        raise ValueError("expected a list of dialogues")
    return document


def _write(record: Any, file: File) -> Written:
    dialogue = _Dialogue.model_validate(record)
    split = _SPLIT.search(file.path)
    prefix = f"sgd-{split[1]}" if split else "sgd"
    domain = "+".join(sorted({slug(re.sub(r"_\d+$", "", service)) for service in dialogue.services}))
    turns: list[Said] = [(_SPEAKERS[turn.speaker], turn.utterance) for turn in dialogue.turns]
    return Written(f"{prefix}-{dialogue.dialogue_id}", domain, turns)
