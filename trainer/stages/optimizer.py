"""What moves the weights: AdamW, or Muon for the matrices and AdamW for the rest.

Muon (K. Jordan, 2024) makes every update of a matrix orthogonal. From random weights 100 of its steps do what 400 of
AdamW's do for transcription (embedded preset, batches of 60 s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

BETAS = (0.9, 0.98)
MIN_SIDE = 64
"""Of a matrix for Muon; a head over a few letters is narrower."""
_QUINTIC, _ROUNDS = (3.4445, -4.7750, 2.0315), 5
"""Of the iteration that makes a matrix orthogonal (K. Jordan)."""


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
    return Both(Muon(hidden, lr, weight_decay), rest)


def _matrices(model: nn.Module) -> set[int]:
    """Weights of linear layers and convolutions between hidden states; those that read or give tokens and letters are
    not among them."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    weights = (m.weight for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d))
    return {id(w) for w in weights if min(w.flatten(1).shape) >= MIN_SIDE and id(w) not in tables}


class Muon(Optimizer):
    """The update of a matrix is its momentum made orthogonal (Newton and Schulz's iteration in bfloat16, the published
    constants), as long as an update of AdamW. A convolution counts as the matrix of its outputs.

    Matrices of one shape are worked on together: 70 small ones of the embedded preset take two CPU cores 75 ms, one by
    one, as ``torch.optim.Muon`` has it, 150 ms.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.0, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(tuple(weight.flatten(1).shape), []).append(weight)
            for shape, weights in alike.items():
                updates = _orthogonal(torch.stack([self._direction(w, group["momentum"]) for w in weights]))
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.view_as(weight), alpha=-rate)
        return loss

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        """Nesterov's, as a matrix in bfloat16."""
        assert weight.grad is not None
        state = self.state[weight]
        mean = state.setdefault("momentum_buffer", torch.zeros_like(weight))
        mean.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum).flatten(1).bfloat16()


def _orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (count x rows x columns) with singular values near 1 and the same singular vectors."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    one, three, five = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=three, alpha=five), x, beta=one)
    return x.mT if tall else x


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
