"""A conversation without sound: the relay, the joiner and the buffer with workers that follow a script, in any order.

A world is a value. Whoever plays with it decides what happens next; the world checks every action that the relay takes
and every word that is heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from trainer.runtime import relay
from trainer.runtime.buffer import Buffer
from trainer.runtime.events import (
    Action,
    Ask,
    Draft,
    Drafted,
    End,
    Event,
    Judge,
    Judged,
    Kind,
    Outcome,
    Played,
    Say,
    SlowEnded,
    SlowFailed,
    SlowText,
    Stop,
    Transcribe,
    Transcribed,
)
from trainer.runtime.joining import Joiner, join


class Script(NamedTuple):
    """What the workers of a response come up with."""

    draft: str = "Sure, I can help you with that."
    cuts: tuple[int, ...] = ()
    """A draft without a limit grows by so many characters at a time."""
    commit: bool = True
    user: str | None = "can you help"
    """None: the recogniser fails."""
    slow: tuple[str, ...] = (" I can help", " you with that.")
    ends: bool = True
    """False: the slow path fails after its last piece."""


def words_of(script: Script, mode: str, kind: Kind, words: int) -> tuple[str, bool]:
    """The text of a response that nobody stops, and whether it is what the script's author wanted."""
    if kind == "backchannel" or mode == "s2s":
        return " ".join(script.draft.split()), True
    prefix = " ".join(script.draft.split()[:words]) if script.commit and mode == "relay" else ""
    if prefix and prefix == " ".join(script.draft.split()):
        return prefix, True
    if script.user is None:
        return prefix, False
    if script.ends:
        return join(prefix, "".join(script.slow)), True
    return " ".join([prefix, Joiner(prefix).push("".join(script.slow))[1]]).strip(), False


@dataclass(frozen=True)
class World:
    """Where everything is."""

    state: relay.State
    script: Script = field(default_factory=Script)
    """Of the response under way, and of the next where none is."""
    kind: Kind | None = None
    """Of the response under way."""
    due: tuple[tuple[Event, ...], ...] = ()
    """What each worker will still report, in order."""
    buffer: Buffer = field(default_factory=Buffer)
    last: bool = False
    """All of the response has been said."""
    played: int = 0
    asked: bool = False
    history: tuple[str, ...] = ()
    ends: tuple[End, ...] = ()

    def send(self, event: Event) -> World:
        """The relay learns of an event, and what it wants is done."""
        state, actions = relay.next(self.state, event)
        world = replace(self, state=state)
        for action in actions:
            world = world._do(action)
        assert (world.kind is None) == isinstance(state, relay.Listening), "only where no response is under way"
        assert state.turn == len(world.ends), "turns are numbered by those that have ended"
        return world

    def take(self, worker: int) -> World:
        """A worker reports."""
        event, *rest = self.due[worker]
        due = (*self.due[:worker], tuple(rest), *self.due[worker + 1 :])
        return replace(self, due=tuple(filter(None, due))).send(event)

    def speak(self, samples: int = 4000, gap: int = 0) -> World:
        """The next word becomes audio, after a gap."""
        start, word = self.buffer.num_samples + gap, self.buffer.words[len(self.buffer.spans)].text
        return replace(self, buffer=self.buffer.synthesized(gap + samples, [(word, start, start + samples)]))

    def play(self, samples: int) -> World:
        """Time passes."""
        return replace(self, played=min(self.played + samples, self.buffer.num_samples))

    def finish(self) -> World:
        """All has been heard."""
        return self.send(Played(self.state.turn))

    @property
    def silent(self) -> bool:
        """Everything that was said so far has been heard."""
        return self.buffer.complete and self.played == self.buffer.num_samples

    def moves(self) -> Iterator[World]:
        """Everything that can happen next without the user or the client."""
        yield from (self.take(worker) for worker in range(len(self.due)))
        if not self.buffer.complete:
            yield self.speak()
        if self.played < self.buffer.num_samples:
            yield self.play(3000)
        if self.kind and self.last and self.silent:
            yield self.finish()

    def run_out(self) -> World:
        """Nobody says anything more: the response must come to its end by itself."""
        world = self
        for _ in range(500):
            if world.kind is None:
                return world
            following = next(world.moves(), None)
            assert following is not None, f"nothing is due in {world.state}"
            world = following
        raise AssertionError(f"{world.state} does not end")

    def _do(self, action: Action) -> World:
        turn = action.turn
        if self.kind is None:
            assert isinstance(action, Draft | Transcribe), "a response begins with work"
            assert turn == len(self.ends), "and has its own number"
            kind: Kind = action.kind if isinstance(action, Draft) else "turn"
            self = replace(self, kind=kind, buffer=Buffer(), last=False, played=0, asked=False)
        assert turn == len(self.ends), "of the response under way alone"
        match action:
            case Draft(_, kind, words):
                assert (kind, words is None) == (self.kind, kind == "backchannel" or self.state.mode == "s2s")
                return self._work(*_drafts(turn, self.script, words))
            case Judge():
                return self._work(Judged(turn, self.script.commit, 0.5))
            case Transcribe():
                user = self.script.user
                return self._work(SlowFailed(turn, "deaf") if user is None else Transcribed(turn, user))
            case Ask():
                return self._ask(action)
            case Say():
                return self._say(action)
            case Stop():
                return replace(self, buffer=self.buffer.stopped(self.played))
            case End():
                return self._end(action)

    def _work(self, *events: Event) -> World:
        return replace(self, due=(*self.due, events))

    def _ask(self, ask: Ask) -> World:
        assert not self.asked
        assert ask.prefix == self.buffer.text, "the slow path goes on from what is being said"
        assert ask.user == self.script.user
        pieces = [SlowText(ask.turn, piece) for piece in self.script.slow]
        end = SlowEnded(ask.turn) if self.script.ends else SlowFailed(ask.turn, "gone")
        return replace(self, asked=True)._work(*pieces, end)

    def _say(self, say: Say) -> World:
        assert not self.last, "nothing follows the last"
        assert not self.buffer.closed, "nothing is said after a stop"
        assert say.text or say.last
        buffer = self.buffer.said(say.text, say.source)
        whole = self._wanted()[0].split()
        assert buffer.text.split() == whole[: len(buffer.words)], "in order, none lost, none twice"
        return replace(self, buffer=buffer, last=say.last)

    def _end(self, end: End) -> World:
        text, wanted = self._wanted()
        heard = self.buffer.heard(self.played)
        if end.outcome in ("interrupted", "cancelled"):
            assert self.buffer.closed
            assert heard == self.buffer.text, "a stopped buffer holds what was heard"
            assert text.startswith(heard)
        else:
            expected: Outcome = "completed" if text else "empty" if wanted and not self.asked else "failed"
            assert (end.outcome, heard) == (expected, text)
            assert bool(end.reason) == (expected == "failed" or not wanted), "a response that lacks words says why"
        for event in (event for worker in self.due for event in worker):
            assert relay.next(self.state, event) == (self.state, ()), "late results change nothing"
        return replace(self, kind=None, history=(*self.history, heard), ends=(*self.ends, end))

    def _wanted(self) -> tuple[str, bool]:
        assert self.kind is not None
        return words_of(self.script, self.state.mode, self.kind, self.state.words)


def _drafts(turn: int, script: Script, words: int | None) -> list[Drafted]:
    text = " ".join(script.draft.split())
    if words is not None:
        said = " ".join(text.split()[:words])
        return [Drafted(turn, said, said == text)]
    return [*(Drafted(turn, text[:cut], False) for cut in sorted(script.cuts)), Drafted(turn, text, True)]
