"""Which of the words that came are said now: a value that gathers them. Pure; times are seconds on one clock.

The first words are said at once. Later ones wait for the end of their clause, for company or for the last piece, as
long as the listener has enough audio ahead, taking for granted that playout began when the first chunk was given out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from datagen.core.units import SAMPLE_RATE
from trainer.runtime.speaking._base import Pace

_ENDS = frozenset(",.;:?!…—、。，！？；：؟؛،।")
_CLOSING = "\"'”’»)]}*_"


def clause_end(word: str) -> str:
    """The punctuation mark that closes a clause after this word; empty where it goes on."""
    bare = word.rstrip(_CLOSING)
    return bare[-1] if bare and bare[-1] in _ENDS else ""


def sayable(word: str) -> bool:
    """Whether a word has a letter or digit: what has none is never said alone."""
    return any(map(str.isalnum, word))


@dataclass(frozen=True)
class Gathering:
    """The words that wait, and how far the audio given out reaches."""

    waiting: tuple[str, ...] = ()
    since: float = 0.0
    """When the first of them came."""
    ended: bool = False
    """Nothing will be pushed any more."""
    runs_out: float | None = None
    """When the listener has heard everything; None before the first chunk."""
    pause: float = 0.0
    """The silence that belongs after it."""

    @property
    def over(self) -> bool:
        """Whether everything that will ever come was taken."""
        return self.ended and not self.waiting

    def pushed(self, text: str, last: bool, now: float) -> Gathering:
        """With more words."""
        words = text.split()
        since = self.since if self.waiting or not words else now
        return replace(self, waiting=(*self.waiting, *words), since=since, ended=last)

    def latest(self, pace: Pace) -> float:
        """When the waiting words are said if nothing else happens: ``lead`` before the audio and its pause are over,
        or, come later than that, after ``patience``, but not later than that after the audio ran out."""
        if self.runs_out is None:
            return self.since
        dry = self.runs_out + self.pause
        in_time = self.since <= dry - pace.lead
        return dry - pace.lead if in_time else min(self.since, dry) + pace.patience

    def due(self, pace: Pace, now: float) -> int:
        """How many of the waiting words are to be said now, in one portion; 0 = none yet."""
        if not self.ended and not any(map(sayable, self.waiting)):
            return 0
        room = self.waiting[: pace.max_words]
        clause = _through_last_clause(room)
        if self.ended or len(self.waiting) > pace.max_words:
            everything = self.ended and len(room) == len(self.waiting)
            return len(room) if everything else clause or len(room)
        if clause and self.runs_out is not None and any(map(sayable, room[:clause])):
            return clause
        return len(room) if len(room) == pace.max_words or now >= self.latest(pace) else 0

    def taken(self, count: int, now: float) -> Gathering:
        """Without the first ``count`` words."""
        return replace(self, waiting=self.waiting[count:], since=now)

    def said(self, samples: int, pause: int, now: float) -> Gathering:
        """After a chunk of so many samples was given out; ``pause`` samples of silence belong after it."""
        begins = now if self.runs_out is None else max(now, self.runs_out)
        return replace(self, runs_out=begins + samples / SAMPLE_RATE, pause=pause / SAMPLE_RATE)

    def dry(self, now: float) -> int:
        """Samples of silence the listener has heard by now since the audio ran out."""
        return 0 if self.runs_out is None else max(0, round((now - self.runs_out) * SAMPLE_RATE))


def _through_last_clause(words: Sequence[str]) -> int:
    """How many words there are up to the last that ends a clause."""
    return next((index + 1 for index in reversed(range(len(words))) if clause_end(words[index])), 0)
