"""The fast path's own transcription (stage 1's task) as the recogniser: no second model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from datagen.core.units import FRAME_SAMPLES
from datagen.kinds import KindConfig
from trainer.runtime.answering._base import SlowPathError

Transcribe = Callable[[int, int], Awaitable[str]]
"""(first tick, ticks) -> the words: the engine's, for one session."""


class Config(KindConfig):
    """Nothing to set: the bundle's model hears."""

    kind: Literal["fast_path"] = "fast_path"


class FastPathHearing:
    """The recogniser of one session (see ``_base.Hearing``). The samples only say how many ticks to look at."""

    def __init__(self, transcribe: Transcribe) -> None:
        self._transcribe = transcribe

    async def transcribe(self, pcm: npt.NDArray[np.int16], language: str, *, first_tick: int = 0) -> str:
        """See ``_base.Hearing``; the model knows the language it was trained on alone."""
        ticks = -(-pcm.size // FRAME_SAMPLES)
        if not ticks:
            return ""
        try:
            return (await self._transcribe(first_tick, ticks)).strip()
        except (RuntimeError, ValueError, OSError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise SlowPathError(f"the recogniser failed: {said}") from error


def make(config: Config, transcribe: Transcribe | None = None) -> FastPathHearing:
    """``transcribe`` is the engine's, bound to the session's row. ValueError without it."""
    if transcribe is None:
        raise ValueError("hearing fast_path needs the engine's transcribe; give it to backends.make")
    return FastPathHearing(transcribe)
