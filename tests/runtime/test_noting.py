"""The user's words, read from the main stream's hidden states."""

from __future__ import annotations

import asyncio

import numpy as np
import torch

from tests.runtime.talker import TEXTS, alone, fed, sound
from tests.trainer.tiny_preset import tiny
from trainer.model.fastpath import FastPath
from trainer.runtime.engine import Engine
from trainer.runtime.engine.noting import written

PIECES = {0: "", 1: "", 5: " could", 6: " you", 7: "ing", 8: " Could", 9: " go"}
CONTROLS = (0, 1)


def heard(*ticks: dict[int, float]) -> list[int]:
    """Of ticks with the given probabilities."""
    logits_KV = torch.full((len(ticks), 10), -20.0)
    for tick, chances in enumerate(ticks):
        for token, chance in chances.items():
            logits_KV[tick, token] = float(np.log(chance))
    return written(logits_KV, CONTROLS, lambda token: PIECES[token])


def test_a_tick_gives_the_words_that_end_in_it() -> None:
    assert heard({0: 0.9}, {5: 0.8, 0: 0.2}, {1: 0.9}, {6: 0.6, 5: 0.2}) == [5, 6]


def test_two_that_share_a_tick_are_both_written() -> None:
    assert heard({5: 0.5, 6: 0.5}) == [5, 6]
    assert heard({5: 0.6, 6: 0.4}, {0: 1.0}) == [5, 6]


def test_the_rest_of_a_word_comes_before_the_next_word() -> None:
    assert heard({9: 0.9}, {6: 0.55, 7: 0.45}) == [9, 7, 6]
    assert heard({0: 0.9}, {7: 0.55, 9: 0.45}) == [9, 7]


def test_a_word_between_two_ticks_is_written_once() -> None:
    assert heard({5: 0.9}, {8: 0.9}, {6: 0.9}) == [5, 6]
    assert heard({5: 0.9}, {0: 0.9}, {5: 0.9}) == [5, 5]


def test_nothing_is_heard_in_silence() -> None:
    assert heard() == heard({0: 1.0}, {1: 1.0}) == []


def test_the_engine_reads_what_the_main_stream_has_in_mind() -> None:
    preset = tiny()
    preset = preset.model_copy(update={"duplex": preset.duplex.model_copy(update={"notes": 0.5})})
    fast = FastPath.begin(preset, TEXTS, seed=1).eval()
    assert fast.noted is not None
    ticks = 9

    async def main() -> list[str]:
        engine = Engine(fast, sessions=1, inline=True)
        row = engine.open()
        for samples_N, token in zip(sound(ticks), fed(ticks), strict=True):
            await engine.tick(row, samples_N, token)
        return [await engine.transcribe(row, 2, 5), await engine.transcribe(row, 20, 5)]

    steps, _ = alone(sound(ticks), fed(ticks), fast)
    hidden_KD = torch.cat([step.hidden_BD for step in steps[2:7]])
    with torch.inference_mode():
        logits_KV = fast.duplex.logits(fast.noted(hidden_KD))
    tokens = written(logits_KV, fast.tokens.ids, lambda token: fast.decode([token]))
    assert asyncio.run(main()) == [" ".join(fast.decode(tokens).split()), ""]
