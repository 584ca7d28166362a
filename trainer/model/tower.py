"""The speech tower: features, encoder and adapter, one vector per tick (160 ms) for the language model.

Shape suffixes: B batch, N samples (16 kHz), T feature frames (10 ms), F mel bins, K ticks (160 ms), D width of the
language model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from datagen.core.types import Strict
from trainer import features
from trainer.features import FeatureState
from trainer.model.adapter import Adapter, AdapterConfig, AdapterState
from trainer.model.encoder import Encoder, EncoderConfig, EncoderState
from trainer.model.packed import packed

TICK_FRAMES = 4
"""Encoder frames of a tick; the adapter makes one vector of them."""
VECTOR_SPREAD = 0.02
"""Standard deviation of a new tower's vectors: that of a new language model's token embeddings (``initializer_range``
in transformers), so that in their sum both are heard from the first step on."""


class TowerConfig(Strict):
    """Shape of a tower. The published one: the published encoder, inner 2048, out 896."""

    encoder: EncoderConfig
    inner: int = Field(ge=1)
    """Channels inside an adapter stage."""
    out: int = Field(ge=1)
    """Hidden size of the language model."""

    @model_validator(mode="after")
    def _a_chunk_is_a_tick(self) -> TowerConfig:
        if self.encoder.chunk != TICK_FRAMES or self.encoder.mel != features.MEL:
            raise ValueError(
                f"encoder.chunk is {self.encoder.chunk} and mel {self.encoder.mel}: a tick is {TICK_FRAMES} frames, "
                f"features have {features.MEL} bins"
            )
        return self

    @property
    def adapter(self) -> AdapterConfig:
        """Shape of the adapter that fits the encoder."""
        return AdapterConfig(width=self.encoder.width, inner=self.inner, out=self.out)


@dataclass(frozen=True)
class TowerState:
    """What the next tick needs of the past. Nothing in it is ever written in place."""

    features: FeatureState
    encoder: EncoderState
    adapter: AdapterState

    def fork(self) -> TowerState:
        """A state that goes its own way. Nothing is ever written in place, so sharing is safe."""
        return self


class Tower(nn.Module):
    """Encoder and adapter; ``build`` makes one whose weights are a good start."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.adapter = Adapter(config.adapter)

    def forward(self, feats_BTF: Tensor, lens_B: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """Vectors (B x K x D) of whole recordings, and how many ticks of each count; see ``Encoder.forward``.

        ``first`` is the tick that the recordings start at, for the positions. A tick that has begun counts as whole.
        """
        frames_BED, lens_B = self.encoder(feats_BTF, lens_B, first * TICK_FRAMES)
        return self.adapter(frames_BED, lens_B)

    def start(self, batch: int = 1) -> TowerState:
        """The state before the first sample."""
        device = self.encoder.cmvn.mean.device
        return TowerState(features.start(batch, device), self.encoder.start(batch), self.adapter.start(batch))

    @torch.no_grad()
    def step(self, samples_BN: Tensor, state: TowerState) -> tuple[Tensor, TowerState]:
        """The vector (B x D) of the next 2,560 samples, and the state after them. ``state`` stays as it is.

        What ``forward`` gives for the whole, to float error, at any length.
        """
        feats_BTF, heard = features.step(samples_BN, state.features)
        frames_BED, encoder = self.encoder.step(feats_BTF, state.encoder)
        speech_BKD, adapter = self.adapter.step(frames_BED, state.adapter)
        return speech_BKD[:, 0], TowerState(heard, encoder, adapter)

    def for_streaming(self, weights: Literal["float32", "bfloat16", "float16", "int8"] = "float32") -> Tower:
        """A copy in evaluation mode whose step is fast; it cannot be trained.

        Args:
            weights: ``float32``: nothing changes. ``bfloat16``: everything but the normalisation of the features
                computes in bfloat16, for GPUs. ``float16`` and ``int8`` are for CPUs, see ``trainer.model.packed``.

        Raises ValueError where this machine has no such form.
        """
        return packed(self, weights).eval()


def build(config: TowerConfig, seed: int = 0) -> Tower:
    """A tower with random weights that depend on the seed alone, in float32 on the CPU, in evaluation mode.

    Weights are normal with variance gain / inputs (cut at two deviations), biases zero, norms one, and
    - gain 2 where a ReLU follows, so that signals keep their size through it, else 1;
    - what is added to the stream of the blocks is divided by the root of how many additions there are;
    - the last projection gives vectors of VECTOR_SPREAD.
    The published scaling of the embedding makes the blocks start as small corrections to a stream of the width's root.
    It stays: with a stream of size one, training fails at learning rates that are fine with it.
    """
    with torch.device("meta"):
        tower = Tower(config)
    tower = tower.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(seed)
    for name, module in tower.named_modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            _draw(module, _gain(name, config), draw)
    with torch.no_grad():
        for name, value in tower.named_parameters():
            if name.endswith(("content_bias", "position_bias")):
                value.zero_()
        tower.encoder.cmvn.set(torch.zeros(features.MEL), torch.ones(features.MEL))
    return tower.eval()


def _draw(layer: nn.Linear | nn.Conv1d | nn.Conv2d, gain: float, draw: torch.Generator) -> None:
    deviation = math.sqrt(gain / layer.weight[0].numel())
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=draw)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _gain(name: str, config: TowerConfig) -> float:
    """Variance of what a layer gives, where what it gets has variance 1."""
    if name.endswith(("conv1", "conv2", "feed_forward.up")):
        return 2.0
    if name.endswith(("attention.out", "feed_forward.down")):
        return 1 / (2 * config.encoder.blocks)
    if name == "adapter.stages.1.project":
        # GELU of unit normals has a mean square of 0.425.
        return VECTOR_SPREAD**2 / 0.425
    return 1.0
