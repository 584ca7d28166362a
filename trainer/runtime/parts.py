"""What the sessions of a process share: the model, the slow path, the voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datagen.core.types import Voice
from trainer.firing import Thresholds
from trainer.runtime.answering._base import Answerer
from trainer.runtime.hearing._base import Hearing
from trainer.runtime.hearing.fast_path import Transcribe
from trainer.runtime.speaking._base import Speaker
from trainer.tokens import ControlTokens

if TYPE_CHECKING:
    from trainer.runtime.engine.engine import Engine


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
    hearing: Callable[[Transcribe], Hearing]
    """A session's recogniser; the fast path's own needs the engine's transcription of the session's row."""
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
