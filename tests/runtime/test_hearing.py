"""The recognisers of the runtime."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen import kinds
from trainer.runtime import backends
from trainer.runtime.answering._base import SlowPathError

pytest.importorskip("faster_whisper")

from tests.asr.tiny_whisper import write_model

TICK = 2_560


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whisper") / "model"
    write_model(path)
    return path


def sound(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.random.default_rng(seed).integers(-9_000, 9_000, round(16_000 * seconds)).astype(np.int16)


def whisper(folder: Path, **raw: Any) -> Any:
    config = backends.parse("hearing", {"kind": "faster_whisper", "model": str(folder), "device": "cpu", **raw})
    return backends.make("hearing", config)


def test_whisper_hears_what_the_engine_hears(folder: Path) -> None:
    raw = {"kind": "faster_whisper", "model": str(folder), "model_revision": "x", "device": "cpu", "beam_size": 5}
    engine = kinds.make("asr", kinds.parse("asr", {**raw, "word_times": False}))
    hearing = whisper(folder)
    for seed in range(2):
        text = asyncio.run(hearing.transcribe(sound(1.5, seed), "en"))
        assert text == engine.transcribe(sound(1.5, seed), "en").text
    assert asyncio.run(hearing.transcribe(sound(0), "en")) == ""


def test_whisper_hears_beside_the_event_loop(folder: Path) -> None:
    async def run() -> int:
        beats = 0
        heard = asyncio.create_task(whisper(folder).transcribe(sound(20), "en"))
        while not heard.done():
            await asyncio.sleep(0.001)
            beats += 1
        return beats

    assert asyncio.run(run()) > 5


def test_what_whisper_cannot_hear_is_the_slow_paths_error(folder: Path) -> None:
    with pytest.raises(SlowPathError, match="language 'xx' is not one"):
        asyncio.run(whisper(folder).transcribe(sound(1), "xx"))
    with pytest.raises(SlowPathError, match="the recogniser failed: nothing after 1 ms"):
        asyncio.run(whisper(folder, limit_ms=1).transcribe(sound(25), "en"))


def test_a_cancelled_turn_is_let_go_of_at_once(folder: Path) -> None:
    async def run() -> float:
        heard = asyncio.create_task(whisper(folder).transcribe(sound(25), "en"))
        await asyncio.sleep(0.02)
        began = time.monotonic()
        heard.cancel()
        with pytest.raises(asyncio.CancelledError):
            await heard
        return time.monotonic() - began

    before = threading.active_count()
    assert asyncio.run(run()) < 1
    assert threading.active_count() == before


@pytest.mark.parametrize(("size", "ticks"), [(1, 1), (TICK, 1), (TICK + 1, 2), (10 * TICK, 10)])
def test_the_fast_path_hears_its_own_ticks(size: int, ticks: int) -> None:
    asked = []

    async def transcribe(first_tick: int, count: int) -> str:
        asked.append((first_tick, count))
        return " set a timer \n"

    hearing = backends.make("hearing", backends.parse("hearing", {"kind": "fast_path"}), transcribe=transcribe)
    pcm = np.zeros(size, np.int16)
    assert asyncio.run(hearing.transcribe(pcm, "en", first_tick=7)) == "set a timer"
    assert asyncio.run(hearing.transcribe(pcm[:0], "en", first_tick=7)) == ""
    assert asked == [(7, ticks)]


def test_the_fast_paths_faults_are_the_slow_paths() -> None:
    async def transcribe(first_tick: int, count: int) -> str:
        raise RuntimeError("the row\nis closed")

    hearing = backends.make("hearing", backends.parse("hearing", {"kind": "fast_path"}), transcribe=transcribe)
    with pytest.raises(SlowPathError, match="the recogniser failed: the row is closed"):
        asyncio.run(hearing.transcribe(np.zeros(9, np.int16), "en"))
