"""The fast path's weights as the engine runs them: ticks of many rows in one call of the language model.

Shape suffixes: B rows of a call, Q new ticks of a call, N samples, D width, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor
from transformers import AttentionInterface

from trainer.model.duplex import Duplex, Step
from trainer.model.fastpath import FastPath
from trainer.model.packed import packed
from trainer.model.state import LMState
from trainer.model.tower import TowerState
from trainer.runtime.engine.rows import ATTENTION, Rows, attend, cache_of
from trainer.runtime.engine.towers import Towers

Weights = Literal["float32", "bfloat16", "float16", "int8"]

AttentionInterface.register(ATTENTION, attend)

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "int8": 1e-2, "bfloat16": 1e-1}
"""Of hidden states against the model's own step, relative to the largest of them."""


class Model:
    """Tower and language model; ``weights`` see ``Engine``. The fast path itself stays as it is.

    ValueError for a language model whose attention is not what ``rows.attend`` computes.
    """

    def __init__(self, fast: FastPath, weights: Weights) -> None:
        self.fast, self.tokens = fast, fast.tokens
        self.towers = Towers(fast.tower.for_streaming(weights))
        self._duplex = _copy(fast.duplex, weights)
        self._llm = self._duplex.llm
        self._llm.set_attn_implementation(ATTENTION)
        self._tolerance = TOLERANCE[weights]
        strips = self._own_step(self.tokens.sil, LMState()).state.layers
        shapes = {tuple(strip.room_BHKC.shape[i] for i in (1, 3)) for pair in strips for strip in pair}
        if len(shapes) > 1:
            raise ValueError("llm: its layers differ in heads; the engine keeps one room for all of them")
        self._layers, (self._heads, self._channels) = len(strips), next(iter(shapes))

    @property
    def width(self) -> int:
        """Of speech vectors and hidden states."""
        return self._duplex.width

    @property
    def notes(self) -> bool:
        """Whether the user's words can be read from hidden states."""
        return self.fast.noted is not None

    def noted(self, hidden_KD: Tensor) -> Tensor:
        """Logits (K x V) of the user's words that end in some ticks, of the main stream's hidden states there."""
        assert self.fast.noted is not None
        layer = self.fast.noted
        return self.logits(
            torch.nn.functional.linear(hidden_KD.to(layer.weight), layer.weight, layer.bias).to(self.dtype)
        )

    @property
    def special_D(self) -> Tensor:
        """What parts speech from text where the model transcribes."""
        return self._duplex.adapter_special_embedding.to(self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Of the language model's input."""
        return self._duplex.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """Of all weights."""
        return self._duplex.embedding.weight.device

    def rows(self, count: int, room: int) -> Rows:
        """Room for so many rows of so many ticks."""
        like = self._duplex.embedding.weight
        return Rows(self._layers, self._heads, self._channels, count, room, like)

    def hear(self, samples_BN: Tensor, states: Sequence[TowerState]) -> tuple[Tensor, list[TowerState]]:
        """The speech vectors (B x D) of the next tick of some rows, and each row's state after it."""
        speech_BD, after = self.towers.step(samples_BN.to(self.device), states)
        return speech_BD.to(self.dtype), after

    def embed(self, token_B: Sequence[int]) -> Tensor:
        """B x D."""
        return self._duplex.embedding(torch.tensor(token_B, device=self.device))

    def advance(self, rows: Rows, at: Sequence[int], input_BQD: Tensor) -> Tensor:
        """Hidden states (B x Q x D, after the final norm) of the next ticks of some rows, which have them then."""
        new = input_BQD.shape[1]
        spans = rows.spans(at, new)
        first_B1 = torch.tensor([[rows.positions[row]] for row in at], device=self.device)
        hidden_BQD = self._llm.base_model(
            inputs_embeds=input_BQD,
            position_ids=first_B1 + torch.arange(new, device=self.device),
            past_key_values=cache_of(rows, spans),
            use_cache=True,
            spans=spans,
        ).last_hidden_state
        rows.grown(spans, new)
        return hidden_BQD

    def logits(self, hidden_BD: Tensor) -> Tensor:
        """B x V, float32."""
        return self._duplex.logits(hidden_BD).float()

    def check(self) -> None:
        """Two rows of different length against the model's own steps; also wakes every part up before it is needed."""
        rows, own = self.rows(2, 8), LMState()
        silence_D = torch.zeros(self.width, dtype=self.dtype, device=self.device)
        for tick in range(4):
            # Every tick another token: of equal keys any attention makes the same.
            at = [0] if tick == 0 else [0, 1]
            input_BD = silence_D + self.embed([tick, tick + 1][: len(at)])
            hidden_BD = self.advance(rows, at, input_BD[:, None])[:, 0]
            self.logits(hidden_BD)
            step = self._own_step(tick, own)
            own, expected_D = step.state, step.hidden_BD[0].float()
            off = float((hidden_BD[0].float() - expected_D).abs().max() / expected_D.abs().max())
            if not off <= self._tolerance:
                raise ValueError(
                    f"llm: {type(self._llm).__name__} attends in another way than the engine (off by {off:.1e}); take "
                    "a Llama, Qwen2 or similar model"
                )

    def _own_step(self, token: int, state: LMState) -> Step:
        """Of the fast path itself: silence and a token."""
        duplex = self.fast.duplex
        silence_BD = torch.zeros(1, duplex.width, device=duplex.embedding.weight.device)
        return duplex.step(silence_BD, torch.tensor([token], device=silence_BD.device), state)


def _copy(duplex: Duplex, weights: Weights) -> Duplex:
    """A copy with its own settings; in float32 it shares the weights."""
    if weights == "float32":
        shared = [*duplex.parameters(), *duplex.buffers()]
        return cast(Duplex, copy.deepcopy(duplex, {id(tensor): tensor for tensor in shared}))
    return packed(duplex, "bfloat16" if weights == "bfloat16" else "float16")
