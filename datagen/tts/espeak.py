"""espeak-ng: formant synthesis on the CPU, exact word times, no model to download. Artificial, but intelligible.

Output depends on the text, the voice's params and the seed alone. The library comes with the package espeakng-loader
(GPL-3.0-or-later, loaded at run time; nothing of it is part of this project).
"""

from __future__ import annotations

import difflib
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr
from pydantic import Field, ValidationError

from datagen.core.types import Strict, Voice
from datagen.core.units import SAMPLE_RATE
from datagen.core.words import fill_word_times
from datagen.kinds import KindConfig, Speech
from datagen.tts._espeak_library import NATIVE_RATE, Library, Style
from datagen.tts._espeak_text import heard_span, prepare, word_spans

_LEAD = NATIVE_RATE // 200
"""At most 5 ms are kept before the first word."""
_TAIL = NATIVE_RATE * 3 // 100
"""At most 30 ms are kept after the last word, for releases and echoes; the last 10 ms fade out."""
_FADE = np.linspace(1, 0, NATIVE_RATE // 100, dtype=np.float32)
_GAIN = np.float32(10 ** (-3 / 20) / 32_768)
"""espeak-ng uses the whole range of 16 bits; the resampler's ripples need room above it."""
_CEILING = 0.99
_NOTHING: npt.NDArray[np.int16] = np.zeros(0, np.int16)


class Config(KindConfig):
    """Settings of the engine; a voice's own settings are its ``params`` (see Params)."""

    kind: Literal["espeak"]
    max_seconds: float = Field(default=180, gt=0, le=3600)
    """Speech longer than this is refused: a sign of text that is not language."""


class Params(Strict):
    """Keys of ``Voice.params``."""

    base: str
    """Language or accent: a file in espeak-ng-data/lang, such as gmw/en-US or roa/es-419."""
    variant: str = ""
    """Speaker: a file in espeak-ng-data/voices/!v, such as f2 or Annie; empty = the base's own speaker."""
    pitch: int = Field(default=50, ge=0, le=99)
    range: int = Field(default=50, ge=0, le=99)
    """How far the pitch moves; 0 is monotone."""
    rate_wpm: int = Field(default=175, ge=80, le=400)
    """Words per minute. From 450 on espeak-ng speeds up its own output and its word times are off."""


class Espeak:
    """The engine (see ``datagen.kinds.Engine``). Safe in threads, after a fork and in any number of processes."""

    def __init__(self, config: Config, library: Path, data: Path) -> None:
        self._config = config
        self._library = Library(library, data)
        self._bases = _files(data / "lang")
        self._variants = _variants(data / "voices" / "!v")

    def check_voice(self, voice: Voice) -> None:
        """Raise ValueError unless the voice's params are complete and in range and name files that exist.

        espeak-ng itself would silently speak with the base's own speaker when there is no such variant.
        """
        self._style(voice)

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """Speech from at most 5 ms before the first word to at most 30 ms after the last; no sample is clipped.

        Raises ValueError when there is nothing to say in the text, when it takes too long, or for a wrong voice.
        """
        style = self._style(voice)
        words = text.split()
        reading = prepare(words)
        limit = int(self._config.max_seconds * NATIVE_RATE)
        native, events = self._library.speak(reading.text, style, seed, limit) if reading.text else (_NOTHING, [])
        if len(native) > limit:
            raise ValueError(
                f"text {text[:40]!r} takes longer than max_seconds={self._config.max_seconds:g}; split it or raise it"
            )
        heard = heard_span(events, len(native))
        if heard is None:
            raise ValueError(f"text {text[:40]!r} has nothing espeak-ng can say; give it a word")
        first, last = heard
        begin = max(0, first - _LEAD)
        pcm = _finished(native[begin : last + _TAIL])

        def clock(sample: int) -> int:
            """A native sample on the result's clock, moved to where something is heard."""
            return min((min(max(sample, first), last) - begin) * SAMPLE_RATE // NATIVE_RATE, len(pcm))

        spans = word_spans(reading, events, last)
        known = {index: (clock(start), clock(end)) for index, (start, end) in spans.items()}
        return Speech(pcm, fill_word_times(words, known, clock(first), clock(last), gaps_are_silent=True))

    def _style(self, voice: Voice) -> Style:
        """The voice's params as the library takes them."""
        try:
            params = Params.model_validate(voice.params)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["params", *map(str, first["loc"])])
            raise ValueError(f"voice {voice.id}: {field}: {first['msg']} (given: {first['input']!r})") from None
        _known(voice, "base", params.base, self._bases)
        if params.variant:
            _known(voice, "variant", params.variant, self._variants)
        return Style(params.base, params.variant, params.pitch, params.range, params.rate_wpm)


def make(config: Config) -> Espeak:
    """The engine; ValueError with the remedy when espeak-ng is not installed."""
    try:
        import espeakng_loader
    except ImportError:
        raise ValueError(
            "kind espeak needs a package that is not installed; run: pip install espeakng-loader"
        ) from None
    return Espeak(config, Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))


def _finished(native: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Native samples at 16 kHz with a faded end, 3 dB down, and further down where the peak would still clip."""
    signal = native * _GAIN
    signal[-len(_FADE) :] *= _FADE[-len(signal) :]
    signal = soxr.resample(signal, NATIVE_RATE, SAMPLE_RATE)
    peak = max(float(signal.max(initial=0)), -float(signal.min(initial=0)), _CEILING)
    signal *= np.float32(32_767 * _CEILING / peak)
    return np.rint(signal, out=signal).astype(np.int16)


def _files(folder: Path) -> frozenset[str]:
    """Paths of all files under a folder, as voices name them."""
    return frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _variants(folder: Path) -> frozenset[str]:
    """The speakers there are, without those of the SpeechPlayer synthesiser ("klatt 6"): it draws its noise from the C
    library's random numbers, which all code in the process shares, so its output depends on what was said before."""
    speech_player = re.compile(rb"^klatt\s+6", re.MULTILINE)
    return frozenset(name for name in _files(folder) if not speech_player.search((folder / name).read_bytes()))


def _known(voice: Voice, key: str, value: str, names: frozenset[str]) -> None:
    """Raise ValueError with the nearest names, or all of them, unless the value is one of the names."""
    if value not in names:
        near = difflib.get_close_matches(value, sorted(names), n=5, cutoff=0.4)
        there_are = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(names))}"
        raise ValueError(f"voice {voice.id}: params.{key}: espeak-ng has no usable {value!r}; {there_are}")


def revision(config: Config) -> str:
    """The version of the package that brings the library; another one may speak differently."""
    try:
        return f"espeakng-loader {version('espeakng-loader')}"
    except PackageNotFoundError:
        return "not installed"
