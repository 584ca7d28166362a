"""Judging openings: what a dialogue's turns tell about the state, and whether a prefix may be said in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from datagen.core.types import Speaker, Strict, Turn
from datagen.sources._grammar_graph import TOPIC, Grammar, Say, State, push
from datagen.sources._grammar_match import Path, Search, anchors, distinct, target_of
from datagen.sources._grammar_text import spoken
from datagen.sources._grammar_walk import Walker

_MAX_OPENER_WORDS = 3
"""A barge-in may begin with words of its own ("wait, sorry"): so many are dropped to recognise the rest."""


class Verdict(Strict):
    """Whether a prefix may be said, and where it comes from or departs from all that may be said."""

    valid: bool
    reason: str


class Context(NamedTuple):
    """What the turns so far leave possible. A value: following a turn makes a new one."""

    states: tuple[State, ...]
    last: Speaker | None
    known: bool
    """False where the last turn is none the grammar knows."""


def begin(grammar: Grammar) -> Context:
    """Before the first turn."""
    return Context((State(push(grammar.start, None), {}),), None, True)


def follow(grammar: Grammar, context: Context, turn: Turn) -> Context:
    """The context after one more turn.

    A user's turn that does not continue the dialogue is looked up in the whole grammar, its slots captured, the rest
    left open. An assistant's turn may be cut off anywhere, or be unknown: then any allowed answer is assumed.
    """
    if turn.speaker == "user":
        states = _after_user(grammar, context, turn.text)
        return Context(states, "user", bool(states))
    states = _after_assistant(grammar, context, turn.text)
    if states:
        return Context(states, "assistant", True)
    return Context(distinct(Search(grammar, "assistant").cut(context.states)), "assistant", False)


def _after_user(grammar: Grammar, context: Context, text: str) -> tuple[State, ...]:
    targets = _without_openers(grammar, text)
    for target in targets:
        if states := distinct(Search(grammar, "user", target).turns(context.states)):
            return states
    for target in targets:
        if states := distinct(Search(grammar, "user", target).turns(_places(grammar, "user", target))):
            return states
    return ()


def _after_assistant(grammar: Grammar, context: Context, text: str) -> tuple[State, ...]:
    target = target_of(grammar, text)
    if not target:
        return ()
    here = _after_assistant_from(grammar, context.states, target)
    return here or _after_assistant_from(grammar, _places(grammar, "assistant", target), target)


def _after_assistant_from(grammar: Grammar, states: Sequence[State], target: str) -> tuple[State, ...]:
    search = Search(grammar, "assistant", target)
    return distinct(search.turns(states)) or distinct(search.cut(states))


def _without_openers(grammar: Grammar, text: str) -> list[str]:
    """The text to look for, whole first, then with up to three words fewer at the start (never all of them)."""
    words = target_of(grammar, text).split()
    return [" ".join([*words[skip:], ""]) for skip in range(min(_MAX_OPENER_WORDS + 1, len(words)))]


@lru_cache(maxsize=8)
def _anchors(grammar: Grammar, speaker: Speaker) -> dict[Say, list[State]]:
    return anchors(grammar, speaker)


def _places(grammar: Grammar, speaker: Speaker, target: str) -> list[State]:
    """The places of the grammar whose first step can begin the target."""
    return [
        state
        for say, states in _anchors(grammar, speaker).items()
        if Search(grammar, speaker, target).may_begin_with(say)
        for state in states
    ]


def decide(grammar: Grammar, states: Sequence[State], prefix: str) -> Verdict:
    """Whether the assistant may begin its turn with the words of ``prefix`` in one of the states."""
    target = target_of(grammar, prefix)
    search = Search(grammar, "assistant", target)
    path = next(search.prefixes(states), None)
    if path is not None:
        return Verdict(valid=True, reason=f"allowed in {_topic(grammar, path)}")
    if next(Search(grammar, "assistant").prefixes(states), None) is None:
        return Verdict(valid=False, reason="it is not the assistant's turn in any state the context allows")
    said = target[: search.furthest]
    whole = said[: said.rfind(" ") + 1].strip()
    after = target[len(whole) :].split()
    return Verdict(
        valid=False, reason=f"nothing allowed goes on with {after[0]!r} after {whole!r}" if after else "too long"
    )


def _topic(grammar: Grammar, path: Path) -> str:
    here = path.env.get(TOPIC)
    return "the start" if here is None else f"{grammar.topics[here].domain}/{grammar.topics[here].name}"


def complete(grammar: Grammar, states: Sequence[State], prefix: str, draws: Iterator[float]) -> str | None:
    """A whole assistant turn that begins with the words of ``prefix``, or None where no state allows one."""
    search = Search(grammar, "assistant", target_of(grammar, prefix), draws)
    shuffled = sorted(states, key=lambda _: next(draws))
    path = next(search.prefixes(shuffled), None)
    if path is None:
        return None
    return Walker(grammar, draws).turn(path.state, "assistant", path.said, path.text)[0].text


def listed(grammar: Grammar, states: Iterable[State], num_words: int, draws: Iterator[float]) -> Iterator[str]:
    """Distinct openings of ``num_words`` whitespace words (whole turns where shorter), in random order."""
    seen: set[str] = set()
    search = Search(grammar, "assistant", draws=draws)
    for raw in search.openings(states, lambda raw: len(spoken(raw).split()) > num_words):
        opening = " ".join(spoken(raw).split()[:num_words])
        sounding = target_of(grammar, opening)
        if sounding not in seen:
            seen.add(sounding)
            yield opening
