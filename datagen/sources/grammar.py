"""Dialogues from a seeded grammar in YAML: endless, offline, and able to judge what may be said next.

A grammar is a folder of YAML (``grammars/en`` explains the language in its ``shared.yaml``); another language or
domain is another folder or file, no Python. Besides dialogues the source answers questions about them: which openings
the assistant may use at a turn (``judge``, ``openings``), the same for a conversation of which only the texts are known
(``judge_context``), and a whole answer (``continuations``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from datagen.core.rng import stream
from datagen.core.types import Dialogue, Turn, Unreadable
from datagen.files import fingerprint as contents_of
from datagen.kinds import KindConfig, Need
from datagen.sources import _grammar_judge as judging
from datagen.sources._grammar_files import SHARED
from datagen.sources._grammar_graph import Grammar, State
from datagen.sources._grammar_judge import Context, Verdict
from datagen.sources._grammar_link import load
from datagen.sources._grammar_walk import Trace, uniforms, walk

GRAMMARS = Path(__file__).with_name("grammars")
_ATTEMPTS = 500
"""Walks tried for one dialogue when the number of turns is restricted."""


class Config(KindConfig):
    """Which grammar, and what of it."""

    kind: Literal["grammar"] = "grammar"
    grammar: str = "en"
    """A folder under ``sources/grammars``, or the path of a folder of your own, with a slash in it."""
    domains: tuple[str, ...] = ()
    """Only these domains; empty = all."""
    turns: tuple[int, int] | None = None
    """Only dialogues of so many turns, both ends included."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.turns is not None and not 1 <= self.turns[0] <= self.turns[1]:
            raise ValueError(f"turns {self.turns} must be two rising numbers from 1 on")
        return self


def _folder(name: str) -> Path:
    own = Path(name)
    if "/" in name or own.is_absolute():
        if own.is_dir():
            return own.resolve()
    elif (GRAMMARS / name / SHARED).is_file():
        return GRAMMARS / name
    known = ", ".join(sorted(path.parent.name for path in GRAMMARS.glob(f"*/{SHARED}")))
    raise ValueError(
        f"grammar: there is no grammar {name!r}; there are: {known}, or the path of a folder with {SHARED}"
    )


class GrammarSource:
    """A grammar as a source of dialogues and a judge of openings."""

    def __init__(self, config: Config, grammar: Grammar) -> None:
        self._turns = config.turns
        self._grammar = grammar.restricted(config.domains) if config.domains else grammar

    # -- the source ------------------------------------------------------------------------------------------

    def size(self) -> int | None:
        """Endless."""
        return None

    def read(self, start: int, stop: int, seed: int) -> Iterator[Dialogue | Unreadable]:
        """Dialogues ``start`` to ``stop``; each depends only on the grammar, the seed and its index."""
        for index in range(start, stop):
            yield self._dialogue(index, seed)

    def dialogue_id(self, index: int) -> str:
        """The id of a dialogue."""
        return f"grammar-{self._grammar.name}-{index:07d}"

    def _dialogue(self, index: int, seed: int) -> Dialogue | Unreadable:
        trace = self._trace(index, seed)
        if trace is None:
            reason = f"turns: none of {_ATTEMPTS} walks had {self._turns} turns; widen the range"
            return Unreadable(id=self.dialogue_id(index), where=f"index {index}", reason=reason)
        return Dialogue(
            id=self.dialogue_id(index),
            language=self._grammar.language,
            domain=trace.domain,
            source="grammar",
            licence=self._grammar.licence,
            turns=tuple(Turn(speaker=line.speaker, text=line.text) for line in trace.lines),
        )

    def _trace(self, index: int, seed: int) -> Trace | None:
        """The first walk on the dialogue's stream that has the right number of turns."""
        draws = uniforms(stream(seed, self.dialogue_id(index), "grammar"))
        low, high = self._turns or (1, 10_000)
        walks = (walk(self._grammar, draws) for _ in range(_ATTEMPTS))
        return next((trace for trace in walks if low <= len(trace.lines) <= high), None)

    # -- the judge -------------------------------------------------------------------------------------------

    def judge(self, index: int, turn: int, prefix: str, seed: int) -> Verdict:
        """Whether the assistant may begin turn ``turn`` of a dialogue with the words of ``prefix``.

        Case and punctuation do not count. Valid = the beginning of some text the grammar allows in a state that the
        turns before leave possible. Raises ValueError where the turn does not exist or is the user's.
        """
        trace = self._assistant_turn(index, turn, seed)
        verdict = judging.decide(self._grammar, [trace.states[turn]], prefix)
        return verdict if verdict.valid else judging.decide(self._grammar, self._possible(trace, turn), prefix)

    def openings(self, index: int, turn: int, num_words: int, seed: int, limit: int = 1_000) -> tuple[str, ...]:
        """Up to ``limit`` distinct openings of ``num_words`` whitespace words that :meth:`judge` accepts; a turn
        shorter than that is listed whole. Which ones, where there are more, depends on the seed alone."""
        trace = self._assistant_turn(index, turn, seed)
        draws = uniforms(stream(seed, self.dialogue_id(index), f"openings {turn}"))
        return tuple(islice(judging.listed(self._grammar, self._possible(trace, turn), num_words, draws), limit))

    def _assistant_turn(self, index: int, turn: int, seed: int) -> Trace:
        trace = self._trace(index, seed)
        if trace is None or not 0 <= turn < len(trace.lines):
            raise ValueError(f"turn {turn} does not exist in {self.dialogue_id(index)}")
        if trace.lines[turn].speaker != "assistant":
            raise ValueError(f"turn {turn} of {self.dialogue_id(index)} is the user's; only the assistant is judged")
        return trace

    def _possible(self, trace: Trace, turn: int) -> tuple[State, ...]:
        """Every state the texts before a turn leave possible, the true one among them."""
        turns = [Turn(speaker=line.speaker, text=line.text) for line in trace.lines[:turn]]
        return self.context(turns).states

    # -- live use: only the texts are known --------------------------------------------------------------------

    def context(self, turns: Sequence[Turn]) -> Context:
        """What the turns so far leave possible. ``follow`` goes on from it turn by turn."""
        return reduce(self.follow, turns, judging.begin(self._grammar))

    def follow(self, context: Context, turn: Turn) -> Context:
        """The context after one more turn; the one given stays as it was."""
        return judging.follow(self._grammar, context, turn)

    def judge_context(self, turns: Sequence[Turn], prefix: str) -> Verdict:
        """Whether the assistant may go on with the words of ``prefix`` after these turns."""
        context = self.context(turns)
        if context.last == "assistant":
            return Verdict(valid=False, reason="the assistant spoke last")
        if not context.states:
            return Verdict(valid=False, reason=f"context not recognised: {turns[-1].text[:60]!r} is not in the grammar")
        return judging.decide(self._grammar, context.states, prefix)

    def continuations(self, turns: Sequence[Turn], prefix: str, seed: int) -> str | None:
        """A whole assistant turn after these turns that begins with the words of ``prefix`` (empty: any answer).

        Its words equal the prefix's up to case, punctuation and hesitations. None where the context or the prefix is
        not allowed. The same arguments give the same text.
        """
        context = self.context(turns)
        if context.last == "assistant":
            return None
        heard = "\x1f".join(turn.text for turn in turns)
        draws = uniforms(stream(seed, f"{heard}\x1e{prefix}", "continuation"))
        return judging.complete(self._grammar, context.states, prefix, draws)


def make(config: Config) -> GrammarSource:
    """The source of a config.

    Raises ValueError for an unknown grammar or domain, for mistakes in the grammar's files, and for a range of turns
    the grammar cannot fill.
    """
    source = GrammarSource(config, load(_folder(config.grammar)))
    first = next(source.read(0, 1, 0))
    if isinstance(first, Unreadable):
        raise ValueError(first.reason)
    return source


def fingerprint(config: Config) -> str:
    """A hash of the grammar's files: an edited grammar is another source."""
    return contents_of(str(_folder(config.grammar)))


def needs(config: Config) -> Iterator[Need]:
    """The grammar's folder, which is part of this package unless it is your own."""
    try:
        yield Need("grammar", str(_folder(config.grammar)))
    except ValueError as error:
        yield Need("grammar", "", str(error))


def licences(config: Config) -> tuple[str, ...]:
    """Of the generated text, as the grammar states it; ValueError for an unknown or faulty grammar."""
    return (load(_folder(config.grammar)).licence,)
