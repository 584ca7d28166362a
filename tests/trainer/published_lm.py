"""A language model of the published shape with random weights, as a folder that a preset can name."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from datagen.core.types import Strict
from trainer.model._llm import PretrainedLlm
from trainer.presets import PAPER, Preset

ROWS = 151_936
"""Of the published embedding; more than the tokenizer has tokens."""


class Counts(Strict):
    """Parameters (MODEL-SPEC sections 2, 3, 4 and 13)."""

    encoder: int = 357_950_464
    adapter: int = 24_917_888
    llm: int = 493_795_328
    """With one row per token: 151,665 and six control tokens."""
    special: int = 896
    """``adapter_special_embedding``."""

    @property
    def whole(self) -> int:
        """Of all but the auxiliary letters."""
        return self.encoder + self.adapter + self.llm + self.special


def shape() -> Qwen2Config:
    """Qwen2.5-0.5B."""
    return Qwen2Config(
        vocab_size=ROWS,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        bos_token_id=151_643,
        eos_token_id=151_643,
    )


def save(folder: Path, tokenizer: Path) -> Path:
    """Weights in bfloat16, as published, and a copy of the tokenizer's files. Takes 1 GB."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Qwen2ForCausalLM._from_config(shape(), dtype=torch.bfloat16).save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder / file.name)
    return folder


def paper(folder: Path, seconds: float = 300.0) -> Preset:
    """The preset with its language model from a folder, and one step of batches so short in either stage."""
    short = {"steps": 1, "batch_seconds": seconds, "accumulate": 1}
    return PAPER.model_copy(
        update={
            "llm": PretrainedLlm(name=str(folder)),
            "encoder": PAPER.encoder.model_copy(update=short),
            "duplex": PAPER.duplex.model_copy(update=short),
        }
    )
