"""The duplex language model: at every tick it hears one speech vector and its own last token, and emits a token.

Shape suffixes: B batch, K ticks (160 ms), D model width, V vocabulary.

    speech_t + E(token_{t-1})  ->  causal language model  ->  token_t           token_{-1} = [SIL]

Sequences are padded on the right: nothing before the padding sees it, so no mask is needed, only labels that ignore it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.model._llm import QWEN25_05B, LlmConfig, PretrainedLlm, RandomLlm, build_llm, fit_vocabulary
from trainer.model.state import LMState, cache_of, state_of
from trainer.tokens import ControlTokens

__all__ = [
    "QWEN25_05B",
    "Duplex",
    "LlmConfig",
    "Output",
    "PretrainedLlm",
    "RandomLlm",
    "Step",
    "build_llm",
    "fit_vocabulary",
    "previous_tokens",
]


class Output(NamedTuple):
    """What a whole stretch of ticks gives."""

    logits_BKV: Tensor
    hidden_BKD: Tensor
    """After the final norm: what the head sees, and the verifier."""


class Step(NamedTuple):
    """What one tick gives."""

    logits_BV: Tensor
    hidden_BD: Tensor
    """After the final norm."""
    state: LMState


def previous_tokens(token_BK: Tensor, tokens: ControlTokens) -> Tensor:
    """What each tick is fed: the token of the tick before, [SIL] first."""
    return torch.cat([torch.full_like(token_BK[:, :1], tokens.sil), token_BK[:, :-1]], dim=1)


class Duplex(nn.Module):
    """A causal language model of transformers, fed with sums of speech vectors and token embeddings.

    Args:
        llm: any causal language model with keys and values per layer and a linear head, one row per token.
        tokens: the control tokens; their vocabulary must be the model's.
        compute: the type of the matrix products where it is not the weights': ``torch.bfloat16`` over float32 master
            weights trains at half the memory traffic without losing small updates (at a weight of 0.02 half a bfloat16
            step is 6e-5, more than an Adam step of 3e-5). None: computes in the type of the weights, so
            ``duplex.to(torch.bfloat16)`` runs wholly in bfloat16.

    The parameters' names are those of the public checkpoints: ``llm.*`` and ``adapter_special_embedding``.
    """

    def __init__(self, llm: PreTrainedModel, tokens: ControlTokens, compute: torch.dtype | None = None) -> None:
        super().__init__()
        self.llm = llm
        self.tokens = tokens
        self.compute = compute
        self._check()
        draw = torch.Generator().manual_seed(0)
        start_D = (2 * torch.rand(self.width, generator=draw) - 1) * self.width**-0.5
        self.adapter_special_embedding = nn.Parameter(start_D.to(self.embedding.weight))
        """Parts speech from text in the transcription stage; uniform within +-sqrt(1/D) at the start."""

    @property
    def embedding(self) -> nn.Embedding:
        """Token embeddings, one row per token."""
        return cast(nn.Embedding, self.llm.get_input_embeddings())

    @property
    def head(self) -> nn.Linear:
        """From hidden states to logits; where it is tied, its weight is the embedding's."""
        return cast(nn.Linear, self.llm.get_output_embeddings())

    @property
    def width(self) -> int:
        """Of speech vectors and hidden states."""
        return self.embedding.embedding_dim

    def forward(self, speech_BKD: Tensor, previous_BK: Tensor) -> Output:
        """Logits for every tick, given the tokens of the ticks before (``previous_tokens`` of the labels)."""
        hidden_BKD = self.run(self._fused(speech_BKD, previous_BK))
        return Output(self.logits(hidden_BKD), hidden_BKD)

    def run(self, input_BKD: Tensor) -> Tensor:
        """Hidden states after the final norm, for inputs that are ready."""
        with self._casting():
            return self.llm.base_model(inputs_embeds=input_BKD, use_cache=False).last_hidden_state

    def logits(self, hidden_BKD: Tensor) -> Tensor:
        """The head alone, for callers that need logits at a few ticks only."""
        with self._casting():
            return self.head(hidden_BKD)

    @torch.no_grad()
    def prefill(self, speech_BKD: Tensor, previous_BK: Tensor, state: LMState | None = None) -> tuple[Tensor, LMState]:
        """Hidden states of many ticks at once, and the state after them; no gradients."""
        return self._advance(self._fused(speech_BKD, previous_BK), state or LMState())

    @torch.no_grad()
    def step(self, tick_BD: Tensor, token_B: Tensor, state: LMState) -> Step:
        """One tick: its speech vector and the token of the tick before. ``state`` stays as it is; no gradients."""
        hidden_BKD, after = self._advance(self._fused(tick_BD[:, None], token_B[:, None]), state)
        return Step(self.logits(hidden_BKD[:, 0]), hidden_BKD[:, 0], after)

    def _advance(self, input_BKD: Tensor, state: LMState) -> tuple[Tensor, LMState]:
        new = input_BKD.shape[1]
        cache = cache_of(state, self.llm.config.get_text_config().num_hidden_layers)
        with self._casting():
            output = self.llm.base_model(
                inputs_embeds=input_BKD,
                attention_mask=state.mask_BK(new),
                position_ids=state.positions_BK(new, input_BKD.device),
                past_key_values=cache,
                use_cache=True,
            )
        return output.last_hidden_state, state_of(cache, state)

    def _fused(self, speech_BKD: Tensor, previous_BK: Tensor) -> Tensor:
        if speech_BKD.shape[-1] != self.width:
            raise ValueError(
                f"speech vectors are {speech_BKD.shape[-1]} wide, the language model {self.width}; "
                "set the adapter's output to the language model's hidden size"
            )
        return speech_BKD.to(self.embedding.weight.dtype) + self.embedding(previous_BK)

    def _casting(self) -> AbstractContextManager[object]:
        weight = self.embedding.weight
        if self.compute is None or self.compute == weight.dtype:
            return nullcontext()
        return torch.autocast(weight.device.type, self.compute)

    @torch.no_grad()
    def _check(self) -> None:
        """Refuses models that are not an embedding, a body with a norm at its end, and one plain linear head."""
        embedding, head = self.llm.get_input_embeddings(), self.llm.get_output_embeddings()
        if not isinstance(embedding, nn.Embedding) or not isinstance(head, nn.Linear):
            raise ValueError("llm: the model needs an embedding and a linear head; take a causal language model")
        if embedding.num_embeddings != self.tokens.vocabulary:
            raise ValueError(
                f"llm: {embedding.num_embeddings} rows for a vocabulary of {self.tokens.vocabulary}; "
                "call fit_vocabulary(llm, tokens) first"
            )
        if embedding.weight.is_meta:
            return
        training = self.llm.training
        self.llm.eval()
        input_BKD = embedding.weight[None, :2]
        whole_BKV = self.llm(inputs_embeds=input_BKD, use_cache=False).logits
        same = torch.equal(whole_BKV, self.head(self.llm.base_model(inputs_embeds=input_BKD).last_hidden_state))
        self.llm.train(training)
        if not same:
            raise ValueError(
                f"llm: {type(self.llm).__name__} does more to its logits than a linear head (scaling or capping); "
                "take a Llama, Qwen2 or similar model"
            )
