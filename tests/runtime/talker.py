"""A fast path that is small, and whose random weights are large enough for its past to matter."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from datagen.core.units import FRAME_SAMPLES
from tests.trainer.tiny_preset import tiny
from trainer.firing import Seen
from trainer.model.duplex import Step
from trainer.model.fastpath import FastPath
from trainer.model.seeing import seen
from trainer.model.state import LMState

T = TypeVar("T")
TEXTS = ("Where are you going today?", "I am going home, and you?", "mm-hmm", "Turn the light on, please.")


@cache
def talker() -> FastPath:
    """In evaluation mode; read it only."""
    fast = FastPath.begin(tiny(), TEXTS, seed=1).eval()
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in fast.duplex.llm.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.4, generator=draw)
        # Speech as loud as tokens, which are a normal row each.
        for parameter in fast.tower.adapter.stages[-1].parameters():
            parameter.mul_(40 if parameter.ndim > 1 else 1)
    return fast


def sound(ticks: int, seed: int = 0) -> list[npt.NDArray[np.float32]]:
    """So many ticks of noise with a moving level."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.001, 0.3, size=(ticks, 1))
    return list(np.clip(rng.normal(size=(ticks, FRAME_SAMPLES)) * level, -1, 1).astype(np.float32))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """In a loop of its own; what hangs ends after a minute."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@torch.inference_mode()
def alone(
    samples: Sequence[npt.NDArray[np.float32]], tokens: Sequence[int], fast: FastPath | None = None
) -> tuple[list[Step], list[Seen]]:
    """What the model gives tick by tick, one conversation on its own."""
    fast, state = fast or talker(), LMState()
    heard, steps = fast.tower.start(), []
    for tick_N, token in zip(samples, tokens, strict=True):
        speech_BD, heard = fast.tower.step(torch.from_numpy(tick_N)[None], heard)
        steps.append(fast.duplex.step(speech_BD, torch.tensor([token]), state))
        state = steps[-1].state
    return steps, [seen(step.logits_BV, fast.tokens)[0] for step in steps]


def fed(ticks: int, seed: int = 0) -> list[int]:
    """Tokens as a history: any of the vocabulary, half of them silence."""
    rng = np.random.default_rng(seed)
    tokens = talker().tokens
    some = rng.integers(0, tokens.vocabulary, ticks)
    return np.where(rng.random(ticks) < 0.5, tokens.sil, some).tolist()
