"""Dialogues that are not spoken: a writer starts from them.

    kind: outlines
    source: {kind: topical_chat, path: $TOPICAL_CHAT_HOME}
    max_turns: 10

RelayS2S (section 3.1) lets a language model write conversations with an assistant from topics and plots of human chats
(Topical-Chat, ConvAI2, BlendedSkillTalk). This kind hands on any source's dialogues, one for one, as such outlines
(``use="outline"``), with ``outline-`` before their ids: the same dialogue may be a script in another part of a mixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from datagen import kinds
from datagen.core.types import Dialogue, Turn, Unreadable
from datagen.kinds import KindConfig, Need, Source
from datagen.sources._nested import Nested, licences_of, needs_of
from datagen.sources._turns import count_words, one_line

PREFIX = "outline-"


class Config(KindConfig):
    """See the head of this file."""

    kind: Literal["outlines"]
    source: Nested
    max_turns: int | None = Field(default=None, ge=1)
    """Only so many turns from the beginning: a shorter outline costs less and leaves the writer more freedom."""
    max_words: int | None = Field(default=None, ge=1)
    """Whole turns of so many words together, but at least the first turn."""


class Outlines:
    """A source over another one."""

    def __init__(self, config: Config, source: Source) -> None:
        self._config = config
        self._source = source

    def size(self) -> int | None:
        """That of the source."""
        return self._source.size()

    def read(self, start: int, stop: int, seed: int) -> Iterator[Dialogue | Unreadable]:
        """The source's items of these positions; what it could not read stays unreadable."""
        for item in self._source.read(start, stop, seed):
            yield self._outline(item) if isinstance(item, Dialogue) else item

    def _outline(self, dialogue: Dialogue) -> Dialogue | Unreadable:
        turns = dialogue.turns[: _whole_turns(dialogue.turns, self._config)]
        changes = {"id": PREFIX + dialogue.id, "use": "outline", "turns": turns}
        try:
            return Dialogue(**{**dict(dialogue), **changes})
        except ValueError as error:  # the id has grown too long
            return Unreadable(id=dialogue.id, where=f"outline of {dialogue.id}", reason=one_line(error))


def make(config: Config) -> Outlines:
    """The outlines; ValueError when their source cannot be made."""
    return Outlines(config, kinds.make("sources", config.source))


def needs(config: Config) -> Iterator[Need]:
    """What the source needs."""
    yield from needs_of(config.source)


def licences(config: Config) -> tuple[str, ...]:
    """Those of the source: what is written from an outline may carry them on."""
    return tuple(licences_of(config.source))


def _whole_turns(turns: Sequence[Turn], config: Config) -> int:
    """How many turns from the beginning fit both limits; at least one."""
    words = 0
    for number, turn in enumerate(turns):
        words += count_words(turn.text)
        over = config.max_words is not None and words > config.max_words
        if number and (over or number == config.max_turns):
            return number
    return len(turns)
