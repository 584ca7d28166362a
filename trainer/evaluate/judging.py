"""Whether an assistant may begin its turn with some words: a grammar as the judge of prefixes, offline and exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from datagen import kinds
from datagen.core.types import Turn
from trainer.data.rows import Row

Judge = Callable[[Row, Sequence[Turn], str], bool | None]
"""A row, what was said before and a prefix -> whether it makes sense as the beginning of the assistant's turn.

None where the judge cannot tell: such prefixes are left out of every share.
"""

_CONTEXTS = 4_096
"""Contexts kept: the turns of a dialogue are judged one after the other, and each goes on from the one before."""


class GrammarJudge:
    """The grammar that wrote the dialogues, see ``datagen.sources.grammar``.

    Good = the beginning of some text that the grammar allows after these turns, whatever the recording says.
    """

    def __init__(self, grammar: str = "en") -> None:
        """ValueError for an unknown grammar."""
        self.name = f"grammar {grammar}"
        self._grammar = grammar
        self._source = self._made()
        self._language = next(iter(self._source.read(0, 1, 0))).language
        self._known: dict[str, bool] = {}
        self._context: Callable[[tuple[Turn, ...]], Any] = lru_cache(maxsize=_CONTEXTS)(self._after)

    def __call__(self, row: Row, context: Sequence[Turn], prefix: str) -> bool | None:
        """None where the row is of another language or domain, or its context is none of the grammar's."""
        if row.language != self._language or not self._knows(row.domain):
            return None
        turns = tuple(context)
        before = self._context(turns)
        if before.last == "assistant" or not before.states:
            return None
        return bool(prefix.strip()) and self._source.judge_context(turns, prefix).valid

    def _knows(self, domain: str) -> bool:
        if domain not in self._known:
            try:
                self._made(domain)
                self._known[domain] = True
            except ValueError:
                self._known[domain] = False
        return self._known[domain]

    def _made(self, *domains: str) -> Any:
        raw = {"kind": "grammar", "grammar": self._grammar, "domains": domains}
        return kinds.make("sources", kinds.parse("sources", raw))

    def _after(self, turns: tuple[Turn, ...]) -> Any:
        return self._source.follow(self._context(turns[:-1]), turns[-1]) if turns else self._source.context(())
