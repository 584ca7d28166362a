"""The benchmark's server is one to learn from only if it does what it counts."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from datagen.core.audio import active_power, from_pcm16
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Engine, Unspoken
from datagen.tts import cosyvoice_http, openai_speech
from tests.benchmarks.speaking import SOUND, TRANSPORT, Running, faults, running
from tests.tts.cloning import prompt, voice

QUICK = {"timeout_s": 3.0, "backoff_s": 0.001, "attempts": 1, "patience": 10_000}


def engines(server: Running) -> dict[bool, Engine]:
    """By whether they are answered with floats."""
    raw = {"kind": "cosyvoice_http", "model": "m", "url": server.url} | QUICK
    floats = {"kind": "openai_speech", "model": "m", "url": server.url} | QUICK
    return {
        False: cosyvoice_http.make(cosyvoice_http.Config.model_validate(raw)),
        True: openai_speech.make(openai_speech.Config.model_validate(floats)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("is_float", [False, True])
def test_every_fault_is_met_and_counted_and_the_engine_refuses_exactly_those_of_the_answer(
    tmp_path: Path, is_float: bool
) -> None:
    who = voice(prompt(tmp_path))
    texts = [f"This is text number {n}." for n in range(90)]
    with running(share=0.7, seed=3) as server:
        engine = engines(server)[is_float]

        def outcome(text: str) -> str:
            try:
                engine.synthesize(text, who, 1)
            except Unspoken:
                return "refused"
            return "spoken"

        with ThreadPoolExecutor(16) as pool:
            outcomes = Counter(pool.map(outcome, texts))
        counts = server.counts()
        assert sum(counts.values()) == len(texts)
        assert counts.keys() == {"good", *faults(is_float)}
        assert outcomes["refused"] == sum(n for fault, n in counts.items() if fault in (*TRANSPORT, "nan"))
        assert outcomes["spoken"] == sum(counts.get(fault, 0) for fault in ("good", *SOUND))


def test_the_same_texts_give_the_same_counts_and_clips_like_speech(tmp_path: Path) -> None:
    who = voice(prompt(tmp_path))

    def once() -> npt.NDArray[np.int16]:
        with running(share=0.0) as server:
            pcm = engines(server)[False].synthesize("One two three four five.", who, 1).pcm
            assert server.counts() == {"good": 1}
        return pcm

    pcm = once()
    np.testing.assert_array_equal(once(), pcm)
    assert pcm.size == pytest.approx(2.3 * SAMPLE_RATE, abs=2)
    words = [(round((0.2 + 0.4 * n) * SAMPLE_RATE), round((0.4 + 0.4 * n) * SAMPLE_RATE)) for n in range(5)]
    signal = from_pcm16(pcm)
    assert active_power(signal, words) > 300 * active_power(signal, [(0, 2_000)])
    assert 0.1 < np.abs(signal).max() < 0.9
