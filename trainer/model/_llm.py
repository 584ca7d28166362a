"""Language models for the duplex head: random ones from a shape, trained ones from a folder or the Hub."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen2Config

from datagen.core.types import Strict
from trainer.tokens import ControlTokens


class RandomLlm(Strict):
    """A language model with random weights, sized in the recipe."""

    kind: Literal["random"] = "random"
    family: Literal["qwen2", "llama"] = "qwen2"
    hidden: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    ffn: int = Field(gt=0)
    tied: bool = True
    """One matrix for embedding and head."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On attention weights, while training."""
    positions: int = Field(default=32_768, gt=0)
    """87 minutes of ticks; rotary positions have no table that could run out."""
    rope_theta: float = Field(default=10_000.0, gt=0)


class PretrainedLlm(Strict):
    """A causal language model of the Hub or of a folder."""

    kind: Literal["pretrained"] = "pretrained"
    name: str = Field(min_length=1)
    """Folder, or name on the Hub (``Qwen/Qwen2.5-0.5B``)."""
    revision: str | None = None
    """Commit on the Hub, so that a recipe keeps its meaning."""
    fresh: Literal["mean", "kept"] = "mean"
    """The control tokens' rows at the start: near the mean of all tokens, or what the checkpoint has in those rows
    (the public code; Qwen2.5 has 271 rows more than tokens, never trained)."""


LlmConfig = RandomLlm | PretrainedLlm

QWEN25_05B = RandomLlm(hidden=896, layers=24, heads=14, kv_heads=2, ffn=4864, rope_theta=1_000_000.0, positions=32_768)
"""The shape of Qwen2.5-0.5B: 493,795,328 parameters with a vocabulary of 151,671."""


def build_llm(config: LlmConfig, tokens: ControlTokens, seed: int = 0) -> PreTrainedModel:
    """The language model in float32 with one row per token of the vocabulary, in evaluation mode.

    Raises ValueError where a shape is impossible or a checkpoint cannot be found.
    """
    if isinstance(config, RandomLlm):
        return _random(config, tokens, seed)
    try:
        llm = AutoModelForCausalLM.from_pretrained(config.name, revision=config.revision, dtype=torch.float32)
    except OSError as error:
        raise ValueError(
            f"llm.name: no causal language model at {config.name!r}; give a folder that holds one, or run: "
            f"hf download {config.name}"
        ) from error
    fit_vocabulary(llm, tokens, fresh=config.fresh, seed=seed)
    return llm.eval()


def fit_vocabulary(
    llm: PreTrainedModel, tokens: ControlTokens, *, fresh: Literal["mean", "kept"] = "mean", seed: int = 0
) -> None:
    """Gives embedding and head one row per token (in place); every token keeps its row, a tied head stays tied.

    Rows that the model does not have, and with ``mean`` also those of the control tokens, start at the mean of the
    others plus a tenth of their spread, drawn from ``seed``: near enough to score like any token, apart enough to be
    told from each other.
    """
    before = len(_matrices(llm)[0])
    if before != tokens.vocabulary:
        # What transformers puts in new rows depends on the global generator; it is replaced below.
        with torch.random.fork_rng(devices=[]):
            llm.resize_token_embeddings(tokens.vocabulary, mean_resizing=False)
    started = {*range(before, tokens.vocabulary), *(tokens.added if fresh == "mean" else ())}
    for weight_VD in _matrices(llm):
        _restart(weight_VD, sorted(started), seed)


def _matrices(llm: PreTrainedModel) -> list[nn.Parameter]:
    """The embedding's weight, and the head's where it is another."""
    found = [m.weight for m in (llm.get_input_embeddings(), llm.get_output_embeddings()) if m is not None]
    return [
        w for k, w in enumerate(found) if isinstance(w, nn.Parameter) and not any(w is other for other in found[:k])
    ]


def _restart(weight_VD: nn.Parameter, rows: list[int], seed: int) -> None:
    if not rows:
        return
    others = torch.ones(len(weight_VD), dtype=torch.bool)
    others[rows] = False
    known_VD = weight_VD.detach()[others.to(weight_VD.device)].float()
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(rows), weight_VD.shape[1], generator=draw).to(known_VD.device)
    with torch.no_grad():
        weight_VD[rows] = (known_VD.mean(0) + 0.1 * known_VD.std(0) * noise).to(weight_VD.dtype)


def _random(config: RandomLlm, tokens: ControlTokens, seed: int) -> PreTrainedModel:
    if config.hidden % config.heads or config.heads % config.kv_heads or config.hidden // config.heads % 2:
        raise ValueError(
            f"llm: hidden {config.hidden}, heads {config.heads}, kv_heads {config.kv_heads}: hidden must be an even "
            "multiple of heads, and heads a multiple of kv_heads"
        )
    family = Qwen2Config if config.family == "qwen2" else LlamaConfig
    shape = family(
        vocab_size=tokens.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.positions,
        tie_word_embeddings=config.tied,
        attention_dropout=config.dropout,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=tokens.eos,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(shape, dtype=torch.float32).eval()
