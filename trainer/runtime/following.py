"""Which token the main stream emits in a tick: the history that the model is fed says what the listener hears. Pure.

    [BOS] or [BOC], words one token per tick, [EOS], [HOD] until the audio is over, [SIL]    [STP] where it is stopped

These are the ticks of the labels that the model has learned from. Where the sources have nothing yet (the slow path is
on its way) [HOD] says that the floor is held. A model without [HOD] in its labels is fed [SIL] in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from trainer.tokens import ControlTokens

Follow = Literal["hold", "text"]
"""What stands for the words that the slow path adds: [HOD] alone, or their own tokens. Measured live with the embedded
preset (24 test conversations): text finds 70.7 % of turns (F1) and yields, hold 56.4 % and never yields: in the labels
five words and a minute of [HOD] never come."""


class Following:
    """Of one session. ``emit`` is called once per tick; its token is fed in the next one."""

    def __init__(self, tokens: ControlTokens, hold: bool = True) -> None:
        self._tokens = tokens
        self._quiet = tokens.hod if hold else tokens.sil
        self._next: deque[int] = deque()
        self._open = False
        self._last = False

    def begin(self, opener: Literal["bos", "boc"]) -> None:
        """A response begins: its opener is emitted in this tick."""
        self._next = deque([getattr(self._tokens, opener)])
        self._open, self._last = True, False

    def write(self, ids: Iterable[int], last: bool = False) -> None:
        """More of what is said; ``last``: no more will come."""
        if self._open and not self._last:
            self._next.extend(ids)
            if last:
                self._next.append(self._tokens.eos)
                self._last = True

    def stop(self) -> None:
        """The response is stopped: [STP] in this tick."""
        if self._open:
            self._next, self._open = deque([self._tokens.stp]), False

    def over(self) -> None:
        """The audio is over. Words that are not written yet will not be: the history keeps to the clock."""
        if self._open:
            self._next, self._open = deque(), False

    def emit(self) -> int:
        """The token of this tick."""
        if self._next:
            return self._next.popleft()
        return self._quiet if self._open else self._tokens.sil
