"""espeak-ng, clause melody unbroken: a portion is rendered among its neighbours and cut out at its words' exact times.

What was said before stands in front of it, and behind it, where more is to come, three words that nobody hears: so
the last word gets neither the fall nor the length of a clause's end. Seams are cross-faded in phase.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from pydantic import Field

from datagen import kinds
from datagen.core.types import Voice, Word
from datagen.core.units import from_ms
from trainer.runtime.speaking._base import Clock, Pace, PacedConfig, Utterance
from trainer.runtime.speaking._portions import clause_end
from trainer.runtime.speaking._seams import NOTHING, Rendering, close_up
from trainer.runtime.speaking._utterance import PiecewiseUtterance, Workers

_FOLLOWING = ("mana", "mana", "mana")
"""Stand for what is not known yet. With three stressed words the pitch of the word before is within 0.1 semitones of
what it is in the whole sentence (with one, it is a semitone lower); a nasal bends the sounds before it least."""
_CONTEXT = 16
"""Words of what was said before that are rendered again: longer than nearly all clauses, and 1 to 3 ms of work."""
_PAUSE = from_ms(20)
"""A longer silence between two words is a pause."""
_RELEASE = from_ms(20)
"""Kept after the last word before a pause."""

_ANY_VOICE = Voice(id="any", language="en", split="test", origin="", licence="", params={"base": "gmw/en"})


class Config(PacedConfig):
    """Settings; a voice's own are its ``params`` (see ``datagen.tts.espeak.Params``)."""

    kind: Literal["espeak"]
    lead_ms: float = Field(default=100, ge=0, le=10_000)
    threads: int = Field(default=2, ge=1, le=64)
    """Threads at work. The library itself speaks one text at a time in a process."""


class Espeak:
    """See ``_base.Speaker``. The same portions give the same samples."""

    def __init__(self, config: Config, engine: kinds.Engine) -> None:
        self._engine, self._pace, self._workers = engine, Pace.of(config), Workers(config.threads)

    def begin(self, voice: Voice, seed: int, *, clock: Clock = time.monotonic, inline: bool = False) -> Utterance:
        """A new utterance; ValueError for a voice that is none of espeak-ng's."""
        self._engine.check_voice(voice)
        render = partial(_render, self._engine, voice, seed)
        return PiecewiseUtterance(render, self._pace, clock, None if inline else self._workers)


def make(config: Config) -> Espeak:
    """The speaker, its library loaded (0.1 s); ValueError with the remedy when espeak-ng is not installed."""
    engine = kinds.make("tts", kinds.parse("tts", {"kind": "espeak"}))
    engine.synthesize("a", _ANY_VOICE, 0)
    return Espeak(config, engine)


def _render(
    engine: kinds.Engine, voice: Voice, seed: int, before: Sequence[str], words: Sequence[str], last: bool, _: int
) -> Rendering:
    """A portion cut out of a rendering with its neighbours; without sound where there is nothing to say."""
    following = () if last else _FOLLOWING
    if following and clause_end(words[-1]):
        following = (following[0].capitalize(), *following[1:])  # after a full stop, else it is no full stop
    for context in _contexts(before):
        try:
            speech = engine.synthesize(" ".join([*context, *words, *following]), voice, seed)
        except ValueError:  # nothing here that can be said
            continue
        spoken = speech.words or ()
        first, end = len(context), len(context) + len(words)
        if _begins(spoken, first) and (last or _begins(spoken, end)):
            return _cut(speech, spoken, first, end)
    return Rendering(NOTHING, 0, 0, ((0, 0),) * len(words))


def _contexts(before: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What may stand in front, best first. Some pairs ("in the") are said as one, with no time between them: then
    another word stands before."""
    near = tuple(before[-_CONTEXT:])
    if near:
        yield near
        yield (*near[:-1], _FOLLOWING[0])
    yield ()


def _begins(words: Sequence[Word], index: int) -> bool:
    """Whether the start of a word is known exactly."""
    return index == 0 or not words[index].estimated or not words[index - 1].estimated


def _cut(speech: kinds.Speech, words: Sequence[Word], first: int, end: int) -> Rendering:
    """Words ``first`` to ``end`` of what was said."""
    start = words[first].start if first else 0
    goes_on_before = bool(first) and start - words[first - 1].end <= _PAUSE
    stop, pause, goes_on_after = speech.pcm.size, 0, False
    if end < len(words):
        stop = words[end].start
        goes_on_after = stop - words[end - 1].end <= _PAUSE
        if not goes_on_after:
            stop, until = words[end - 1].end + _RELEASE, stop
            pause = until - stop
    spans = tuple((min(w.start, stop), min(w.end, stop)) for w in words[first:end])
    return close_up(Rendering(speech.pcm, start, stop, spans, goes_on_before, goes_on_after, pause))
