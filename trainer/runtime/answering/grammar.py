"""The offline slow path: a grammar of conversations (``datagen/sources/grammar``) goes on with them.

Where the words committed and the conversation are the grammar's, it continues from exactly those words. Where the
transcript leads nowhere in the grammar, it answers the turn of its own that shares most words with it, and where none
does, it asks the user to say it again. No model, no network; the same conversation gives the same answer.

It thinks in a process of its own: up to 0.7 s of Python would hold up the ticks of every session, because a thread that
computes passes the interpreter on every few milliseconds alone, and a tick asks for it a hundred times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from itertools import islice
from multiprocessing import get_context
from typing import Any, ClassVar, Literal

from pydantic import Field

from datagen import kinds
from datagen.core.rng import stream
from datagen.core.types import CONTROL, MAX_TURN_CHARACTERS, Dialogue, Turn
from datagen.kinds import KindConfig, Need
from trainer.runtime.answering._base import Pieces, SlowPathError, Waiting, patient, room_after
from trainer.runtime.answering._nearest import Nearest, rest_after

AGAIN = {
    "en": ("Sorry, could you say that again?", "Sorry, I didn't catch that. Could you repeat it?"),
    "es": ("Perdón, ¿me lo puedes repetir?", "Disculpa, no te he entendido. ¿Puedes decirlo otra vez?"),
}
"""How a language asks to repeat."""
CANDIDATES = 3
"""So many of the most like turns are tried for one whose answer can begin with the words committed."""


class Config(Waiting):
    """Which grammar, and how far it may guess."""

    aside: ClassVar[frozenset[str]] = frozenset({"first_ms", "between_ms"})

    kind: Literal["grammar"] = "grammar"
    grammar: str = "en"
    """A folder under ``datagen/sources/grammars``, or the path of a folder of your own, with a slash in it."""
    domains: tuple[str, ...] = ()
    """Only these domains; empty = all."""
    seed: int = 0
    likeness: float = Field(default=0.4, ge=0, le=1)
    """The least that a turn must have in common with what was heard to be answered in its stead: 1 = all words. At 0.4,
    87 % of the English grammar's own turns are answered with 15 % of their words lost and 15 % heard wrong, and 13 % of
    turns about anything (Topical-Chat)."""
    dialogues: int = Field(default=1_000, ge=1, le=100_000)
    """So many conversations are made to look for the turn in; 1,000 take about half a second once."""
    history_turns: int = Field(default=8, ge=0, le=1_000)
    """So many turns before the user's are looked at; the grammar finds its way from any turn it knows."""
    again: str | None = None
    """What is said where nothing was understood; None = a sentence of the language's, of English and Spanish alone."""


class GrammarAnswers:
    """The slow path (see ``_base.Answerer``)."""

    def __init__(self, config: Config, source: Any, nearest: Nearest, again: Sequence[str]) -> None:
        self._config, self._source, self._nearest, self._again = config, source, nearest, again
        self._process: ProcessPoolExecutor | None = None

    def answer(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> Pieces:
        """See ``_base.Answerer``. One word at a time."""
        return patient(partial(self._once, tuple(history), user, prefix), self._config, room_after(prefix))

    async def warm(self) -> None:
        """Starts the process, which takes two seconds, before anybody waits for it."""
        await self._apart((), "", "")

    async def aclose(self) -> None:
        """Ends the process; the next answer starts another."""
        if self._process is not None:
            self._process.shutdown(wait=False, cancel_futures=True)
            self._process = None

    def words(self, history: Sequence[Turn], user: str, prefix: str) -> list[str]:
        """All words of the answer that follow the prefix; none where the prefix is a whole answer."""
        heard = CONTROL.sub(" ", user).strip()[:MAX_TURN_CHARACTERS]
        if any(c.isalnum() for c in heard):
            recent = history[max(0, len(history) - self._config.history_turns) :]
            if (whole := self._whole(recent, heard, prefix)) is not None:
                return rest_after(prefix, whole)
            if (whole := self._anew(recent, heard)) is not None:
                return whole.split()
        told = "\x1f".join([*(turn.text for turn in history), user, prefix])
        draw = stream(self._config.seed, told, "say it again").integers(len(self._again))
        return self._again[int(draw)].split()

    async def _once(self, history: Sequence[Turn], user: str, prefix: str) -> Pieces:
        for word in await self._apart(history, user, prefix):
            yield f"{word} "
            await asyncio.sleep(0)

    async def _apart(self, history: Sequence[Turn], user: str, prefix: str) -> list[str]:
        if self._process is None:
            self._process = ProcessPoolExecutor(1, get_context("spawn"))
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._process, _words, self._config, history, user, prefix)
        except BrokenProcessPool:
            self._process = None
            raise SlowPathError("the grammar's process has died", again=True) from None

    def _whole(self, recent: Sequence[Turn], heard: str, prefix: str) -> str | None:
        """A whole answer that begins with the prefix: to what was heard, else to one of the turns most like it."""
        tried = self._tries(recent, heard)
        return next((text for turns in tried if (text := self._continued(turns, prefix)) is not None), None)

    def _anew(self, recent: Sequence[Turn], heard: str) -> str | None:
        """A whole answer, said after a prefix that the grammar cannot go on from."""
        tried = islice(self._tries(recent, heard), 1 + CANDIDATES)
        return next((text for turns in tried if (text := self._continued(turns, "")) is not None), None)

    def _tries(self, recent: Sequence[Turn], heard: str) -> Iterator[Sequence[Turn]]:
        """Conversations that may be the one going on, best guess first."""
        yield [*recent, Turn(speaker="user", text=heard)]
        for known in self._nearest.find(heard, CANDIDATES):
            if known.likeness >= self._config.likeness:
                if recent:
                    yield [*recent, known.turns[-1]]
                yield known.turns

    def _continued(self, turns: Sequence[Turn], prefix: str) -> str | None:
        return self._source.continuations(turns, prefix, self._config.seed)


def _source(config: Config) -> KindConfig:
    return kinds.parse("sources", {"kind": "grammar", "grammar": config.grammar, "domains": config.domains})


def make(config: Config) -> GrammarAnswers:
    """ValueError for an unknown grammar or domain, and for a language without words to ask again."""
    source = kinds.make("sources", _source(config))
    nearest, language = _index(config.grammar, config.domains, config.dialogues)
    again = (config.again,) if config.again else AGAIN.get(language.split("-")[0])
    if not again:
        raise ValueError(f"again: the grammar's language is {language!r}; give its words for 'say that again, please'")
    return GrammarAnswers(config, source, nearest, again)


def _words(config: Config, history: Sequence[Turn], user: str, prefix: str) -> list[str]:
    """In the process."""
    return _made(config.model_dump_json()).words(history, user, prefix)


@lru_cache(maxsize=4)
def _made(config: str) -> GrammarAnswers:
    return make(Config.model_validate_json(config))


@lru_cache(maxsize=4)
def _index(grammar: str, domains: tuple[str, ...], count: int) -> tuple[Nearest, str]:
    """The turns of a grammar's first conversations, once per process, and its language."""
    source = kinds.make("sources", _source(Config(grammar=grammar, domains=domains)))
    made = [dialogue for dialogue in source.read(0, count, 0) if isinstance(dialogue, Dialogue)]
    return Nearest(made), made[0].language


def needs(config: Config) -> tuple[Need, ...]:
    """The grammar's folder."""
    return kinds.needs("sources", _source(config))
