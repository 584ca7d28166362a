"""Forced alignment with a Hugging Face CTC model (Wav2Vec2, HuBERT, WavLM, MMS) in a local folder.

A word begins with the first frame of its first letter and ends with the last frame of its last one; one frame is 20 ms.
Letters the model does not know (figures, foreign scripts) are passed over, and a word with none left is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.asr._ctc_path import label_spans
from datagen.asr._needs import Needs, installed, load, one_line
from datagen.core.audio import from_pcm16
from datagen.core.units import SAMPLE_RATE
from datagen.core.words import Span
from datagen.kinds import KindConfig, Need

NEEDS = Needs(
    kind="ctc",
    extra="ctc",
    packages=("torch", "transformers"),
    variable="CTC_MODEL",
    files=("config.json", "vocab.json", "preprocessor_config.json", "*.safetensors"),
    example="facebook/wav2vec2-base-960h",
)


class Config(KindConfig):
    """Which model."""

    aside: ClassVar[frozenset[str]] = frozenset({"path", "model", "cpu_threads"})

    kind: Literal["ctc"]
    model: str | None = None
    """Folder of a model as ``save_pretrained`` writes it; None = the environment variable CTC_MODEL."""
    model_revision: str = Field(min_length=1)
    """What the folder holds, such as ``facebook/wav2vec2-base-960h@22aad52``: part of every identity."""
    adapter: str = ""
    """Language adapter of a multilingual MMS model, such as ``eng``; empty for other models."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    cpu_threads: int = Field(default=1, ge=1)
    """One per process: workers are processes already, and threads that wait for each other are many times slower."""


@dataclass(frozen=True)
class Alphabet:
    """A model's letters and the label it gives between them."""

    labels: Mapping[str, int]
    """One character -> its label."""
    blank: int
    delimiter: int | None
    """The label between words, where the model has one."""

    def spell(self, word: str) -> list[int]:
        """The labels of a word, in the case the model knows; other characters are passed over."""
        cases = ((char, char.upper(), char.lower()) for char in word.replace("’", "'"))
        known = (next((self.labels[c] for c in forms if c in self.labels), None) for forms in cases)
        return [label for label in known if label is not None]


class Ctc:
    """The aligner (see ``datagen.kinds``). Safe in threads. Time and memory on a CPU with a base model (95 M weights):
    about a quarter of the clip's length on one core, 0.2 GB for a clip of 10 s and 0.9 GB for one of 60 s."""

    def __init__(self, config: Config, model: Any, extractor: Any, alphabet: Alphabet) -> None:
        self._config = config
        self._model = model
        self._extractor = extractor
        self._alphabet = alphabet
        self._kernels, self._strides = tuple(model.config.conv_kernel), tuple(model.config.conv_stride)

    def align(self, pcm: npt.NDArray[np.int16], words: Sequence[str], language: str) -> dict[int, Span]:
        """Where the words are said, if they are said: the best alignment, good or bad. Nothing is found in a clip too
        short for its text. ``language`` changes nothing: a model has its own. OSError when the device fails."""
        if self._frames(pcm.size) < 1:
            return {}
        frame = prod(self._strides)
        found = word_spans(self.emissions(pcm), words, self._alphabet)
        return {index: (first * frame, min(stop * frame, pcm.size)) for index, (first, stop) in found.items()}

    def emissions(self, pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """Log-probabilities [frames, vocabulary] of a clip."""
        import torch

        inputs = self._extractor(from_pcm16(pcm), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        try:
            with _threads(self._config.cpu_threads), torch.inference_mode():
                logits = self._model(inputs.input_values.to(self._model.device)).logits[0]
                return logits.float().log_softmax(dim=-1).cpu().numpy()
        except RuntimeError as error:  # torch's word for a device out of memory or gone
            raise OSError(f"the CTC model on {self._config.device} failed: {one_line(error)}") from error

    def _frames(self, size: int) -> int:
        """Frames of a clip of so many samples: what its convolutions leave."""
        for kernel, stride in zip(self._kernels, self._strides, strict=True):
            size = (size - kernel) // stride + 1
        return size


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch on so many threads; what else the process computes with torch has its own number back afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def word_spans(emissions: npt.NDArray[np.float32], words: Sequence[str], alphabet: Alphabet) -> dict[int, Span]:
    """Index of a word -> its frames, for the words with a known letter; rising. Empty when the frames cannot hold them.

    ``emissions`` are log-probabilities [frames, vocabulary].
    """
    labels: list[int] = []
    places: dict[int, tuple[int, int]] = {}
    for index, word in enumerate(words):
        if not (spelling := alphabet.spell(word)):
            continue
        if labels and alphabet.delimiter is not None:
            labels.append(alphabet.delimiter)
        places[index] = (len(labels), len(labels) + len(spelling) - 1)
        labels += spelling
    spans = label_spans(emissions, labels, alphabet.blank)
    if spans is None:
        return {}
    return {index: (spans[first][0], spans[last][1]) for index, (first, last) in places.items()}


def make(config: Config) -> Ctc:
    """Loads the model; ValueError names what is missing and the remedy."""
    torch, transformers, safetensors = (
        load(name, NEEDS.kind, NEEDS.extra) for name in ("torch", "transformers", "safetensors")
    )
    folder = NEEDS.folder(config.model)
    chosen: dict[str, Any] = {"target_lang": config.adapter, "ignore_mismatched_sizes": True} if config.adapter else {}
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    try:
        model = transformers.AutoModelForCTC.from_pretrained(folder, local_files_only=True, **chosen)
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        chosen.pop("ignore_mismatched_sizes", None)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **chosen)
        model = model.eval().to(device)
    except (OSError, RuntimeError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise ValueError(f"model: {folder} cannot be loaded on {device}: {one_line(error)}") from error
    if not hasattr(model.config, "conv_stride") or extractor.sampling_rate != SAMPLE_RATE:
        raise ValueError(f"model: {folder} does not hear 16 kHz samples; give a Wav2Vec2, HuBERT or WavLM CTC model")
    return Ctc(config, model, extractor, _alphabet(model, tokenizer))


def _alphabet(model: Any, tokenizer: Any) -> Alphabet:
    known = {token: label for token, label in tokenizer.get_vocab().items() if label < model.config.vocab_size}
    delimiter = known.pop(tokenizer.word_delimiter_token, None)
    letters = {token: label for token, label in known.items() if len(token) == 1}
    return Alphabet(letters, model.config.pad_token_id, delimiter)


def revision(config: Config) -> str:
    """The package that runs the model, and the model as the recipe declares it."""
    return f"transformers {installed('transformers') or 'not installed'}, {config.model_revision}"


def needs(config: Config) -> Iterator[Need]:
    """The packages and the model."""
    return NEEDS.unmet(config.model)
