"""The graph a grammar folder becomes: steps of flows, topics, and how a walker may go on from a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from datagen.core.types import Speaker
from datagen.sources import _grammar_text as text


@dataclass(frozen=True, slots=True, eq=False)
class Say:
    """Words of one speaker; neighbouring steps of one speaker make one turn."""

    speaker: Speaker
    nodes: text.Nodes
    where: str
    """File and key, for messages."""


@dataclass(frozen=True, slots=True, eq=False)
class Choose:
    """One of several lists of steps; ``bounds`` are the cumulated weights."""

    branches: tuple[Steps, ...]
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class If:
    """``bound`` where the slot has a value, ``free`` where it has none."""

    slot: str
    bound: Steps
    free: Steps


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Gives slot ``target`` the value of ``source`` and leaves ``source`` without one. A source that has none yet is
    drawn first: one of ``rows`` rows that no slot of ``family`` (the target among them) has."""

    target: str
    source: str
    rows: int
    family: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """Begins a topic: of any domain, or another one of the same domain. All slots are forgotten."""

    same: bool


@dataclass(frozen=True, slots=True, eq=False)
class Halt:
    """The dialogue is over."""


Step = Say | Choose | If | Move | Switch | Halt
Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """What a dialogue can be about. ``weight``: the topic's share of its domain times the domain's weight."""

    domain: str
    name: str
    weight: float
    steps: Steps


@dataclass(frozen=True, eq=False)
class Grammar:
    """A linked grammar. ``unused`` lists what no dialogue can reach, ``alternatives`` counts the templates."""

    name: str
    language: str
    licence: str
    silent: frozenset[str]
    start: Steps
    topics: tuple[Topic, ...]
    unused: tuple[str, ...]
    alternatives: int

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(sorted({topic.domain for topic in self.topics}))

    def restricted(self, domains: tuple[str, ...]) -> Grammar:
        """The same grammar with topics of some domains only; ValueError lists the domains there are."""
        if unknown := sorted(set(domains) - set(self.domains)):
            raise ValueError(
                f"domains: there is no {unknown[0]!r} in {self.name}; there are: {', '.join(self.domains)}"
            )
        return replace(self, topics=tuple(topic for topic in self.topics if topic.domain in domains))


Env = dict[str, int]
"""Slot name -> row of its table, plus the keys below. Never changed in place once shared."""
Cell = tuple[Any, "Cell"] | None
"""A list that shares its tail: what is still to be said or done, first thing first."""


class State(NamedTuple):
    """Where a dialogue stands between two turns: the steps to come and the slots so far."""

    flow: Cell
    env: Env


def push(items: Sequence[Any], rest: Cell) -> Cell:
    """``items`` in front of ``rest``."""
    for item in reversed(items):
        rest = (item, rest)
    return rest


TOPIC = "@topic"
"""Key: index of the current topic in ``Grammar.topics``."""
VISITED = "@visited "
"""Prefix of keys: the topics the dialogue has had, the current one among them."""
PARTIAL = "@partial"
"""Key, present where slots may have been filled that we know nothing of: an unbound slot may then be either."""


def ways(grammar: Grammar, step: Choose | If | Move | Switch, env: Env) -> Sequence[tuple[float, Steps, Env]]:
    """How a dialogue may go on from a step without words: weight, the steps that come first, and the slots after."""
    if isinstance(step, Choose):
        lows = (0.0, *step.bounds)
        return [(high - low, steps, env) for low, high, steps in zip(lows, step.bounds, step.branches, strict=False)]
    if isinstance(step, If):
        if step.slot in env:
            return [(1.0, step.bound, env)]
        free = (1.0, step.free, env)
        return [free, (1.0, step.bound, env)] if PARTIAL in env else [free]
    if isinstance(step, Move):
        kept = {name: row for name, row in env.items() if name not in (step.target, step.source)}
        if step.source not in env and PARTIAL in env:
            return [(1.0, (), kept)]
        taken = {env[name] for name in step.family if name in env}
        rows = [env[step.source]] if step.source in env else [row for row in range(step.rows) if row not in taken]
        return [(1.0, (), {**kept, step.target: row}) for row in rows]
    before = {key: 1 for key in env if key.startswith(VISITED)}
    return [
        (grammar.topics[i].weight, grammar.topics[i].steps, {**before, TOPIC: i, f"{VISITED}{i}": 1})
        for i in _next_topics(grammar, step, env)
    ]


def _next_topics(grammar: Grammar, step: Switch, env: Env) -> list[int]:
    """Indices of the topics that may begin: none twice while the domain has another."""
    everything = list(range(len(grammar.topics)))
    here = env.get(TOPIC)
    if not step.same or here is None:
        return everything
    domain = [i for i in everything if grammar.topics[i].domain == grammar.topics[here].domain]
    return [i for i in domain if f"{VISITED}{i}" not in env] or domain
