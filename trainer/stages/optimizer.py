"""What moves the weights: AdamW, or Muon for the matrices and AdamW for the rest.

Muon (K. Jordan, 2024) makes every update of a matrix orthogonal. From random weights 100 of its steps do what 400 of
AdamW's do for transcription (embedded preset, batches of 60 s).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

BETAS = (0.9, 0.98)
MIN_SIDE = 64
"""Of a matrix for Muon; a head over a few letters is narrower."""


def optimizer(model: nn.Module, lr: float, weight_decay: float, muon: bool) -> Optimizer:
    """The optimiser of all parameters that learn; biases and norms do not decay."""
    learning = [p for p in model.parameters() if p.requires_grad]
    matrices = _matrices(model) if muon else set()
    others = [p for p in learning if id(p) not in matrices]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rest = AdamW(groups, lr=lr, betas=BETAS)
    hidden = [p for p in learning if id(p) in matrices]
    if not hidden:
        return rest
    # Updates as long as AdamW's, so that one learning rate serves both.
    return Both(Muon(hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"), rest)


def _matrices(model: nn.Module) -> set[int]:
    """Weights of linear layers between hidden states; those that read or give tokens and letters are not among them."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    linear = (m.weight for m in model.modules() if isinstance(m, nn.Linear))
    return {id(w) for w in linear if min(w.shape) >= MIN_SIDE and id(w) not in tables}


class Both(Optimizer):
    """Two optimisers as one; learning-rate schedules see the groups of both."""

    def __init__(self, first: Optimizer, second: Optimizer) -> None:
        self.parts = (first, second)
        super().__init__([{"params": [p for part in self.parts for g in part.param_groups for p in g["params"]]}], {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of both."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What ``state_dict`` gave."""
        for part, state in zip(self.parts, cast(list[dict[str, Any]], state_dict["parts"]), strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
