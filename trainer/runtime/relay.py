"""The relay: what is to be done about each event of a conversation. Pure; every state is a value.

    Listening ──[BOS]──► Drafting ──► Verifying ──► Handover ──► SpeakingSlow ──► Finishing ──► Listening
                          draft        verdict       transcript   slow path        the audio
                             └ nothing drafted ─────────┘            └ nothing said ──────────────┘
                                         └ a whole answer ─────────────────────────► Finishing

    mode s2s        Listening ──[BOS]──► SpeakingDraft ──► Listening          the fast path alone
    mode cascade    Listening ──[BOS]──► Handover ...                         the slow path alone
    any mode        Listening ──[BOC]──► Backchannelling ──► Listening        not in a cascade, which drafts nothing

A response begins with the [BOS], [BOC] or request that leaves Listening and ends with exactly one End, which leads
back. While a turn is under way [BOS] and [BOC] change nothing, [STP] and the client end it at once. A backchannel is
not stopped by [STP], since the user goes on; a turn that begins in it ends it.

``next`` is total. An event that a state does not wait for changes nothing: results of a turn that is over, a second
verdict, a second transcript. An exception is never raised.

What has to be true of the work outside, so that no response lasts for ever: every Draft is answered by a Drafted (empty
where it broke; ``ended`` on the last one of a draft without a limit), every Judge by a Judged, every Transcribe by a
Transcribed or SlowFailed, every Ask by a SlowEnded or SlowFailed, every Say that is the last by a Played.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from trainer.runtime.events import (
    Action,
    Ask,
    Cancelled,
    Draft,
    Drafted,
    End,
    Event,
    Heard,
    Judge,
    Judged,
    Mode,
    Outcome,
    Played,
    Requested,
    Say,
    SlowEnded,
    SlowFailed,
    SlowText,
    Stop,
    Transcribe,
    Transcribed,
)
from trainer.runtime.joining import Joiner


@dataclass(frozen=True)
class State:
    """Where a conversation is."""

    mode: Mode
    words: int
    """Of a prefix, at most."""
    turn: int
    """The response under way; while listening, the next one."""

    def on(self, event: Event) -> Next:
        """What an event of this turn leads to. Where nothing is written, to nothing."""
        return self, ()

    @property
    def at(self) -> tuple[Mode, int, int]:
        """What all states of a response share."""
        return self.mode, self.words, self.turn


Next = tuple[State, tuple[Action, ...]]


def start(mode: Mode, words: int = 5) -> State:
    """The state a session begins in.

    Args:
        mode: relay, s2s (the fast path alone) or cascade (the slow path alone).
        words: how many the fast path may say before the slow path takes over; the paper has 3, 5 and 7.

    Raises ValueError for another mode and for a prefix without words.
    """
    if mode not in get_args(Mode) or words < 1:
        raise ValueError(f"mode {mode!r} with words {words}: take one of {get_args(Mode)} and 1 word or more")
    return Listening(mode, words, 0)


def next(state: State, event: Event) -> Next:
    """The state after an event and what is to be done, in this order."""
    if getattr(event, "turn", state.turn) != state.turn:
        return state, ()
    match state, event:
        case Listening(), _:
            return state.on(event)
        case Backchannelling(), Heard("bos") | Requested():
            listening, stopped = _stop(state, "interrupted")
            begun, actions = listening.on(event)
            return begun, (*stopped, *actions)
        case Backchannelling(), Heard("stp"):
            return state, ()
        case _, Heard("stp"):
            return _stop(state, "interrupted")
        case _, Cancelled():
            return _stop(state, "cancelled")
    return state.on(event)


# ---- the states -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listening(State):
    """No response is under way."""

    def on(self, event: Event) -> Next:
        """Begin a turn or a backchannel."""
        match event:
            case Heard("bos") | Requested() if self.mode == "cascade":
                return Handover(*self.at, prefix=""), (Transcribe(self.turn),)
            case Heard("bos") | Requested() if self.mode == "s2s":
                return SpeakingDraft(*self.at), (Draft(self.turn, "turn", None), Transcribe(self.turn))
            case Heard("bos") | Requested():
                return Drafting(*self.at), (Draft(self.turn, "turn", self.words), Transcribe(self.turn))
            case Heard("boc") if self.mode != "cascade":
                return Backchannelling(*self.at), (Draft(self.turn, "backchannel", None),)
        return self, ()


@dataclass(frozen=True)
class Drafting(State):
    """The fast path drafts, the recogniser listens; nothing is said."""

    recognised: Transcribed | SlowFailed | None = None
    """What came of the recogniser, kept until it is needed: which of the two is first makes no difference."""

    def on(self, event: Event) -> Next:
        """Have the draft judged; without one, fall back."""
        match event:
            case Transcribed() | SlowFailed() if self.recognised is None:
                return replace(self, recognised=event), ()
            case Drafted(_, text, ended):
                words = text.split()
                if not words:
                    return _hand_over(self, "", self.recognised)
                prefix, whole = " ".join(words[: self.words]), ended and len(words) <= self.words
                return Verifying(*self.at, prefix, whole, self.recognised), (Judge(self.turn),)
        return self, ()


@dataclass(frozen=True)
class Verifying(State):
    """The verifier decides whether the prefix is said."""

    prefix: str
    whole: bool
    """The prefix is a whole answer."""
    recognised: Transcribed | SlowFailed | None

    def on(self, event: Event) -> Next:
        """Commit to the prefix or fall back to the slow path alone."""
        match event:
            case Transcribed() | SlowFailed() if self.recognised is None:
                return replace(self, recognised=event), ()
            case Judged(_, False):
                return _hand_over(self, "", self.recognised)
            case Judged() if self.whole:
                return Finishing(*self.at), (Say(self.turn, self.prefix, "fast", last=True),)
            case Judged():
                state, actions = _hand_over(self, self.prefix, self.recognised)
                return state, (Say(self.turn, self.prefix, "fast", last=False), *actions)
        return self, ()


@dataclass(frozen=True)
class Handover(State):
    """The prefix is being said, or there is none; what the user said is awaited, so that the slow path can go on."""

    prefix: str

    def on(self, event: Event) -> Next:
        """Ask the slow path, which needs the transcript."""
        match event:
            case Transcribed(_, user):
                asked = SpeakingSlow(*self.at, Joiner(self.prefix), said=bool(self.prefix))
                return asked, (Ask(self.turn, self.prefix, user),)
            case SlowFailed(_, reason):
                return _broken(self, bool(self.prefix), reason)
        return self, ()


@dataclass(frozen=True)
class SpeakingSlow(State):
    """The slow path answers; its words are said as they come."""

    joiner: Joiner
    said: bool
    """There is something of this response to be heard: the prefix, or a word of the slow path."""

    def on(self, event: Event) -> Next:
        """Say the new words; at the end, the rest.

        Where the slow path breaks, what the joiner holds is dropped: it repeats the prefix, or is no whole word.
        """
        match event:
            case SlowText(_, text):
                joiner, words = self.joiner.push(text)
                return replace(self, joiner=joiner, said=self.said or bool(words)), _say(self, words, "slow")
            case SlowEnded():
                rest = self.joiner.end()
                if self.said or rest:
                    return Finishing(*self.at), (Say(self.turn, rest, "slow", last=True),)
                return _end(self, "failed", "the slow path's answer is empty")
            case SlowFailed(_, reason):
                return _broken(self, self.said, reason)
        return self, ()


@dataclass(frozen=True)
class SpeakingDraft(State):
    """The fast path answers alone; its words are said as they are drafted."""

    said: int = 0
    """Words."""
    ended: bool = False
    """All is said; the audio plays on."""

    def on(self, event: Event) -> Next:
        """Say the words that are new: of a draft that goes on, those that a space follows or another word."""
        match event:
            case Drafted(_, text, ended) if not self.ended:
                words = text.split() if ended or text[-1:].isspace() else text.split()[:-1]
                new, said = " ".join(words[self.said :]), max(self.said, len(words))
                if not ended:
                    return replace(self, said=said), _say(self, new, "fast")
                if not said:
                    return _end(self, "empty")
                return replace(self, said=said, ended=True), (Say(self.turn, new, "fast", last=True),)
            case Played() if self.ended:
                return _end(self, "completed")
        return self, ()


@dataclass(frozen=True)
class Backchannelling(SpeakingDraft):
    """A backchannel: said as it is drafted, while the floor stays with the user."""


@dataclass(frozen=True)
class Finishing(State):
    """All of a turn is said; its audio plays on."""

    reason: str = ""
    """Why there is not more of it."""

    def on(self, event: Event) -> Next:
        """End once it has been heard."""
        match event:
            case Played():
                return _end(self, "completed", self.reason)
        return self, ()


# ---- what they share --------------------------------------------------------------------------------------------


def _hand_over(state: State, prefix: str, recognised: Transcribed | SlowFailed | None) -> Next:
    """The prefix is decided: the slow path goes on from it as soon as the recogniser has come to an end."""
    waiting = Handover(*state.at, prefix)
    return waiting.on(recognised) if recognised else (waiting, ())


def _say(state: State, words: str, source: Literal["fast", "slow"]) -> tuple[Action, ...]:
    return (Say(state.turn, words, source, last=False),) if words else ()


def _broken(state: State, said: bool, reason: str) -> Next:
    """The slow path will say no more: what was said ends gracefully."""
    if said:
        return Finishing(*state.at, reason), (Say(state.turn, "", "slow", last=True),)
    return _end(state, "failed", reason)


def _stop(state: State, outcome: Outcome) -> Next:
    listening, ended = _end(state, outcome)
    return listening, (Stop(state.turn), *ended)


def _end(state: State, outcome: Outcome, reason: str = "") -> Next:
    return Listening(state.mode, state.words, state.turn + 1), (End(state.turn, outcome, reason),)
