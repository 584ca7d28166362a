"""The adapter: four encoder frames (40 ms) to one vector per tick (160 ms) in the width of the language model.

Two stages, each a causal convolution that halves the rate, a norm, GELU and a projection.

Shape suffixes: B batch, E frames that come in, K frames that go out (ticks after the last stage), D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from datagen.core.types import Strict

KERNEL, STRIDE = 5, 2
PAST = KERNEL - 1
"""Frames of the past that a stage keeps."""
NORM_EPS = 1e-3
"""As published; ten times what is common would change the numbers."""


class AdapterConfig(Strict):
    """Shape of an adapter. The published one: width 1024, inner 2048, out 896."""

    width: int = Field(ge=1)
    """Of the encoder's frames; also what the first stage gives."""
    inner: int = Field(ge=1)
    """Channels between a stage's convolution and its projection."""
    out: int = Field(ge=1)
    """Hidden size of the language model."""


@dataclass(frozen=True)
class AdapterState:
    """The last 4 frames that came into each stage; zeros at the start. Nothing in it is ever written in place."""

    past: tuple[Tensor, ...]

    def fork(self) -> AdapterState:
        """A state that goes its own way. Nothing is ever written in place, so sharing is safe."""
        return self


class Stage(nn.Module):
    """Half as many frames: frame j sees frames 2j - 4 to 2j."""

    def __init__(self, width: int, inner: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, inner, KERNEL, STRIDE)
        self.norm = nn.LayerNorm(inner, eps=NORM_EPS)
        self.project = nn.Linear(inner, out)

    def forward(self, x_BED: Tensor) -> Tensor:
        """Frames of x, the first 4 of which are the past."""
        inner_BKD = self.conv(x_BED.transpose(1, 2)).transpose(1, 2)
        return self.project(functional.gelu(self.norm(inner_BKD)))


class Adapter(nn.Module):
    """Two stages."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList(
            [Stage(config.width, config.inner, config.width), Stage(config.width, config.inner, config.out)]
        )

    def forward(self, x_BED: Tensor, lens_B: Tensor) -> tuple[Tensor, Tensor]:
        """Ticks (B x K x D) of whole recordings, and how many of them count; frames behind ``lens_B`` are not heard."""
        for stage in self.stages:
            frame_E = torch.arange(x_BED.shape[1], device=x_BED.device)
            heard_BED = x_BED.masked_fill((frame_E >= lens_B[:, None])[..., None], 0)
            x_BED = stage(functional.pad(heard_BED, (0, 0, PAST, 0)))
            lens_B = torch.div(lens_B + STRIDE - 1, STRIDE, rounding_mode="floor")
        return x_BED, lens_B

    def start(self, batch: int = 1) -> AdapterState:
        """The state before the first frame."""
        like = self._stages()[0].norm.weight
        return AdapterState(tuple(like.new_zeros(batch, PAST, self.config.width) for _ in self.stages))

    @torch.no_grad()
    def step(self, x_BED: Tensor, state: AdapterState) -> tuple[Tensor, AdapterState]:
        """The next ticks of a multiple of 4 frames, and the state after them. Raises ValueError for other numbers."""
        if x_BED.shape[1] % STRIDE ** len(self.stages):
            raise ValueError(f"a step takes whole ticks of {STRIDE ** len(self.stages)} frames, not {x_BED.shape[1]}")
        kept = []
        for stage, past_BED in zip(self.stages, state.past, strict=True):
            seen_BED = torch.cat([past_BED, x_BED], dim=1)
            kept.append(seen_BED[:, -PAST:].clone())
            x_BED = stage(seen_BED)
        return x_BED, AdapterState(tuple(kept))

    @property
    def project(self) -> nn.Linear:
        """The last layer."""
        return self._stages()[-1].project

    def _stages(self) -> list[Stage]:
        return [stage for stage in self.stages if isinstance(stage, Stage)]
