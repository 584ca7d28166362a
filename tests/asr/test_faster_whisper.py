"""The recogniser and aligner with a real model of random weights: offline, always the same, times inside the clip."""

from __future__ import annotations

import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.asr import faster_whisper
from datagen.asr.faster_whisper import Config, Whisper
from datagen.core.audio import Pcm
from datagen.kinds import Heard
from tests.asr import tiny_whisper

pytest.importorskip("rapidfuzz")
pytest.importorskip("text_to_num")


def config(**changes: object) -> Config:
    fields = {"kind": "faster_whisper", "model": str(tiny_whisper.model()), "model_revision": "tiny", **changes}
    return Config.model_validate(fields)


@cache
def whisper() -> Whisper:
    return kinds.make("asr", config())


def clip(seed: int, count: int = 24_000) -> Pcm:
    """Noise in bursts, another one for every seed."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 9000, count // 800 + 1), 800)[:count]
    return (rng.standard_normal(count) * loud).clip(-32_768, 32_767).astype(np.int16)


def check(heard: Heard, size: int) -> None:
    borders = [0, *(time for _, start, end in heard.words for time in (start, end)), size]
    assert borders == sorted(borders)
    assert all(isinstance(time, int) for time in borders)
    assert all(word and word == word.strip() for word, _, _ in heard.words)


@given(st.one_of(st.integers(1, 2000), st.integers(1, 60_000)), st.integers(0, 99))
@example(160, 0)
@settings(max_examples=12)
def test_words_rise_inside_the_clip(count: int, seed: int) -> None:
    check(whisper().transcribe(clip(seed, count), "en"), count)


def test_long_clips_and_silence_are_heard_too() -> None:
    for pcm in (clip(1, 16_000 * 33), np.zeros(9000, np.int16)):
        check(whisper().transcribe(pcm, "en"), pcm.size)
    assert whisper().transcribe(clip(1, 0), "en").words == ()


def test_the_same_samples_are_always_heard_the_same_way() -> None:
    first = [whisper().transcribe(clip(n), "en") for n in range(4)]
    assert len({heard.text for heard in first}) > 1, "the model does listen"
    again = faster_whisper.make(config())
    assert [again.transcribe(clip(n), "en") for n in reversed(range(4))] == first[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: whisper().transcribe(clip(n), "en"), range(4))) == first


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"tried to connect to {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    check(faster_whisper.make(config()).transcribe(clip(3), "en"), 24_000)


@pytest.mark.parametrize("lacking", ["model.bin", "config.json", "tokenizer.json"])
def test_an_incomplete_model_is_refused_and_not_fetched(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", None)
    folder = shutil.copytree(tiny_whisper.model(), tmp_path / "model")
    (folder / lacking).unlink()
    broken = config(model=str(folder))
    with pytest.raises(ValueError, match=f"lacks {lacking}.*hf download") as error:
        faster_whisper.make(broken)
    assert "\n" not in str(error.value)
    assert [need.found for need in faster_whisper.needs(broken)][-1] == ""


def test_a_damaged_model_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_whisper.model(), tmp_path / "model")
    weights = folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"^model: .* cannot be loaded") as error:
        faster_whisper.make(config(model=str(folder)))
    assert "\n" not in str(error.value)


def test_a_model_of_other_mel_bands_wants_its_own_file(tmp_path: Path) -> None:
    tiny_whisper.write_model(tmp_path / "model", mels=128)
    other = config(model=str(tmp_path / "model"))
    check(faster_whisper.make(other).transcribe(clip(1), "en"), 24_000)
    (tmp_path / "model" / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="wants 128 mel bands"):
        faster_whisper.make(other)


def test_the_environment_names_the_model_where_the_recipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPER_MODEL", raising=False)
    nowhere = config(model=None)
    with pytest.raises(ValueError, match="set WHISPER_MODEL"):
        faster_whisper.make(nowhere)
    found = {need.name: need for need in faster_whisper.needs(nowhere)}
    assert found["model of faster_whisper"].found == ""
    assert "WHISPER_MODEL" in found["model of faster_whisper"].remedy
    assert found["package faster-whisper"].found
    monkeypatch.setenv("WHISPER_MODEL", str(tiny_whisper.model()))
    assert faster_whisper.make(nowhere).transcribe(clip(1), "en") == whisper().transcribe(clip(1), "en")
    assert all(need.found for need in faster_whisper.needs(nowhere))


@pytest.mark.parametrize("module", ["faster_whisper", "rapidfuzz", "text_to_num"])
def test_a_missing_package_is_named_with_the_remedy(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"pip install 'duplexkit\[asr\]'"):
        faster_whisper.make(config())


def test_a_language_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'xx'.*en, "):
        whisper().transcribe(clip(1), "xx")
    assert whisper().transcribe(clip(1), "en-GB") == whisper().transcribe(clip(1), "en")


def test_a_failing_device_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = faster_whisper.make(config())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failed with error\nout of memory")

    monkeypatch.setattr(loaded._model, "encode", fail)
    with pytest.raises(OSError, match="failed: CUDA failed with error out of memory"):
        loaded.transcribe(clip(1), "en")


def test_without_word_times_the_same_words_share_the_time_of_the_clip() -> None:
    plain = faster_whisper.make(config(word_times=False))
    heard = [plain.transcribe(clip(n), "en") for n in range(6)]
    for n, one in enumerate(heard):
        check(one, 24_000)
        assert one.text == whisper().transcribe(clip(n), "en").text
    assert any(one.words for one in heard)


@given(st.lists(st.integers(1, 1600), max_size=4))
@settings(max_examples=20)
def test_windows_part_a_clip_where_it_is_quiet(seconds_apart: list[int]) -> None:
    """A clip of full noise with gaps of 0.4 s."""
    pcm = clip(0, 16_000 * 100).astype(np.int16) | 1024
    starts = [at * 1000 for at in seconds_apart]
    for at in starts:
        pcm[at : at + 6400] = 0
    windows = list(faster_whisper._windows(pcm))
    assert [0, *(stop for _, stop in windows)] == [*(start for start, _ in windows), pcm.size]
    assert all(0 < stop - start <= 480_000 for start, stop in windows)
    for start, stop in windows[:-1]:
        reachable = [at for at in starts if start + 240_000 <= at <= start + 480_000 - 6400]
        assert not reachable or any(at <= stop <= at + 6400 for at in starts)


def test_what_was_heard_is_aligned_where_it_was_heard() -> None:
    heard = {n: whisper().transcribe(clip(n), "en") for n in range(8)}
    spoken = {n: one for n, one in heard.items() if len(one.words) > 3}
    assert len(spoken) > 2
    for n, one in spoken.items():
        words = [word for word, _, _ in one.words]
        spans = {index: (start, end) for index, (_, start, end) in enumerate(one.words)}
        assert whisper().align(clip(n), words, "en") == spans
        with_another = whisper().align(clip(n), [*words[:2], "Nevertheless,", *words[2:]], "en")
        assert with_another == {index + (index >= 2): span for index, span in spans.items()}


def test_only_what_changes_words_is_part_of_the_identity() -> None:
    assert faster_whisper.revision(config()).endswith(", tiny")
    assert {"model", "cpu_threads"} <= Config.aside
    assert not {"model_revision", "beam_size", "compute_type"} & Config.aside
    with pytest.raises(ValueError, match="model_revision"):
        Config.model_validate({"kind": "faster_whisper"})
