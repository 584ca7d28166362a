"""Any engine of ``datagen.tts`` (cosyvoice2, cosyvoice_http, openai_speech, ...), portion by portion, each a whole text
to the engine.

Streaming into a model such as CosyVoice2 gives no sound before some 35 tokens of text are there, so a short prefix
would wait for the slow path; a whole text of five words is said at once. Where more follows, the portion ends in a
comma for the engine, which keeps its voice up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field, field_validator

from datagen import kinds
from datagen.core.acceptance import Acceptance, faults
from datagen.core.rng import key
from datagen.core.trimming import trimmed
from datagen.core.types import Voice
from datagen.core.units import from_ms
from datagen.core.words import share
from trainer.runtime.speaking._base import Clock, Pace, PacedConfig, Pcm, SpeakingError, Utterance
from trainer.runtime.speaking._portions import clause_end, sayable
from trainer.runtime.speaking._seams import NOTHING, Rendering
from trainer.runtime.speaking._utterance import PiecewiseUtterance, Workers

_PAUSES_MS = {",": 140, ";": 210, ":": 210}
"""Silence after a clause by its mark, as espeak-ng makes it at 175 words per minute; other marks: ``_FULL_MS``."""
_FULL_MS = 290
_RULES = Acceptance()
"""What a clip must be like: the corpus's rules on the signal alone."""


class Config(PacedConfig):
    """Which engine, and how often and how long it is tried."""

    kind: Literal["engine"]
    engine: dict[str, Any]
    """A recipe's mapping of ``datagen.tts``, such as ``{kind: openai_speech, url: ..., model: ...}``."""
    max_words: int = Field(default=20, ge=1, le=200)
    lead_ms: float = Field(default=700, ge=0, le=10_000)
    patience_ms: float = Field(default=120, ge=0, le=10_000)
    attempts: int = Field(default=2, ge=1, le=10)
    """Seeds tried per portion: engines fail silently now and then, and short texts most."""
    timeout_s: float = Field(default=15, gt=0, le=600)
    """A portion that takes longer ends the utterance."""
    open_end: str = ","
    """Put behind a portion that is not the last and ends without punctuation."""

    @field_validator("engine")
    @classmethod
    def _known(cls, engine: dict[str, Any]) -> dict[str, Any]:
        """A mapping that ``datagen.tts`` refuses is refused here, with its reason."""
        kinds.parse("tts", engine)
        return engine


class EngineSpeaker:
    """See ``_base.Speaker``."""

    def __init__(self, config: Config, engine: kinds.Engine) -> None:
        self._config, self._engine, self._pace = config, engine, Pace.of(config)
        self._workers = Workers(getattr(engine, "parallel", 1))

    def begin(self, voice: Voice, seed: int, *, clock: Clock = time.monotonic, inline: bool = False) -> Utterance:
        """A new utterance; ValueError when the engine cannot speak with the voice."""
        self._engine.check_voice(voice)
        render = partial(_render, self._engine, self._config, voice, seed)
        workers = None if inline else self._workers
        return PiecewiseUtterance(render, self._pace, clock, workers, self._config.timeout_s)


def make(config: Config) -> EngineSpeaker:
    """The speaker; raises what the engine's own ``make`` raises (ValueError, OSError)."""
    return EngineSpeaker(config, kinds.make("tts", kinds.parse("tts", config.engine)))


def _render(
    engine: kinds.Engine,
    config: Config,
    voice: Voice,
    seed: int,
    before: Sequence[str],
    words: Sequence[str],
    last: bool,
    number: int,
) -> Rendering:
    """A portion said alone, without the silence around it; without sound where there is nothing to say."""
    if not any(map(sayable, words)):
        return Rendering(NOTHING, 0, 0, ((0, 0),) * len(words))
    mark = clause_end(words[-1])
    text = " ".join(words) + ("" if last or mark else config.open_end)
    speech = _said(engine, config, text, voice, [key(seed, str(number), str(n)) for n in range(config.attempts)])
    start, stop = trimmed(speech.pcm, 0)
    if speech.words is not None and len(speech.words) == len(words):
        spans = tuple((min(max(w.start, start), stop), min(max(w.end, start), stop)) for w in speech.words)
    else:
        spans = tuple(share(words, start, stop))
    pause = from_ms(_PAUSES_MS.get(mark, _FULL_MS)) if mark else 0
    return Rendering(speech.pcm, start, stop, spans, pause=pause)


def _said(engine: kinds.Engine, config: Config, text: str, voice: Voice, seeds: Sequence[int]) -> kinds.Speech:
    """The first clip without faults, else the last that sounds at all; SpeakingError when there is none."""
    usable: kinds.Speech | None = None
    reason = "nothing came"
    for seed in seeds:
        try:
            speech = engine.synthesize(text, voice, seed)
        except kinds.Unspoken as error:
            reason = str(error)
            continue
        except (ValueError, OSError) as error:
            raise SpeakingError(str(error)) from error
        found = faults(speech.pcm, text, _RULES)
        if not found:
            return speech
        reason = found[0]
        usable = usable if _silent(speech.pcm, found) else speech
    if usable is None:
        raise SpeakingError(f"text {text[:40]!r} could not be said: {reason}")
    return usable


def _silent(pcm: Pcm, found: Sequence[str]) -> bool:
    return not pcm.size or found[0].startswith("silent")
