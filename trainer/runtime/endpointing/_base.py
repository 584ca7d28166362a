"""Who ends the user's turn where no model does: mode ``cascade``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.core.units import FRAME_SAMPLES
from datagen.kinds import KindConfig

Boundary = Literal["speech", "end"]


class Endpointer(Protocol):
    """Finds the user's turns in a stream, tick by tick. One per session: it has a state."""

    def push(self, samples_N: npt.NDArray[np.float32]) -> Boundary | None:
        """``speech`` in the tick in which the user's onset is certain, ``end`` in the one in which the turn is over.

        ``samples_N`` are the 2,560 samples of a tick at 16 kHz, full scale = 1; ValueError for another number. The two
        alternate, ``speech`` first.
        """
        ...


class Patience(KindConfig):
    """When sound is a turn, and when silence ends it."""

    aside: ClassVar[frozenset[str]] = frozenset()

    min_silence_ms: float = Field(default=500, ge=160, le=10_000)
    """Silence that ends a turn. RelayS2S does not say how its cascade ends one; 500 ms is the default of the Realtime
    API's server_vad (``silence_duration_ms``), and a tick the least."""
    min_speech_ms: float = Field(default=96, ge=0, le=2_000)
    """Sound that begins one: a click is shorter. Three windows of Silero's."""


class Turns:
    """Turns from whether each window, of ``window_ms``, holds speech: True, False, or None for as the one before."""

    def __init__(self, patience: Patience, window_ms: float) -> None:
        self._speech = max(1, round(patience.min_speech_ms / window_ms))
        self._silence = max(1, round(patience.min_silence_ms / window_ms))
        self._speaking = False
        self._run = 0
        """Windows in a row, up to now, that contradict ``_speaking``."""
        self._last = False
        self._waiting: deque[Boundary] = deque()

    @property
    def speaking(self) -> bool:
        """Whether a turn is going on."""
        return self._speaking

    def push(self, voiced: Iterable[bool | None]) -> Boundary | None:
        """The first boundary not yet told; a second one in the same tick is told with the next."""
        for one in voiced:
            self._last = self._last if one is None else one
            self._run = self._run + 1 if self._last != self._speaking else 0
            if self._run >= (self._silence if self._speaking else self._speech):
                self._speaking, self._run = not self._speaking, 0
                self._waiting.append("speech" if self._speaking else "end")
        return self._waiting.popleft() if self._waiting else None


def checked(samples_N: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One tick's samples within full scale, what is no number as silence: a model's state would never recover from it.
    ValueError for another number of samples."""
    if samples_N.shape != (FRAME_SAMPLES,):
        raise ValueError(f"a tick has {FRAME_SAMPLES} samples, not an array of shape {samples_N.shape}")
    return np.nan_to_num(samples_N.astype(np.float32, copy=False), nan=0.0).clip(-1, 1)
