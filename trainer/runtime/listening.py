"""Who decides when the assistant takes, shares or yields the floor: the model, a voice activity detector, a recording.

``decide`` is called once per tick with what the model says about it and what the assistant is doing. Pure but for the
state that each holds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from trainer.firing import Seen, Thresholds, opening, strength
from trainer.runtime.endpointing._base import Endpointer
from trainer.runtime.events import Fired, Kind
from trainer.tokens import ControlTokens

Samples = npt.NDArray[np.float32]


class Tick(NamedTuple):
    """What there is to decide on."""

    number: int
    samples_N: Samples
    """The user's 2,560 samples."""
    seen: Seen
    doing: Kind | None
    """The response that is under way."""


class Listener(Protocol):
    """Of one session."""

    def decide(self, tick: Tick) -> Fired | None:
        """What fires in a tick."""
        ...


class ModelListener:
    """The fast path's own control tokens: the rules of the evaluation's free-running."""

    def __init__(self, tokens: ControlTokens, thresholds: Thresholds | None) -> None:
        self._tokens, self._thresholds = tokens, thresholds

    def decide(self, tick: Tick) -> Fired | None:
        if tick.doing is None:
            return opening(tick.seen, self._thresholds, self._tokens)
        fires = tick.doing == "turn" and strength("stp", tick.seen, self._thresholds, self._tokens)
        return "stp" if fires else None


class VoiceListener:
    """The cascade's: answers after a silence, stops when the user speaks."""

    def __init__(self, endpointer: Endpointer) -> None:
        self._endpointer = endpointer

    def decide(self, tick: Tick) -> Fired | None:
        found = self._endpointer.push(tick.samples_N)
        if tick.doing is None:
            return "bos" if found == "end" else None
        return "stp" if found == "speech" else None


class RecordedListener:
    """A recording's turn-taking, so that systems can be compared where it is the same: an oracle's.

    Args:
        turns: ticks in which the recorded assistant takes the floor.
        backchannels: ticks of its backchannels.
        user_turns: ticks in which the user begins a turn: what is still being said then is stopped one tick later.
    """

    def __init__(
        self, turns: Collection[int], backchannels: Collection[int] = (), user_turns: Collection[int] = ()
    ) -> None:
        self._turns, self._backchannels = frozenset(turns), frozenset(backchannels)
        self._stops = frozenset(tick + 1 for tick in user_turns)

    def decide(self, tick: Tick) -> Fired | None:
        if tick.doing == "turn":
            return "stp" if tick.number in self._stops else None
        if tick.number in self._turns:
            return "bos"
        return "boc" if tick.doing is None and tick.number in self._backchannels else None
