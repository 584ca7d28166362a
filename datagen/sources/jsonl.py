"""Your own dialogues, one JSON object per line.

    {"id": "call-17", "domain": "billing", "turns": [{"speaker": "user", "text": "Hi."}, ...]}
    {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}

``id`` and ``domain`` may be left out. A message of the role ``system`` is never spoken and therefore skipped. Blank
lines do not count; any other line that cannot be used, unknown keys included, is Unreadable with file:line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, Self

from pydantic import Field, StrictInt, model_validator

from datagen.core.types import Dialogue, Speaker, Strict
from datagen.kinds import Need, Source
from datagen.sources._files import File, FileSource, Home, Placed, find_files, needs_files, read_record
from datagen.sources._turns import FileConfig, Origin, Said, Written, clean_id, dialogues

HOME = Home(
    wanted=re.compile(r"\.jsonl(\.\w+)?$"),
    what="JSON lines (.jsonl)",
    remedy="write your dialogues as JSON lines, see datagen/sources/jsonl.py",
)
_BOM = b"\xef\xbb\xbf"

LINES_PER_BLOCK = 100
"""Lines parsed and kept together: a few hundred dialogues in memory, whatever the size of the file."""


class Config(FileConfig):
    """See FileConfig; what the lines do not say themselves."""

    kind: Literal["jsonl"]
    licence: str = Field(min_length=1)
    """Under which the texts may be used; rolled up into the published dataset."""
    domain: str = Field(default="general", min_length=1)
    """Of lines without one of their own."""


class _Turn(Strict):
    speaker: Speaker
    text: str


class _Message(Strict):
    role: Literal["user", "assistant", "system"]
    content: str


class _Line(Strict):
    id: str | StrictInt | None = None
    domain: str | None = Field(default=None, min_length=1)
    turns: tuple[_Turn, ...] | None = None
    messages: tuple[_Message, ...] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.turns is None) == (self.messages is None):
            raise ValueError("give either turns or messages")
        return self

    def said(self) -> list[Said]:
        """Who says what, from either form."""
        if self.turns is not None:
            return [(turn.speaker, turn.text) for turn in self.turns]
        return [(m.role, m.content) for m in self.messages or () if m.role != "system"]


class _Block(NamedTuple):
    file: File
    offset: int
    first_line: int


def make(config: Config) -> Source:
    """The lines of the files; ValueError when there are none."""
    files = find_files(config.path, HOME.wanted, HOME.what)
    # Without cutting, a line is one position, and counting needs no more of it than its id.
    return FileSource(
        lambda: [block for file in files for block in _blocks(file)],
        partial(_load, config),
        _scan if config.max_words is None and config.max_turns is None else None,
    )


def needs(config: Config) -> Iterator[Need]:
    """The files."""
    return needs_files(config, HOME)


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (config.licence,)


def _blocks(file: File) -> Iterator[_Block]:
    offset = 0
    with file.open() as stream:
        for index, line in enumerate(stream):
            if index % LINES_PER_BLOCK == 0:
                yield _Block(file, offset, index + 1)
            offset += len(line)


def _lines(block: _Block) -> Iterator[tuple[bytes, str, str]]:
    """Lines with something on them, each with file:line and the id it has if it gives none."""
    with block.file.open() as stream:
        stream.seek(block.offset)
        for number in range(block.first_line, block.first_line + LINES_PER_BLOCK):
            line = stream.readline().removeprefix(_BOM).strip()
            if line:
                yield line, f"{block.file.name}:{number}", f"{block.file.stem}-{number:07d}"


def _load(config: Config, block: _Block) -> list[Placed]:
    origin = Origin("jsonl", config.licence)

    def read(line: bytes, ref: str) -> list[Dialogue]:
        parsed = _Line.model_validate_json(line)
        name = ref if parsed.id is None else str(parsed.id)
        return dialogues(Written(name, parsed.domain or config.domain, parsed.said()), config, origin)

    return [
        placed for line, where, ref in _lines(block) for placed in read_record(partial(read, line, ref), where, ref)
    ]


def _scan(block: _Block) -> Sequence[tuple[str | None, str]]:
    """The id of each line and where it stands; an id counts as used even where the rest of its line is unusable."""
    return [(_id(line, ref), where) for line, where, ref in _lines(block)]


def _id(line: bytes, ref: str) -> str | None:
    try:
        parsed = json.loads(line)
        name = parsed.get("id") if isinstance(parsed, dict) else None
        return ref if name is None else clean_id(str(name))
    except ValueError:
        return None
