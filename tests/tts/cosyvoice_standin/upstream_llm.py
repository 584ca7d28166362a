"""Stands in for ``cosyvoice.llm.llm`` without torch: hidden states are means over what the mask lets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

OPTIONS = json.loads((Path(__file__).parents[2] / "standin.json").read_text())
WIDTH = 8


class Qwen2Encoder:
    """One layer of causal averaging, with a key-value cache of tuples."""

    def __init__(self, pretrain_path: str) -> None:
        self.model = SimpleNamespace(config=SimpleNamespace(hidden_size=WIDTH))

    def forward_one_step(self, xs: Any, masks: Any, cache: Any = None) -> tuple[Any, Any]:
        """The last row of ``masks`` says what may be seen; as long as the new tokens alone, as the original passes it,
        a new stack takes it for the beginning of the cache."""
        past = np.zeros((0, WIDTH), np.float32) if cache is None else cache[0][0][0, 0]
        keys = np.concatenate([past, xs[0]])
        seen = np.ones(len(keys), bool)
        row = masks[:, -1, :][0]
        if len(row) < len(keys) and OPTIONS.get("stack", "old") != "old":
            seen[len(row) :] = False
        if OPTIONS.get("stack") == "hopeless":
            seen[: len(past)] = False
        hidden = [
            own + (keys[:upto] * seen[:upto, None]).mean(axis=0)
            for own, upto in zip(xs[0], range(len(past) + 1, len(keys) + 1), strict=True)
        ]
        return np.stack(hidden)[None], ((keys[None, None], keys[None, None]),)


class Qwen2LM:
    """Draws a token, which depends on the hidden state and on the global random numbers, six times per word."""

    def __init__(self, pretrain_path: str) -> None:
        self.llm = Qwen2Encoder(pretrain_path)

    def inference(self, text: str) -> Iterator[int]:
        codes = np.array([[np.frombuffer(text.encode(), np.uint8)]], np.float32) / 128
        xs = np.repeat(codes.transpose(0, 2, 1), WIDTH, axis=2)
        cache = None
        for _ in range(6 * len(text.split())):
            count = xs.shape[1]
            hidden, cache = self.llm.forward_one_step(xs, np.tril(np.ones((1, count, count), bool)), cache)
            draw = np.random.random()  # noqa: NPY002  (global, like the original)
            yield int(1000 * abs(hidden[0, -1, 0]) + 5000 * draw) % 6561
            xs = hidden[:, -1:]
