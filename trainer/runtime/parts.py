"""What the sessions of a process share: the model, the slow path, the voice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from datagen.core.types import Turn, Voice
from trainer.firing import Thresholds
from trainer.runtime.speaking._base import Speaker
from trainer.tokens import ControlTokens

if TYPE_CHECKING:
    from trainer.runtime.engine.engine import Engine


class Answerer(Protocol):
    """The slow path's language model; see ``trainer.runtime.answering``."""

    def answer(
        self, history: Sequence[Turn], user: str, prefix: str, instructions: str = ""
    ) -> AsyncGenerator[str, None]:
        """Pieces of what follows the prefix."""
        ...

    async def warm(self) -> None:
        """Does what the first answer would have to wait for."""
        ...

    async def aclose(self) -> None:
        """Gives back connections."""
        ...


class Hearer(Protocol):
    """A recogniser; see ``trainer.runtime.hearing``."""

    async def transcribe(self, pcm: npt.NDArray[np.int16], language: str, *, first_tick: int = 0) -> str:
        """The words of 16 kHz samples."""
        ...


@dataclass(frozen=True)
class Parts:
    """Everything that a session is made of and does not own."""

    engine: Engine
    tokens: ControlTokens
    encode: Callable[[str], list[int]]
    """Ids of a text, without control tokens."""
    thresholds: Thresholds | None
    hold: bool
    """The model's labels have [HOD]."""
    answerer: Answerer
    hearer: Hearer | None
    """None: the fast path transcribes."""
    speaker: Speaker
    voice: Voice
    language: str
    words: int
    """Of a prefix."""
    threshold: float | None
    """The verifier's; None without one."""
    gated: bool = True
    """False: every draft is committed, as in the rows without a verifier of the paper's table 5."""
    voices: Mapping[str, Voice] = field(default_factory=dict)
    """By name: those that a client may ask for."""
    inline: bool = False
    """Work is done where it is asked for, in no thread: for clocks that stand still meanwhile."""

    def cast(self, name: str) -> Voice:
        """A voice by its name; the bundle's own where the name is none of ours (clients name another service's)."""
        return self.voices.get(name, self.voice)

    def name(self, token: int) -> str:
        """What a token is in the traces: a control token's short name, "text" else."""
        return self._names.get(token, "text")

    @property
    def _names(self) -> dict[int, str]:
        names = ("sil", "bos", "boc", "stp", "eos", "hod")
        return {getattr(self.tokens, name): name.upper() for name in names}
