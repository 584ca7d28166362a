"""A random walk through a grammar: one dialogue, with the state before each of its turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from datagen.core.types import Speaker
from datagen.sources._grammar_graph import TOPIC, Cell, Env, Grammar, Halt, Say, State, Steps, push, ways
from datagen.sources._grammar_text import Alternatives, Literal, spoken

GENERAL = "general"
"""The domain of a dialogue that never reached a topic."""


class Line(NamedTuple):
    """One turn as it will be written."""

    speaker: Speaker
    text: str


class Trace(NamedTuple):
    """A walked dialogue. ``states[k]`` is what was settled when turn k began."""

    lines: tuple[Line, ...]
    states: tuple[State, ...]
    domain: str
    topic: str


def uniforms(rng: np.random.Generator) -> Iterator[float]:
    """The stream's uniform numbers one by one, drawn in blocks (single draws cost thirty times as much)."""
    while True:
        yield from rng.random(256).tolist()


class Walker:
    """Walks on draws of its own; every choice takes one number."""

    def __init__(self, grammar: Grammar, draws: Iterator[float]) -> None:
        self._grammar = grammar
        self._draws = draws

    def words(self, text: Cell, env: Env) -> str:
        """Text nodes as one raw piece of text; slots drawn on the way are bound in ``env``."""
        said: list[str] = []
        while text is not None:
            node, text = text
            if isinstance(node, Literal):
                said.append(node.text)
            elif isinstance(node, Alternatives):
                text = push(node.pick(next(self._draws)), text)
            else:
                rows = node.rows(env)
                row = env[node.name] = rows[0] if len(rows) == 1 else rows[int(next(self._draws) * len(rows))]
                said.append(node.texts[row])
        return "".join(said)

    def turn(
        self, state: State, speaker: Speaker | None = None, said: str = "", text: Cell = None
    ) -> tuple[Line, State, State]:
        """Everything up to the next change of speaker, after ``said`` and from inside ``text`` where given.

        Returns the line (empty text where the dialogue is over), the state when the last word was said, and the
        state after the choices that follow it.
        """
        flow, env = state.flow, dict(state.env)
        pieces = [said + self.words(text, env)]
        before = State(flow, env)
        while flow is not None:
            step, rest = flow
            if isinstance(step, Say):
                if speaker not in (None, step.speaker):
                    break
                speaker, flow = step.speaker, rest
                pieces.append(self.words(push(step.nodes, None), env))
                before = State(flow, dict(env))
            elif isinstance(step, Halt):
                flow = None
            else:
                steps, env = self._way(step, env)
                flow = push(steps, rest)
        return Line(speaker or "user", spoken(" ".join(pieces))), before, State(flow, env)

    def _way(self, step: object, env: Env) -> tuple[Steps, Env]:
        options: Sequence[tuple[float, Steps, Env]] = ways(self._grammar, step, env)  # type: ignore[arg-type]
        if len(options) == 1:
            return options[0][1:]
        left = next(self._draws) * sum(weight for weight, _, _ in options)
        for weight, steps, after in options:
            left -= weight
            if left < 0:
                return steps, after
        return options[-1][1:]


def walk(grammar: Grammar, draws: Iterator[float]) -> Trace:
    """One dialogue."""
    walker = Walker(grammar, draws)
    lines: list[Line] = []
    states: list[State] = []
    told = going = State(push(grammar.start, None), {})
    first: int | None = None
    while True:
        line, after, going = walker.turn(going)
        if not line.text:
            break
        lines.append(line)
        states.append(told)
        told = after
        first = after.env.get(TOPIC) if first is None else first
    topic = None if first is None else grammar.topics[first]
    return Trace(tuple(lines), tuple(states), topic.domain if topic else GENERAL, topic.name if topic else GENERAL)
