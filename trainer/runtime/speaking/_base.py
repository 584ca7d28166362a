"""What a speaker of the runtime is: text comes in pieces, 16 kHz speech goes out in chunks, as one utterance."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.core.types import Voice
from datagen.kinds import KindConfig

Pcm = npt.NDArray[np.int16]
Clock = Callable[[], float]
"""Seconds that never run backwards."""


class SpeakingError(RuntimeError):
    """The engine failed for good: what was given out stays, nothing more comes. One line, the reason."""


class Chunk(NamedTuple):
    """A stretch of an utterance's audio and the words that begin in it."""

    pcm: Pcm
    """16 kHz mono samples that follow those of the chunk before; empty where words have no sound."""
    words: tuple[tuple[str, int, int], ...]
    """(text, start, end) in samples from the utterance's start, ``end`` within the audio given out so far."""


class Utterance(Protocol):
    """One thing said, in one voice. Belongs to the event loop that iterates over it."""

    def push(self, text: str, last: bool) -> None:
        """More whole words; ``last``: nothing follows, ``text`` may then be empty. Ignored after ``cancel``.

        Raises ValueError after the last piece.
        """
        ...

    def __aiter__(self) -> AsyncIterator[Chunk]:
        """The chunks, to be asked for once and all along: they are made as they are asked for. Ends after the last
        piece or ``cancel``; raises SpeakingError."""
        ...

    def wake(self) -> None:
        """The clock has moved: for callers with a clock of their own."""
        ...

    def cancel(self) -> None:
        """Ends it at once: nothing comes any more, also of what is being synthesised."""
        ...


class Speaker(Protocol):
    """Makes utterances; any number may be under way."""

    def begin(self, voice: Voice, seed: int, *, clock: Clock = time.monotonic, inline: bool = False) -> Utterance:
        """A new utterance; ValueError when the engine cannot speak with the voice.

        The ``clock`` tells how much audio is still ahead of the listener. ``inline``: synthesis runs inside the
        iteration and not in a thread, so that on the caller's clock it takes no time and the result depends on the
        pushes and the clock alone.
        """
        ...


class PacedConfig(KindConfig):
    """How long words are held back to be said together, which makes their melody better; for every kind."""

    max_words: int = Field(default=12, ge=1, le=200)
    """Longest portion synthesised at once; so many waiting words are said whatever follows."""
    lead_ms: float = Field(default=150, ge=0, le=10_000)
    """Waiting words are said when the listener has less audio than this ahead: what synthesis and delivery take."""
    patience_ms: float = Field(default=40, ge=0, le=10_000)
    """A word that comes later than that waits so long for others, but no longer than this after the audio ran out."""


class Pace(NamedTuple):
    """The same in seconds."""

    max_words: int
    lead: float
    patience: float

    @classmethod
    def of(cls, config: PacedConfig) -> Pace:
        """As a config says."""
        return cls(config.max_words, config.lead_ms / 1000, config.patience_ms / 1000)
