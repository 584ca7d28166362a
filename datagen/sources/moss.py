"""MOSS: conversations of people with the assistant of OpenMOSS, in English and Chinese.

Reads the two published sets of supervised fine-tuning data (Sun et al.: MOSS, doi:10.1007/s11633-024-1502-8):

``fnlp/moss-002-sft-data`` (1.16 million conversations), ``en_*.json`` and ``zh_*.json``, each one JSON list of
    {"id": 0, "prefix": .., "num_turns": 2, "plain_text": "[Human]: ..<eoh> [MOSS]: ..<eoa> [Human]: .."}
``fnlp/moss-003-sft-data`` (1.07 million, and some 300,000 with tools), unpacked, JSON lines of
    {"conversation_id": 1, "meta_instruction": .., "num_turns": 2, "chat": {"turn_1": {"Human": "<|Human|>: ..<eoh>\\n",
     "Inner Thoughts": .., "Commands": .., "Tool Responses": .., "MOSS": "<|MOSS|>: ..<eom>\\n"}, ..}, "category": ..}
or, in the project's repository, files of one such object each.

What is spoken are the turns of Human and MOSS; markers and references to search results go, thoughts, commands and
results of tools are not read, and an exchange that draws a picture cannot be heard. Conversations in the other
language (by the first turn of the user) are not counted at all; one that changes language ends there. The domain is
the ``category``, or the file's name (``helpfulness``, ``honesty``, ``harmlessness``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Literal

from pydantic import BaseModel, Field

from datagen.core.types import Dialogue, Speaker
from datagen.kinds import Need, Source
from datagen.sources._files import File, Home, find_files, needs_files
from datagen.sources._records import record_source
from datagen.sources._turns import AssistantConfig, Origin, Said, Written, beginning, slug

Code = Literal["en", "zh"]

_REMEDY = (
    "hf download fnlp/moss-003-sft-data moss-003-sft-no-tools.jsonl.zip --repo-type dataset --local-dir moss && "
    "unzip moss/moss-003-sft-no-tools.jsonl.zip -d moss; or: hf download fnlp/moss-002-sft-data --repo-type dataset "
    "--local-dir moss"
)
_OTHER: dict[Code, Code] = {"en": "zh", "zh": "en"}

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN_WORD = re.compile(r"[A-Za-z]+")
_FIRST_TURN = re.compile(rb"(?:<\|Human\|>|\[Human\]):((?:[^\\\"<]++|\\.|<(?!eoh>))*+)")
_HUMAN = re.compile(r"\s*<\|Human\|>:(.*?)(?:<eoh>)?\s*", re.S)
_MOSS = re.compile(r"\s*<\|MOSS\|>:(.*?)(?:<eom>)?\s*", re.S)
_SAID = re.compile(r"\s*\[(Human|MOSS)\]:(.*?)(?:<eo[ha]>|\Z)\s*", re.S)
_SPEAKERS: dict[str, Speaker] = {"Human": "user", "MOSS": "assistant"}
_SOURCES = re.compile(r"<sup>(?:\s*<\|\d+\|>)+\s*</sup>|<\|\d+\|>")
"""References to the results of a search."""


class Config(AssistantConfig):
    """See AssistantConfig."""

    kind: Literal["moss"]
    language: Code = "en"
    """Which conversations: those of the user's language."""
    licence: Literal["CC BY-NC 4.0", "CC BY 4.0"] = "CC BY-NC 4.0"
    """The project's README states CC BY-NC 4.0 for its data, the cards of both sets on the Hub CC BY 4.0."""


class _Turn(BaseModel):
    human: str = Field(alias="Human")
    commands: str = Field(default="", alias="Commands")
    moss: str = Field(alias="MOSS")


class _Conversation(BaseModel):
    """Either form; the rest of a record is not read."""

    plain_text: str | None = None
    chat: dict[str, _Turn] | None = None
    category: str = ""


def make(config: Config) -> Source:
    """The conversations of the files; ValueError when there are no files, or packed ones."""
    home = _home(config.language)
    files = find_files(config.path, home.wanted, home.what)
    if packed := [file.name for file in files if file.name.endswith(".zip")]:
        raise ValueError(f"path: {packed[0]} is packed; run: unzip {packed[0]}")
    return record_source(files, partial(_wanted, config.language), partial(_read, config))


def needs(config: Config) -> Iterator[Need]:
    """The corpus's files."""
    return needs_files(config, _home(config.language))


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (config.licence,)


def _home(language: Code) -> Home:
    """All files but those whose names say that they are in the other language."""
    wanted = re.compile(rf"^(?!(?:.*/)?{_OTHER[language]}_)(?:.*\.jsonl?)$")
    return Home(wanted, "MOSS files (.json, .jsonl)", _REMEDY)


def _wanted(language: Code, record: bytes) -> bool:
    """Whether the user opens in the language, from the bytes; also True where that cannot be seen."""
    first = _FIRST_TURN.search(record)
    if first is None:
        return True
    try:
        text = json.loads(b'"%b"' % first[1])
    except ValueError:
        return True
    return bool(_HAN.search(text)) == (language == "zh")


def _read(config: Config, data: bytes, name: str, file: File) -> Dialogue:
    conversation = _Conversation.model_validate_json(data)
    if conversation.chat is not None:
        turns = list(_of_chat(conversation.chat))
    elif conversation.plain_text is not None:
        turns = list(_of_text(conversation.plain_text))
    else:
        raise ValueError("it has neither chat nor plain_text")
    domain = conversation.category or file.name.rpartition("/")[2].partition(".")[0]
    domain = slug(re.sub(r"^(?:en|zh)[_-]|[_-](?:en|zh)$", "", domain))
    origin = Origin("moss", config.licence)
    return beginning(Written(name, domain, turns), config, origin, partial(_in_language, config.language))


def _of_chat(chat: dict[str, _Turn]) -> Iterator[Said]:
    """The turns of moss-003, in order of their numbers."""
    numbers = {key: int(key.removeprefix("turn_")) for key in chat}
    for key in sorted(chat, key=lambda key: numbers[key]):
        turn = chat[key]
        human, moss = _HUMAN.fullmatch(turn.human), _MOSS.fullmatch(turn.moss)
        if human is None or moss is None:
            raise ValueError(f"{key}: the marker <|{'MOSS' if human else 'Human'}|> is missing")
        yield "user", human[1]
        yield "assistant", _PICTURE if "Text2Image(" in turn.commands else _SOURCES.sub("", moss[1])


_PICTURE = "<|picture|>"
"""Stands for the answer of an exchange that draws one."""


def _of_text(text: str) -> Iterator[Said]:
    """The turns of moss-002."""
    at = 0
    while at < len(text):
        said = _SAID.match(text, at)
        if said is None:
            raise ValueError(f"plain_text: neither [Human]: nor [MOSS]: at {text[at : at + 30]!r}")
        yield _SPEAKERS[said[1]], _SOURCES.sub("", said[2])
        at = said.end()


def _in_language(language: Code, exchange: str) -> None:
    """Raise ValueError for an exchange in the other language, or one that draws a picture.

    English has no Chinese character in it; Chinese may have English words, but more characters than those.
    """
    if _PICTURE in exchange:
        raise ValueError("it draws a picture")
    han = len(_HAN.findall(exchange))
    if language == "en" and han:
        raise ValueError("it is partly in Chinese")
    if language == "zh" and han < len(_LATIN_WORD.findall(exchange)):
        raise ValueError("it is in English")
