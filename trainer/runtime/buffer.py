"""The response buffer that the fast and the slow path share: words go in, their audio follows, and at any playout
position it says exactly which words have been heard. Pure.

    said            Sure,  I   can  help  you  with  that
    synthesized     |-----||--||---||----|                       num_samples
    played          ~~~~~~~~~~~~~~~~~|                           heard: Sure, I can

Positions are samples at 16 kHz from the response's first sample. A word has been heard once half of it, or 160 ms of
it, has been played, whichever is less. A word whose audio has no length (a mark that stands alone) goes with the word
before it. Words without audio have not been heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, NamedTuple

from datagen.core.units import FRAME_SAMPLES

Source = Literal["fast", "slow"]

ENOUGH = FRAME_SAMPLES
"""160 ms, a tick: of a long word so much is enough. A stop is known to the tick, no better."""


class Said(NamedTuple):
    """A word of the response and who thought of it."""

    text: str
    source: Source


@dataclass(frozen=True)
class Buffer:
    """A value: every call gives the next one. A response's begins empty."""

    words: tuple[Said, ...] = ()
    """All of the response so far, in order; after a stop those that were heard."""
    spans: tuple[tuple[int, int], ...] = ()
    """Where the first of the words sound: ``[start, end)`` of each."""
    num_samples: int = 0
    """Of audio; after a stop, those that were played."""
    closed: bool = False
    """It was stopped: what comes is ignored."""

    def said(self, text: str, source: Source) -> Buffer:
        """More whole words."""
        if self.closed:
            return self
        return replace(self, words=(*self.words, *(Said(word, source) for word in text.split())))

    def synthesized(self, samples: int, words: Sequence[tuple[str, int, int]] = ()) -> Buffer:
        """More audio, and the words that begin in it or are known to begin later.

        Args:
            samples: how much was appended.
            words: ``(text, start, end)`` of each, in order: the first is the first that had no audio yet. Spelt as the
                engine likes; ``end`` may lie in audio that is still to come.

        Raises ValueError for words that were never said and for less than no audio.
        """
        if self.closed:
            return self
        spans = (*self.spans, *((start, end) for _, start, end in words))
        if len(spans) > len(self.words) or samples < 0:
            raise ValueError(
                f"{samples} samples with the words {[word for word, *_ in words]} were synthesized; "
                f"{len(self.words) - len(self.spans)} words wait for their audio"
            )
        return replace(self, spans=spans, num_samples=self.num_samples + samples)

    def stopped(self, at_sample: int) -> Buffer:
        """Nothing after ``at_sample`` will ever be heard. A second stop can only be earlier."""
        at_sample = max(0, min(at_sample, self.num_samples))
        count = self._count(at_sample)
        return Buffer(self.words[:count], self.spans[:count], at_sample, closed=True)

    @property
    def text(self) -> str:
        """All words, single spaces between."""
        return " ".join(word.text for word in self.words)

    @property
    def complete(self) -> bool:
        """Every word has its audio."""
        return len(self.spans) == len(self.words)

    def heard(self, at_sample: int) -> str:
        """The words heard where samples ``[0, at_sample)`` have been played: the first words of ``text``."""
        return " ".join(word.text for word in self.words[: self._count(min(at_sample, self.num_samples))])

    def _count(self, at_sample: int) -> int:
        return sum(mark <= at_sample for mark in self._marks())

    def _marks(self) -> Iterator[int]:
        """How much must have been played for each of the words, never less than for the word before."""
        return accumulate((_mark(start, end) for start, end in self.spans), max)


def _mark(start: int, end: int) -> int:
    return start + min((end - start + 1) // 2, ENOUGH) if end > start else 1
