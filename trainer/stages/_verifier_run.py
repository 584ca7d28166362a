"""What a run of the verifier's training leaves in its folder, and how a killed one goes on from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datagen.core.types import Strict
from trainer.model.verifier import Verifier

CHECKPOINT, METRICS = "training.pt", "metrics.jsonl"


class EpochMetrics(Strict):
    """What one epoch gave; a line of ``metrics.jsonl``."""

    epoch: int
    learning_rate: float
    loss: float
    """Mean focal loss over the epoch's batches."""
    gradient_norm: float
    """Mean, before clipping."""
    validation_loss: float
    """Cross-entropy in nats, before calibration."""
    auroc: float
    ap_bad: float


def keep(
    folder: Path,
    identity: str,
    verifier: Verifier,
    optimizer: torch.optim.Optimizer,
    history: list[EpochMetrics],
    best: dict[str, Tensor],
) -> None:
    """The checkpoint, then the metrics that belong to it; each whole or not at all."""
    content = {
        "identity": identity,
        "verifier": verifier.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": best,
        "history": [m.model_dump() for m in history],
    }
    aside = folder / f".{CHECKPOINT}.tmp"
    torch.save(content, aside)
    os.replace(aside, folder / CHECKPOINT)
    lines = folder / f".{METRICS}.tmp"
    lines.write_text("".join(m.model_dump_json() + "\n" for m in history), encoding="utf-8")
    os.replace(lines, folder / METRICS)


def resume(
    folder: Path, identity: str, verifier: Verifier, optimizer: torch.optim.Optimizer
) -> tuple[list[EpochMetrics], dict[str, Tensor]]:
    """Loads what a killed run kept; the epochs it finished and its best weights."""
    path = folder / CHECKPOINT
    if not path.exists():
        return [], {}
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if content["identity"] != identity:
        raise ValueError(f"{path} belongs to other settings or data; remove the folder or name another one")
    verifier.load_state_dict(content["verifier"])
    optimizer.load_state_dict(content["optimizer"])
    return [EpochMetrics.model_validate(m) for m in content["history"]], content["best"]


@contextmanager
def tensorboard(folder: Path, wanted: bool) -> Iterator[Callable[[EpochMetrics], None]]:
    """Writes an epoch's figures for TensorBoard, where that is asked for."""
    if not wanted:
        yield lambda _: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "tensorboard: the package is not installed; run: pip install tensorboard, or leave the field false"
        ) from error
    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def log(metrics: EpochMetrics) -> None:
            for name, value in metrics.model_dump(exclude={"epoch"}).items():
                writer.add_scalar(f"verifier/{name}", value, metrics.epoch)

        yield log
