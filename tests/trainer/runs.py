"""A run to be evaluated: a tiny random fast path, a verifier of drafts whose separability is known, a tiny dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from datagen.core.rng import key
from tests.tiny import Tiny
from tests.trainer.drafts import drafts, stored
from tests.trainer.published import every_row, rows_of, write
from tests.trainer.tiny_preset import tiny
from trainer.evaluate.evaluation import Evaluation
from trainer.evaluate.grading import Answer, Scale
from trainer.model.fastpath import FastPath
from trainer.stages.verifier import VerifierTraining, fit

TRAINING = VerifierTraining(width=16, epochs=2, batch=64, warmup_epochs=1, learning_rate=3e-3)


class Dice:
    """A judge with a lasting opinion on every text, that cannot tell now and then."""

    scale = Scale(judge="the dice", low=2.0, best=5.0, whole=True, meaning="1 to 5, by the text's own dice")

    def sensible(self, asked: Sequence[Answer]) -> list[bool | None]:
        return [bool(a.opening) and key(0, a.opening, "dice") % 3 > 0 for a in asked]

    def quality(self, asked: Sequence[Answer]) -> list[float | None]:
        rolls = [key(0, a.text, "dice") % 6 for a in asked]
        return [None if roll == 0 else float(roll) for roll in rolls]


def with_fast_path(folder: Path, built: Tiny) -> Path:
    """A run without a verifier; its model is sure of itself and prefers words to control tokens."""
    texts = [segment["text_full"] for published in every_row(built) for segment in published["segments"]]
    fast = FastPath.begin(tiny(), texts).eval()
    with torch.no_grad():
        for weight in fast.duplex.llm.parameters():
            weight.mul_(8 if weight.ndim > 1 else 1)
        fast.duplex.embedding.weight[list(fast.tokens.ids)] *= 0.3
    fast.save(folder / "fastpath")
    return folder


def with_verifier(folder: Path) -> Path:
    """The same run with a verifier and test prefixes, of a fast path of the same width."""
    train, validation = (
        stored(folder / "drafts" / name, drafts(count, name, hidden=1.2, margin=0.5)[0])
        for name, count in (("t", 600), ("v", 300))
    )
    fit(train, validation, TRAINING, folder / "kfold/verifier")
    stored(folder / "kfold/prefixes/test", drafts(300, "e", hidden=1.2, margin=0.5, folds=None)[0])
    return folder


def copied(built: Tiny, folder: Path, **changes: Any) -> Path:
    """The dataset without its manifest; a split named in ``changes`` has these rows, or is left out where None."""
    for split in ("train", "validation", "test"):
        rows = changes.get(split, rows_of(built.out, split))
        if rows is not None:
            write(folder, rows, f"data/{split}-00000-of-00001.parquet")
    return folder


def steady(found: Evaluation) -> dict[str, Any]:
    """All figures but the latencies that were measured."""
    figures = json.loads(found.model_dump_json(exclude={"costs"}))
    if figures["systems"]:
        figures["systems"]["times"] = [
            {name: turn[name] for name in ("conversation", "tick", "commit")} for turn in figures["systems"]["times"]
        ]
        for system in figures["systems"]["systems"]:
            if system["name"] != "Cascaded":
                del system["onset"]
    return figures
