"""The assistant of one conversation in free-running: which token it emits, and what it is doing. Pure.

            [BOS] or [BOC]              [EOS]                    its speech is over
    listening ────────────► writing ────────────► playing ─────────────────────────► listening
        ▲                     │ [STP]                │ [STP]
        └─────────────────────┴──────────────────────┘

The rules are those of the live runtime, which knows when speech is audible and lets no token fire out of place:

* listening: [SIL], unless [BOS] or [BOC] fires.
* writing: the likeliest of text and [EOS], one token per tick, unless [STP] fires. Its speech is heard from the first
  tick on. At ``max_tokens`` the text ends by force.
* playing: [HOD] ([SIL] for a model whose labels have no [HOD]), unless [STP] fires. The model does not decide when its
  speech is over: the player does, and the history says so by [SIL] in place of [HOD].
* [STP] ends a response and fires in turns alone: nobody stops a "mm-hmm".

``trainer.firing`` says when a token fires.

There is no voice here, so how long speech lasts has to be said. A response that begins within the tolerance of a
recorded one of its kind, counted as in ``matching``, lasts until that one ends: the recorded user reacts to that end,
not to an imagined one; a text that is longer ends there by force, or the model would hear itself talked over by a user
who heard it finish. Where the recorded one was cut short, until it would have ended; a model that does not stop in time
is heard over the user. Any other response lasts as long as the dataset's assistant takes for that many letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from datagen.core.records import SegmentKind
from datagen.core.types import Strict
from trainer.evaluate._truth import Pace, Response
from trainer.evaluate.matching import TOLERANCE
from trainer.firing import Seen, Thresholds, opening, strength
from trainer.tokens import ControlTokens


class Playing(Strict):
    """How long imagined speech lasts."""

    matched: Literal["reference", "pace"] = "reference"
    """Responses that have a recorded one. pace: their own text decides, as for all others."""
    max_tokens: int = Field(default=256, gt=0)
    """Of a response's text, 41 s of ticks."""


@dataclass(frozen=True)
class Own:
    """A response of the model."""

    kind: SegmentKind
    start: int
    """Tick of its [BOS] or [BOC]."""
    reference: int | None
    """Place of the recorded response it stands for."""
    text: tuple[int, ...]
    end: int
    """The first tick in which nothing of it is heard; the conversation's end where it is heard until then."""
    stopped: bool
    """Ended by [STP], in tick ``end``."""


@dataclass
class _Open:
    """A response under way."""

    kind: SegmentKind
    start: int
    reference: int | None
    text: list[int] = field(default_factory=list)
    silent: int | None = None
    """Known once the text is out."""


class Agent:
    """See the module. ``step`` is called once per tick, ``finished`` at the end."""

    def __init__(
        self,
        recorded: Sequence[Response],
        tokens: ControlTokens,
        hold: bool,
        letters: Callable[[Sequence[int]], int],
        pace: Pace,
        thresholds: Thresholds | None = None,
        playing: Playing | None = None,
        tolerance: int = TOLERANCE,
    ) -> None:
        """``letters`` says how many a text's tokens have; ``hold``: the labels have [HOD]."""
        self._recorded = recorded
        self._tokens = tokens
        self._quiet = tokens.hod if hold else tokens.sil
        self._letters, self._pace = letters, pace
        self._thresholds, self._playing, self._slack = thresholds, playing or Playing(), tolerance
        self._open: _Open | None = None
        self._done: list[Own] = []
        self._next = {"turn": 0, "backchannel": 0}

    def step(self, tick: int, seen: Seen) -> int:
        """The token that is emitted in a tick."""
        now = self._open
        if now is not None and now.silent is not None and tick >= now.silent:
            self._close(now.silent, stopped=False)
            now = None
        if now is None:
            return self._listen(tick, seen)
        if now.silent is None and tick >= self._latest(now):
            self._close(tick, stopped=False)
            return self._tokens.eos
        if now.kind == "turn" and strength("stp", seen, self._thresholds, self._tokens):
            self._close(tick, stopped=True)
            return self._tokens.stp
        return self._quiet if now.silent is not None else self._write(now, tick, seen)

    def finished(self, ticks: int) -> tuple[Own, ...]:
        """All responses of a conversation that had so many ticks."""
        if self._open is not None:
            silent = self._open.silent
            self._close(ticks if silent is None else min(silent, ticks), stopped=False)
        return tuple(self._done)

    def _listen(self, tick: int, seen: Seen) -> int:
        fired = opening(seen, self._thresholds, self._tokens)
        if fired is None:
            return self._tokens.sil
        kind: SegmentKind = "turn" if fired == "bos" else "backchannel"
        self._open = _Open(kind, tick, self._taken(kind, tick))
        return self._tokens.bos if kind == "turn" else self._tokens.boc

    def _write(self, now: _Open, tick: int, seen: Seen) -> int:
        token = self._tokens.eos if len(now.text) >= self._playing.max_tokens else seen.text
        if token == self._tokens.eos:
            now.silent = max(self._silent(now), tick + 1)
        else:
            now.text.append(token)
        return token

    def _latest(self, now: _Open) -> float:
        """The tick in which the text ends by force: the recorded one is neither heard nor written any more."""
        recorded = self._followed(now)
        return max(recorded.silent, recorded.written, now.start + 2) if recorded else float("inf")

    def _silent(self, now: _Open) -> int:
        recorded = self._followed(now)
        return recorded.silent if recorded else now.start + self._pace.ticks(self._letters(now.text))

    def _followed(self, now: _Open) -> Response | None:
        """The recorded response that says how long this one is heard."""
        if now.reference is None or self._playing.matched == "pace":
            return None
        return self._recorded[now.reference]

    def _taken(self, kind: SegmentKind, tick: int) -> int | None:
        """The recorded response that one beginning now stands for: the rule of ``matching.pairs``, as time goes on."""
        at, slack = self._next[kind], self._slack
        while at < len(self._recorded) and (self._recorded[at].kind != kind or self._recorded[at].start < tick - slack):
            at += 1
        found = at < len(self._recorded) and self._recorded[at].start <= tick + slack
        self._next[kind] = at + found
        return at if found else None

    def _close(self, end: int, stopped: bool) -> None:
        now = self._open
        assert now is not None
        self._done.append(Own(now.kind, now.start, now.reference, tuple(now.text), end, stopped))
        self._open = None
