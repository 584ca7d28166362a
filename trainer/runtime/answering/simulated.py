"""A slow path as late as a given one would be: another kind's answers, or recorded ones, delayed.

RelayS2S measures 0.42, 0.51 and 1.09 s to the first words of its three back-ends (recogniser included); with those in
``first_ms`` the latencies of its Table 2 can be looked at on any machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

from pydantic import Field, JsonValue, model_validator

from datagen.core.types import Turn
from datagen.kinds import KindConfig, Need
from trainer.runtime import backends
from trainer.runtime.answering._base import Answerer, Pieces, SlowPathError
from trainer.runtime.answering._nearest import rest_after, spelled

Replies = Mapping[str, str] | Callable[[Sequence[Turn], str, str], str | None]
"""What is answered: by the user's words, or by history, user and prefix. None or no entry: nothing was recorded."""


class Config(KindConfig):
    """Which answers, and how late they are."""

    kind: Literal["simulated"] = "simulated"
    first_ms: float = Field(default=510, ge=0, le=60_000)
    """From the request to the first word, at the least."""
    per_word_ms: float = Field(default=20, ge=0, le=10_000)
    """Between two words, at the least; 20 = 50 words per second."""
    answering: dict[str, JsonValue] | None = None
    """Another kind, which answers where nothing was recorded; its own time-outs apply."""

    @model_validator(mode="after")
    def _wraps_a_kind(self) -> Config:
        if self.answering is not None:
            backends.parse("answering", self.answering)
        return self


class Simulated:
    """The slow path (see ``_base.Answerer``)."""

    def __init__(self, config: Config, replies: Replies | None, inner: Answerer | None) -> None:
        self._config, self._replies, self._inner = config, replies, inner

    async def answer(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> Pieces:
        """See ``_base.Answerer``. Word n comes at ``first_ms`` + n * ``per_word_ms``, or when there is one."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._config.first_ms / 1000
        async with aclosing(self._undelayed(history, user, prefix, instructions)) as pieces:
            async for piece in pieces:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due = max(due, loop.time()) + self._config.per_word_ms / 1000 * max(1, len(piece.split()))
                yield piece

    async def warm(self) -> None:
        """Warms what is wrapped."""
        if self._inner is not None:
            await self._inner.warm()

    async def aclose(self) -> None:
        """Closes what is wrapped."""
        if self._inner is not None:
            await self._inner.aclose()

    async def _undelayed(self, history: Sequence[Turn], user: str, prefix: str, instructions: str) -> Pieces:
        reply = self._recorded(history, user, prefix)
        if reply is not None:
            for word in _after(prefix, reply):
                yield f"{word} "
        elif self._inner is None:
            raise SlowPathError("no answer was recorded for this turn")
        else:
            async with aclosing(self._inner.answer(history, user, prefix, instructions)) as pieces:
                async for piece in pieces:
                    yield piece

    def _recorded(self, history: Sequence[Turn], user: str, prefix: str) -> str | None:
        if self._replies is None:
            return None
        if isinstance(self._replies, Mapping):
            return self._replies.get(user)
        return self._replies(history, user, prefix)


def _after(prefix: str, reply: str) -> list[str]:
    """The recorded words without those of the prefix where they begin with it; else all of them."""
    head = [spelled(word) for word in prefix.split()]
    begins = [spelled(word) for word in reply.split()[: len(head)]] == head
    return rest_after(prefix, reply) if begins else reply.split()


def make(config: Config, replies: Replies | None = None) -> Simulated:
    """ValueError when there is nothing to answer with."""
    if replies is None and config.answering is None:
        raise ValueError("answering: say which kind answers, or hand over recorded replies")
    inner: Any = None
    if config.answering is not None:
        inner = backends.make("answering", backends.parse("answering", config.answering))
    return Simulated(config, replies, inner)


def needs(config: Config) -> tuple[Need, ...]:
    """Whatever the wrapped kind needs."""
    if config.answering is None:
        return ()
    return backends.needs("answering", backends.parse("answering", config.answering))
