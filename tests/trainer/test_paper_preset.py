"""The paper's preset has the numbers of the paper's model, and learns what the published one learned.

A step of it takes 12 GB: ``python -m tests.benchmarks step``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.helpers import samples
from tests.trainer.published_lm import Counts, paper, shape
from trainer.model.duplex import Duplex
from trainer.model.fastpath import LETTERS, FastPath
from trainer.model.tower import Tower
from trainer.presets import PAPER, Freezing
from trainer.stages.run import freeze
from trainer.tokens import add_control_tokens

COUNTS = Counts()
BLOCK = 13_646_848
"""Of the encoder."""
OTHERS = COUNTS.special + 1024 * (len(LETTERS) + 1) + len(LETTERS) + 1
"""The two that belong to no part: the special embedding, and the letters of the auxiliary loss."""


@pytest.fixture(scope="module")
def path() -> FastPath:
    """Without weights."""
    tokenizer = AutoTokenizer.from_pretrained(samples() / "tokenizer" / "qwen2")
    control = add_control_tokens(tokenizer, eos=PAPER.eos)
    config = shape()
    config.vocab_size = control.vocabulary
    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(config)
        llm.tie_weights()
        return FastPath(PAPER, Tower(PAPER.tower), Duplex(llm, control), tokenizer)


def size(module: nn.Module, learning: bool = False) -> int:
    return sum(value.numel() for value in module.parameters() if value.requires_grad or not learning)


def test_the_counts_of_the_published_model(path: FastPath) -> None:
    found = Counts(
        encoder=size(path.tower.encoder),
        adapter=size(path.tower.adapter),
        llm=size(path.duplex.llm),
        special=path.duplex.adapter_special_embedding.numel(),
    )
    assert found == COUNTS
    assert size(path) == COUNTS.whole + size(path.letters)


def test_control_tokens_have_the_ids_of_the_published_checkpoint(path: FastPath) -> None:
    assert path.tokens.added == tuple(range(151_665, 151_671))
    assert path.tokens.eos == 151_643
    assert path.tokens.vocabulary == 151_671


@pytest.mark.parametrize(
    ("what", "learns"),
    [
        (PAPER.encoder.freeze, 12 * BLOCK + COUNTS.adapter + OTHERS),
        (PAPER.duplex.freeze, 12 * BLOCK + COUNTS.adapter + COUNTS.llm + OTHERS),
        ("nothing", COUNTS.encoder + COUNTS.adapter + COUNTS.llm + OTHERS),
    ],
)
def test_what_learns_in_either_stage(path: FastPath, what: Freezing, learns: int) -> None:
    freeze(path, what)
    assert size(path, learning=True) == learns


def test_a_short_form_differs_in_length_alone(tmp_path: Path) -> None:
    short = paper(tmp_path, 2.0)
    assert (short.tower, short.eos, short.rules, short.weights) == (PAPER.tower, PAPER.eos, PAPER.rules, PAPER.weights)
    assert short.encoder.freeze == PAPER.encoder.freeze
    assert (short.duplex.lr, short.duplex.steps) == (PAPER.duplex.lr, 1)
