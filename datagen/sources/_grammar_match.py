"""Which texts a grammar allows: a search through its states that drops a path at the first word that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Any, NamedTuple

from datagen.core.types import Speaker
from datagen.sources._grammar_graph import PARTIAL, TOPIC, Cell, Env, Grammar, Halt, Say, State, push, ways
from datagen.sources._grammar_text import Alternatives, Literal, Node, sound


class Path(NamedTuple):
    """One way of saying the target so far."""

    text: Cell
    """Text nodes still to be said of the current step."""
    flow: Cell
    env: Env
    at: int
    """Characters of the target already said; beyond its end where a piece said more."""
    gap: bool
    """Whether a word border lies right here."""
    said: str
    begun: bool
    """Whether the speaker has said anything in this turn."""

    @property
    def state(self) -> State:
        return State(self.flow, self.env)


def target_of(grammar: Grammar, text: str) -> str:
    """A text as the search compares it: words with one space after each."""
    return "".join(f"{word} " for word in sound(text, grammar.silent).split())


class Search:
    """A search for the ways one speaker may say ``target`` in one turn.

    With ``draws`` the next path to follow is drawn at random, else the search goes deep first.
    ``furthest`` counts the characters of the target that some path reached.
    """

    def __init__(
        self, grammar: Grammar, speaker: Speaker, target: str = "", draws: Iterator[float] | None = None
    ) -> None:
        self._grammar = grammar
        self._speaker = speaker
        self._target = target
        self._draws = draws
        self.furthest = 0

    def prefixes(self, states: Iterable[State]) -> Iterator[Path]:
        """Paths on which the whole target has been said, the turn going on or not."""
        pile = self._begin(states)
        while pile:
            path = self._next(pile)
            if path.begun and path.at >= len(self._target):
                yield path
            elif self._over(path):
                yield from (p for p in self._say(path, " ") if p.begun and p.at >= len(self._target))
            else:
                pile += self._grow(path)

    def turns(self, states: Iterable[State]) -> Iterator[State]:
        """States after turns that say exactly the target."""
        pile = self._begin(states)
        while pile:
            path = self._next(pile)
            if path.at > len(self._target):
                continue
            if self._over(path):
                yield from (p.state for p in self._say(path, " ") if p.begun and p.at == len(self._target))
            else:
                pile += self._grow(path)

    def cut(self, states: Iterable[State]) -> Iterator[State]:
        """States after turns that begin with the target and were cut off there: what was not heard is unknown."""
        pile = [path._replace(env={**path.env, PARTIAL: 1}, text=None) for path in self.prefixes(states)]
        while pile:
            path = pile.pop()
            if self._over(path):
                yield path.state
            elif path.flow and isinstance(path.flow[0], Say):
                pile.append(path._replace(flow=path.flow[1]))
            else:
                pile += self._grow(path)

    def openings(self, states: Iterable[State], full: Callable[[str], bool]) -> Iterator[str]:
        """Raw texts of turns, each broken off as soon as ``full`` says so. For a search without a target."""
        pile = self._begin(states)
        while pile:
            path = self._next(pile)
            if path.begun and (full(path.said) or self._over(path)):
                yield path.said
            else:
                pile += self._grow(path)

    def may_begin_with(self, say: Say) -> bool:
        """Whether a text of the step begins the target, or the target a text of the step."""
        pile = self._begin([State((say, None), {PARTIAL: 1})])
        while pile:
            path = pile.pop()
            if path.begun and (path.at >= len(self._target) or path.text is None):
                return True
            pile += self._grow(path)
        return False

    def _begin(self, states: Iterable[State]) -> list[Path]:
        return [Path(None, state.flow, state.env, 0, True, "", False) for state in states]

    def _next(self, pile: list[Path]) -> Path:
        if self._draws is not None:
            chosen = int(next(self._draws) * len(pile))
            pile[chosen], pile[-1] = pile[-1], pile[chosen]
        return pile.pop()

    def _over(self, path: Path) -> bool:
        """Whether the speaker's turn ends here: the other speaks next, or nobody."""
        if path.text is not None:
            return False
        step = path.flow[0] if path.flow else None
        return step is None or (isinstance(step, Say) and step.speaker != self._speaker)

    def _grow(self, path: Path) -> list[Path]:
        if path.text is not None:
            return self._more_text(path, *path.text)
        if path.flow is None:
            return []
        step, rest = path.flow
        if isinstance(step, Halt):
            return [path._replace(flow=None)]
        if not isinstance(step, Say):
            return [path._replace(flow=push(s, rest), env=env) for _, s, env in ways(self._grammar, step, path.env)]
        if step.speaker != self._speaker:
            return []
        return [p._replace(text=push(step.nodes, None), flow=rest, begun=True) for p in self._say(path, " ")]

    def _more_text(self, path: Path, node: Node, rest: Cell) -> list[Path]:
        if isinstance(node, Literal):
            return self._say(path, node.sound, node.text, rest)
        if isinstance(node, Alternatives):
            _, flow, env, at, gap, said, begun = path
            return [Path(push(option, rest), flow, env, at, gap, said, begun) for option in node.options]
        grown: list[Path] = []
        for row in node.rows(path.env):
            said = self._say(path, node.sounds[row], node.texts[row], rest)
            grown += said if node.name in path.env else [p._replace(env={**p.env, node.name: row}) for p in said]
        return grown

    def _say(self, path: Path, sound: str, written: str = " ", rest: Cell = None) -> list[Path]:
        """The path with a piece said and ``rest`` left to say, or nothing where the target differs."""
        _, flow, env, at, gap, said, begun = path
        if self._target:
            sound = sound[1:] if gap and sound[:1] == " " else sound
            if not self._fits(sound, at):
                return []
            at, gap = at + len(sound), sound[-1] == " " if sound else gap
            self.furthest = max(self.furthest, min(at, len(self._target)))
        return [Path(rest, flow, env, at, gap, said + written, begun)]

    def _fits(self, sound: str, at: int) -> bool:
        """Whether the target goes on with a piece of sound, as far as the target goes."""
        if self._target.startswith(sound, at) or sound.startswith(self._target[at:]):
            return True
        if sound[0] == self._target[at]:
            shared = takewhile(lambda pair: pair[0] == pair[1], zip(sound, self._target[at:], strict=False))
            self.furthest = max(self.furthest, at + sum(1 for _ in shared))
        return False


def distinct(states: Iterable[State]) -> tuple[State, ...]:
    """States without repetitions, in order of first appearance."""
    seen: dict[Any, State] = {}
    for state in states:
        seen.setdefault((state.flow, frozenset(state.env.items())), state)
    return tuple(seen.values())


def anchors(grammar: Grammar, speaker: Speaker) -> dict[Say, list[State]]:
    """Every place in a dialogue where a step of ``speaker`` may begin a turn, by step, with all slots unknown: for
    finding the way back into a dialogue whose beginning was not understood."""
    found: dict[Say, list[State]] = {}
    pile = [State(push(grammar.start, None), {PARTIAL: 1})]
    seen: dict[tuple[int, int], Cell] = {}
    while pile:
        state = pile.pop()
        key = (id(state.flow), state.env.get(TOPIC, -1))
        if state.flow is None or key in seen:
            continue
        seen[key] = state.flow
        step, rest = state.flow
        if isinstance(step, Say):
            pile.append(State(rest, state.env))
            if step.speaker == speaker:
                found.setdefault(step, []).append(state)
        elif not isinstance(step, Halt):
            pile += [State(push(s, rest), {**env, PARTIAL: 1}) for _, s, env in ways(grammar, step, state.env)]
    return found
