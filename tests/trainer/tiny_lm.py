"""Small duplex models: one of the numeric references, and random ones of several families."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from tests.trainer.references import references
from trainer.model.duplex import Duplex, RandomLlm, build_llm
from trainer.tokens import ControlTokens

WIDTH = 16
TOKENS = ControlTokens(pad=50, bos=51, sil=52, boc=53, hod=54, stp=55, eos=0, vocabulary=56)
SHAPE = RandomLlm(hidden=WIDTH, layers=2, heads=4, kv_heads=2, ffn=32)
REFERENCE_TOKENS = ControlTokens(pad=0, bos=1, eos=2, stp=3, boc=4, sil=5, hod=6, vocabulary=200)

FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "llama": {},
    "mistral": {"sliding_window": 6},
    "gemma3_text": {"head_dim": 8, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 128},
}
"""Rotary and learned positions, full and sliding attention, scaled embeddings."""


def random_llm(family: str, **extra: Any) -> PreTrainedModel:
    """Two layers, 16 wide; its weights are larger than usual so that differences show."""
    shape = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if family == "gpt2":
        shape = {}
    config = AutoConfig.for_model(
        family, **{**shape, "num_key_value_heads": 2, "vocab_size": TOKENS.vocabulary, **FAMILIES[family], **extra}
    )
    config.pad_token_id = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        llm = AutoModelForCausalLM.from_config(config).eval()
        for weight in llm.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return llm


@cache
def tiny() -> Duplex:
    """A random Qwen2."""
    return Duplex(random_llm("qwen2"), TOKENS).eval()


def embedding_of(llm: PreTrainedModel) -> Tensor:
    """The rows of the model's tokens."""
    weight = llm.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


def speech(rows: int, ticks: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Speech vectors and fed-back tokens."""
    draw = torch.Generator().manual_seed(seed)
    speech_BKD = torch.randn(rows, ticks, WIDTH, generator=draw)
    return speech_BKD, torch.randint(0, TOKENS.vocabulary, (rows, ticks), generator=draw)


def numbers() -> dict[str, Any]:
    """The reference's configuration, losses and drafts."""
    return json.loads((references() / "s2s_tiny.json").read_text())


def tensors() -> dict[str, Tensor]:
    """Its inputs and outputs."""
    return load_file(references() / "s2s_tiny_io.safetensors")


def state_file() -> Path:
    """All its weights, under their public names."""
    return references() / "s2s_tiny_state.safetensors"


def weights() -> dict[str, Tensor]:
    """What that file holds."""
    return load_file(state_file())


def reference() -> Duplex:
    """The language model of the reference."""
    shape = {k: v for k, v in numbers()["llm"].items() if k not in ("transformers_version", "architectures", "dtype")}
    duplex = Duplex(Qwen2ForCausalLM(Qwen2Config(**shape)), REFERENCE_TOKENS)
    own = {name: tensor for name, tensor in weights().items() if name.startswith(("llm.", "adapter_special"))}
    missing = duplex.load_state_dict(own, strict=False)
    assert missing.missing_keys == ["llm.lm_head.weight"], "the head is tied to the embedding"
    assert not missing.unexpected_keys
    return duplex.eval()


def built(**changes: Any) -> Duplex:
    """A model from a recipe's shape."""
    return Duplex(build_llm(SHAPE.model_copy(update=changes), TOKENS), TOKENS)
