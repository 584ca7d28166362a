"""The user's side of a session: the last minute of audio, and the turn that is under way. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from datagen.core.types import CONTROL, MAX_TURN_CHARACTERS

KEPT_TICKS = 375
"""A minute of audio is kept for the recogniser."""
AUDIBLE = 32_768 * 10 ** (-50 / 20)
"""A tick that is quieter holds no speech: the least level of the end-pointing kind energy."""
_BEFORE = 4
"""Ticks before the onset is noticed that may belong to it."""

Pcm = npt.NDArray[np.int16]


class User:
    """Of one session."""

    def __init__(self) -> None:
        self.ticks = 0
        """Heard so far."""
        self.typed = ""
        """Written since the last turn,"""
        self.typed_item: str | None = None
        """and under which name."""
        self.item: str | None = None
        """The turn that is under way."""
        self.last_item: str | None = None
        """The turn that has ended last; None where there was none."""
        self._pcm: deque[Pcm] = deque(maxlen=KEPT_TICKS)
        self._from = 0
        self._speaking = False

    def heard(self, chunk: Pcm) -> None:
        """A tick of audio."""
        self._pcm.append(chunk)
        self.ticks += 1

    def voiced(self, found: Literal["speech", "end"] | None, silent: bool, yielded: bool) -> bool:
        """Whether a turn of theirs begins in this tick: their voice while the assistant is silent, or it yields."""
        self._speaking = found == "speech" or (self._speaking and found != "end")
        begins = self.item is None and (yielded or (self._speaking and silent))
        if begins:
            self._from = max(self._from, self.ticks - _BEFORE)
        return begins

    def end(self) -> str | None:
        """Their turn is over; its name, if it had a voice."""
        ended = self.item
        self.last_item, self.item, self.typed_item, self._speaking = ended or self.typed_item, None, None, False
        return ended

    @property
    def unnoticed(self) -> bool:
        """Whether there is sound since the last turn that is none yet: pushed to talk, voices have no silence before
        and after them that would set them off."""
        return self.item is None and not self.typed and max(map(_rms, self._chunks()), default=0.0) >= AUDIBLE

    def take(self) -> tuple[int, Pcm]:
        """First tick and samples of the turn that has just ended, without the silence around it."""
        chunks = self._chunks()
        start, end = spoken([_rms(chunk) for chunk in chunks])
        first, self._from = self.ticks - len(chunks), self.ticks
        return first + start, np.concatenate(chunks[start:end]) if start < end else np.zeros(0, np.int16)

    def _chunks(self) -> list[Pcm]:
        """The ticks since the last turn, as far as they are kept."""
        first = max(self._from, self.ticks - len(self._pcm))
        return list(self._pcm)[len(self._pcm) - (self.ticks - first) :]


def _rms(chunk: Pcm) -> float:
    return float(np.sqrt(np.mean(chunk.astype(np.float64) ** 2)))


def spoken(rms: Sequence[float], drop_db: float = 26.0) -> tuple[int, int]:
    """The ticks between the first and the last that are at most so far below the loudest, one more on each side.

    >>> spoken([1, 1, 900, 800, 1, 700, 1, 1])
    (1, 7)
    """
    if not rms or max(rms) <= 0:
        return 0, 0
    least = max(rms) * 10 ** (-drop_db / 20)
    loud = [place for place, value in enumerate(rms) if value >= least]
    return max(0, loud[0] - 1), min(len(rms), loud[-1] + 2)


def one_line(text: str) -> str:
    """Words of a recogniser or a client as a turn can hold them: one line, no control characters, not too long.

    >>> one_line("hello\\n\\x00there ")
    'hello there'
    """
    return " ".join(CONTROL.sub(" ", text).split())[:MAX_TURN_CHARACTERS].rstrip()
