"""Whisper by CTranslate2 (the package faster-whisper): a recogniser, and an aligner by what it recognises.

The model is a local folder; nothing is ever downloaded. Every window of at most 30 s is decoded once and by itself, at
temperature 0, so the same samples give the same words. RelayS2S judges with ``medium.en``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.asr._matching import matched
from datagen.asr._needs import Needs, installed, load, one_line
from datagen.core.audio import Pcm, from_pcm16
from datagen.core.trimming import FRAME, frame_levels
from datagen.core.units import SAMPLE_RATE
from datagen.core.words import Span, share
from datagen.kinds import Heard, KindConfig, Need

NEEDS = Needs(
    kind="faster_whisper",
    extra="asr",
    packages=("faster-whisper", "rapidfuzz", "text2num"),
    variable="WHISPER_MODEL",
    # Without tokenizer.json faster-whisper would fetch one. preprocessor_config.json is needed for 128 mel bands alone.
    files=("model.bin", "config.json", "tokenizer.json", "vocabulary.*"),
    example="Systran/faster-whisper-medium.en",
)


_WINDOW = 30 * SAMPLE_RATE
"""Samples Whisper hears at a time."""
_QUIET_FRAMES = 20


class Config(KindConfig):
    """Which model, and how it decodes."""

    aside: ClassVar[frozenset[str]] = frozenset({"path", "model", "cpu_threads"})

    kind: Literal["faster_whisper"]
    model: str | None = None
    """Folder of a model in CTranslate2's format; None = the environment variable WHISPER_MODEL."""
    model_revision: str = Field(min_length=1)
    """What the folder holds, such as ``Systran/faster-whisper-medium.en@a29b04b``: part of every identity."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda)$")
    compute_type: str = Field(default="default", min_length=1)
    """CTranslate2's name of the arithmetic (int8, float16, ...); default = as the weights are stored."""
    beam_size: int = Field(default=1, ge=1, le=20)
    word_times: bool = True
    """Times by the model's cross attention, for one more pass of its decoder; False = a segment's time by letters."""
    cpu_threads: int = Field(default=1, ge=1)
    """One per process: workers are processes already."""


class Whisper:
    """The recogniser and aligner (see ``datagen.kinds``). Safe in threads."""

    def __init__(self, config: Config, model: Any, pipeline: Callable[[Any], Any]) -> None:
        self._config = config
        self._model = model
        self._pipeline = pipeline

    def transcribe(self, pcm: npt.NDArray[np.int16], language: str) -> Heard:
        """The words heard, inside the clip and in order; none in an empty clip.

        Raises ValueError for a language the model does not know, OSError when the device fails.
        """
        code = language.split("-")[0]
        if code not in self._model.supported_languages:
            known = ", ".join(self._model.supported_languages)
            raise ValueError(f"language {language!r} is not one this Whisper model hears; there are: {known}")
        try:
            # Its state lasts for a call; the model's own `transcribe` would hear the silence after the last word as a
            # window of its own, in which Whisper imagines words, and which 1.2.1 cannot take when it lasts 10 ms.
            segments, _ = self._pipeline(self._model).transcribe(
                from_pcm16(pcm),
                language=code,
                beam_size=self._config.beam_size,
                temperature=0.0,
                vad_filter=False,
                clip_timestamps=[{"start": a / SAMPLE_RATE, "end": b / SAMPLE_RATE} for a, b in _windows(pcm)],
                batch_size=1,
                without_timestamps=True,
                word_timestamps=self._config.word_times,
            )
            return Heard(tuple(_rising(_words(segments), pcm.size)))
        except RuntimeError as error:  # CTranslate2's word for a device out of memory or gone
            raise OSError(f"Whisper on {self._config.device} failed: {one_line(error)}") from error

    def align(self, pcm: npt.NDArray[np.int16], words: Sequence[str], language: str) -> dict[int, Span]:
        """Where the words of a text were heard: those that were heard as they are written."""
        return matched(words, self.transcribe(pcm, language), language)


def make(config: Config) -> Whisper:
    """Loads the model; ValueError names what is missing and the remedy."""
    package, *_ = (load(name, NEEDS.kind, NEEDS.extra) for name in ("faster_whisper", "rapidfuzz", "text_to_num"))
    folder = NEEDS.folder(config.model)
    try:
        model = package.WhisperModel(
            str(folder),
            device=config.device,
            compute_type=config.compute_type,
            cpu_threads=config.cpu_threads,
            local_files_only=True,
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"model: {folder} cannot be loaded on {config.device}: {one_line(error)}") from error
    mels = model.feature_extractor.mel_filters.shape[0]
    if model.model.n_mels != mels:
        raise ValueError(
            f"model: {folder} wants {model.model.n_mels} mel bands, not {mels}; put its preprocessor_config.json there"
        )
    return Whisper(config, model, package.BatchedInferencePipeline)


def revision(config: Config) -> str:
    """The package that decodes, and the model as the recipe declares it."""
    return f"faster-whisper {installed('faster-whisper') or 'not installed'}, {config.model_revision}"


def needs(config: Config) -> Iterator[Need]:
    """The packages and the model."""
    return NEEDS.unmet(config.model)


def _windows(pcm: Pcm) -> Iterator[Span]:
    """The clip in windows that Whisper can hear, parted in the quietest 200 ms of the second half of each."""
    start = 0
    while pcm.size - start > _WINDOW:
        powers = 10 ** (frame_levels(pcm[start + _WINDOW // 2 : start + _WINDOW]) / 10)
        quiet = np.convolve(powers, np.ones(_QUIET_FRAMES), "valid").argmin() + _QUIET_FRAMES // 2
        stop = start + _WINDOW // 2 + int(quiet) * FRAME
        yield start, stop
        start = stop
    yield start, pcm.size


def _words(segments: Iterable[Any]) -> Iterator[tuple[str, float, float]]:
    """Whitespace words with their seconds; a segment without word times shares its own by letters."""
    for segment in segments:
        if segment.words is not None:
            yield from (("".join(word.word.split()), word.start, word.end) for word in segment.words)
            continue
        texts = segment.text.split()
        spans = share(texts, _samples(segment.start), _samples(segment.end))
        yield from ((text, a / SAMPLE_RATE, b / SAMPLE_RATE) for text, (a, b) in zip(texts, spans, strict=True))


def _rising(words: Iterable[tuple[str, float, float]], size: int) -> Iterator[tuple[str, int, int]]:
    """The words in samples, moved so that they lie in the clip and none begins before the last has ended: Whisper may
    place words in the silence that fills up its window, and windows may overlap by a rounding."""
    reached = 0
    for text, start, end in words:
        first = min(max(_samples(start), reached), size)
        reached = min(max(_samples(end), first), size)
        if text:
            yield text, first, reached


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
