"""What every recogniser of the runtime offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt


class Hearing(Protocol):
    """A recogniser for one turn of the user's."""

    async def transcribe(self, pcm: npt.NDArray[np.int16], language: str, *, first_tick: int = 0) -> str:
        """What was said, "" where nothing was understood.

        ``pcm`` is 16 kHz mono and begins with tick ``first_tick`` of the session; ``language`` is a code such as
        ``en``. Raises ``answering._base.SlowPathError``, nothing else: the recogniser is the slow path's first part.
        """
        ...
