"""The CTC aligner: words of hand-made emissions where they are, and real models of random weights, offline."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datagen import kinds
from datagen.asr import ctc
from datagen.asr.ctc import Alphabet, Config, Ctc, word_spans
from datagen.core.words import fill_word_times
from tests.asr import tiny_ctc

WORDS = ["It's", "a", "$5", "tree,", "Émile!"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ctc")
    tiny_ctc.write_model(folder)
    return folder


def config(model: Path | None, **changes: object) -> Config:
    named = None if model is None else str(model)
    return Config.model_validate({"kind": "ctc", "model": named, "model_revision": "tiny", **changes})


def noise(count: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(count) * 3000).astype(np.int16)


def check(aligner: Ctc, count: int) -> None:
    pcm = noise(count)
    found = aligner.align(pcm, WORDS, "en")
    assert sorted(found) == [0, 1, 3, 4], "a word without letters is not found"
    borders = [0, *(time for index in sorted(found) for time in found[index]), count]
    assert borders == sorted(borders)
    assert all(end > start for start, end in found.values())
    assert len(fill_word_times(WORDS, found, 0, count)) == len(WORDS)
    assert aligner.align(pcm, WORDS, "en") == found


ALPHABET = Alphabet({"a": 1, "b": 2, "C": 3}, blank=0, delimiter=4)


def frames(text: str, alphabet: Alphabet = ALPHABET) -> np.ndarray:
    """Emissions of frames written as letters: ``-`` is blank, ``|`` the delimiter."""
    labels = [{**alphabet.labels, "-": 0, "|": 4}[char] for char in text]
    return np.where(np.eye(5)[labels] > 0, np.log(0.96), np.log(0.01)).astype(np.float32)


@pytest.mark.parametrize(
    ("emitted", "words", "spans"),
    [
        ("--aa-b-|-Ca--", ["ab", "ca"], {0: (2, 6), 1: (9, 11)}),
        ("a-a|b", ["AA", "B"], {0: (0, 3), 1: (4, 5)}),
        ("-ab-|-C-", ["a1b", "27", "(c)"], {0: (1, 3), 2: (6, 7)}),
        ("-ab--", ["?", "ab", "!"], {1: (1, 3)}),
        ("ab", ["ab", "c"], {}),
        ("-----", ["?"], {}),
    ],
)
def test_words_are_found_where_their_letters_are(
    emitted: str, words: list[str], spans: dict[int, tuple[int, int]]
) -> None:
    assert word_spans(frames(emitted), words, ALPHABET) == spans


def test_letters_are_spelt_as_the_model_knows_them() -> None:
    assert Alphabet({"a": 1, "B": 2, "'": 3}, blank=0, delimiter=None).spell("A-b’é") == [1, 2, 3]


def test_a_model_without_a_delimiter_needs_none() -> None:
    plain = Alphabet(ALPHABET.labels, blank=0, delimiter=None)
    assert word_spans(frames("-ab--C-"), ["ab", "c"], plain) == {0: (1, 3), 1: (5, 6)}


@pytest.mark.parametrize(("family", "upper"), [("Wav2Vec2", False), ("Hubert", True), ("WavLM", False)])
def test_words_rise_inside_the_clip(family: str, upper: bool, tmp_path: Path) -> None:
    tiny_ctc.write_model(tmp_path, family, upper)
    aligner = kinds.make("asr", config(tmp_path))
    for count in (16_000, 23_457):
        check(aligner, count)


def test_the_alphabet_is_the_models(model: Path) -> None:
    alphabet = ctc.make(config(model))._alphabet
    assert "".join(alphabet.labels) == tiny_ctc.LETTERS
    assert (alphabet.blank, alphabet.delimiter) == (0, tiny_ctc.SPECIAL.index("|"))


def test_frames_are_where_the_model_hears_them(model: Path) -> None:
    """The frame count the aligner expects is the model's, down to the shortest clips it takes."""
    aligner = ctc.make(config(model))
    for count in (400, 719, 720, 721, 16_000):
        assert len(aligner.emissions(noise(count))) == aligner._frames(count)
    for count in (0, 1, 399):
        assert aligner.align(noise(count), ["a"], "en") == {}
    assert aligner.align(noise(720), ["a"], "en").keys() == {0}
    assert aligner.align(noise(720), ["abc"], "en") == {}, "two frames hold no three letters"


def test_a_language_adapter_is_loaded(tmp_path: Path) -> None:
    tiny_ctc.write_adapter_model(tmp_path, "spa")
    aligner = ctc.make(config(tmp_path, adapter="spa"))
    assert aligner.emissions(noise(8000)).shape[1] == 7
    assert aligner.align(noise(8000), ["Ño", "abc"], "es").keys() == {0}
    with pytest.raises(ValueError, match=r"^model: .* cannot be loaded") as error:
        ctc.make(config(tmp_path, adapter="fra"))
    assert "\n" not in str(error.value)


def test_nothing_is_fetched(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"tried to connect to {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    check(ctc.make(config(model)), 16_000)


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def shorten_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:999])


def of_another_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")


def telephone(folder: Path) -> None:
    described = folder / "preprocessor_config.json"
    described.write_text(described.read_text(encoding="utf-8").replace("16000", "8000"), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (remove_weights, r"lacks \*.safetensors"),
        (shorten_weights, "cannot be loaded"),
        (of_another_kind, "cannot be loaded"),
        (telephone, "does not hear 16 kHz samples"),
    ],
)
def test_a_folder_that_holds_no_such_model_is_refused_in_one_line(
    damage: Callable[[Path], None], complaint: str, tmp_path: Path
) -> None:
    tiny_ctc.write_model(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=f"^model: .*{complaint}") as error:
        ctc.make(config(tmp_path))
    assert "\n" not in str(error.value)


def test_the_environment_names_the_model_where_the_recipe_does_not(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTC_MODEL", "/nowhere")
    with pytest.raises(ValueError, match="no folder /nowhere; set CTC_MODEL"):
        ctc.make(config(None))
    assert [need.found for need in ctc.needs(config(None))][-1] == ""
    monkeypatch.setenv("CTC_MODEL", str(model))
    check(ctc.make(config(None)), 16_000)
    assert all(need.found for need in ctc.needs(config(None)))


@pytest.mark.parametrize("module", ["torch", "transformers"])
def test_a_missing_package_is_named_with_the_remedy(module: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"pip install 'duplexkit\[ctc\]'"):
        ctc.make(config(model))


def test_a_failing_device_is_the_machines_fault(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = ctc.make(config(model))

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(aligner._model, "forward", fail)
    with pytest.raises(OSError, match=r"failed: CUDA out of memory\. Tried to allocate 2 GiB"):
        aligner.align(noise(8000), ["a"], "en")


def test_only_what_changes_times_is_part_of_the_identity(model: Path) -> None:
    assert ctc.revision(config(model)).endswith(", tiny")
    assert "model" in Config.aside
    assert not {"model_revision", "adapter"} & Config.aside
