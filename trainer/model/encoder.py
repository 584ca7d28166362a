"""The speech encoder: features to one vector per 40 ms, from whole recordings or chunk by chunk.

Two strided convolutions take four feature frames to one; then come blocks of chunked attention and feed-forward. It is
the encoder of Freeze-Omni and RelayS2S (a Transformer, although the paper says Conformer), in any size.

Shape suffixes: B batch, T feature frames (10 ms), F mel bins (80), E encoder frames (40 ms), D model width.

The position of a frame is its number from the start of the audio, without an end: a stream sees what the offline form
sees. A model has learned only the positions that its training data reached; ``first`` lets training start elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from datagen.core.types import Strict
from trainer.model.cmvn import Cmvn
from trainer.model.layers import Block, Keys, Order, Window, positions

RATE = 4
"""Feature frames per encoder frame."""
PAST = 3
"""Feature frames before its own four that an encoder frame sees."""
SLOWEST = 1_000
"""Rotary positions: the slowest channels turn by a radian in nearly so many frames; a query sees 67 of the past."""
PIECE = 256
"""Encoder frames that the convolutions make at a time: at 1,024 channels every one takes 0.4 MB on the way."""


class EncoderConfig(Strict):
    """Shape of an encoder. The published one: width 1024, 24 blocks, 16 heads, ffn 4096."""

    width: int = Field(ge=2)
    blocks: int = Field(ge=1)
    heads: int = Field(ge=1)
    ffn: int = Field(ge=1)
    chunk: int = Field(default=4, ge=1)
    """Encoder frames that see each other and are computed together; 4 are a tick."""
    left: int = Field(default=16, ge=1)
    """Chunks before its own that a frame sees, in each block."""
    order: Order = "absolute"
    """How frames know their order. ``absolute``, as published: keys have a position and queries have none, so no query
    can tell the frame before it from the one before that. ``rotary``: scores depend on how far apart two frames are;
    from random weights it learns a little faster (embedded preset, 100 steps: 35.0 % of frames in place of 32.4)."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    channels: int | None = Field(default=None, ge=1)
    """Of the two convolutions; None: the width, as published, where they are half of a small encoder's arithmetic."""
    scaled: bool = True
    """The stream begins larger than a norm by the root of the width, as published, and blocks with random weights are
    small corrections to it for long: without it 100 steps of the embedded preset learn 1.3 times as many words."""
    mel: int = Field(default=80, ge=7)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads ({self.heads})")
        return self

    @property
    def chunk_feats(self) -> int:
        """Feature frames of a chunk."""
        return self.chunk * RATE

    @property
    def bands(self) -> int:
        """Frequency bands that two strided convolutions leave of the mel bins: 19 of 80."""
        return ((self.mel - 1) // 2 - 1) // 2


@dataclass(frozen=True)
class EncoderState:
    """What the next chunk needs of the past. Nothing in it is ever written in place."""

    feats_BTF: Tensor
    """The last 3 feature frames; zeros at the start."""
    keys: tuple[Keys, ...]
    """Per block, of the last ``chunk * left`` frames."""
    frames: int
    """Encoder frames so far: the position of the next."""

    def fork(self) -> EncoderState:
        """A state that goes its own way. Nothing is ever written in place, so sharing is safe."""
        return self


class FrontEnd(nn.Module):
    """Normalised features to frames: convolutions over time and frequency, then a linear layer over the bands."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels = config.channels or config.width
        self.conv1 = nn.Conv2d(1, channels, 3, stride=2)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2)
        self.out = nn.Linear(channels * config.bands, config.width)

    def forward(self, feats_BTF: Tensor) -> Tensor:
        """Frames (B x E x D) of 4 E + 3 feature frames."""
        x = functional.relu(self.conv1(feats_BTF[:, None].to(self.conv1.weight.dtype)))
        x = functional.relu(self.conv2(x))
        return self.out(x.transpose(1, 2).flatten(2))


class Embed(nn.Module):
    """Into the stream of the blocks; scaled by the root of the width, as published."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.scale = math.sqrt(config.width) if config.scaled else 1.0

    def forward(self, x_BED: Tensor) -> Tensor:
        """The same shape as what comes in."""
        return self.dropout(functional.relu(self.dropout(self.norm(self.linear(x_BED)))) * self.scale)


class Encoder(nn.Module):
    """The encoder with weights of its own; ``trainer.model.tower`` builds one that starts well."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        """While training: keep the blocks' inputs alone and compute the rest again. On one CPU core, forward and
        backward of 6 blocks of width 144 or 4 of width 512 take 9 to 19 % longer."""
        self.cmvn = Cmvn(config.mel)
        self.front = FrontEnd(config)
        self.embed = Embed(config)
        self.position_dropout = nn.Dropout(config.dropout)
        window = Window(config.chunk, config.left)
        shape = (config.width, config.heads, config.ffn, window, config.dropout, config.order)
        self.blocks = nn.ModuleList(Block(*shape) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, feats_BTF: Tensor, lens_B: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """Frames of whole recordings, and how many of them count.

        Args:
            feats_BTF: features, padded on the right with anything finite; T is filled up with zeros to whole chunks.
            lens_B: feature frames of each recording; a chunk that has begun counts as whole.
            first: the position of the first frame. The past before it stays empty.

        Frames that count do not depend on the padding: they see no chunk after their own. The others mean nothing.
        """
        chunk = self.config.chunk_feats
        feats_BTF = functional.pad(feats_BTF, (0, 0, PAST, -feats_BTF.shape[1] % chunk))
        x_BED = self._frames(self.cmvn(feats_BTF))
        position_ED = self.position_dropout(self.positions(first, x_BED.shape[1], x_BED))
        for block in self.blocks:
            if self.gradient_checkpointing and self.training:
                x_BED = checkpoint(block, x_BED, position_ED, use_reentrant=False)
            else:
                x_BED = block(x_BED, position_ED)
        lens_B = torch.div(lens_B + chunk - 1, chunk, rounding_mode="floor") * self.config.chunk
        return self.norm(x_BED), lens_B

    def start(self, batch: int = 1) -> EncoderState:
        """The state before the first chunk."""
        feats_BTF = self.cmvn.mean.new_zeros(batch, PAST, self.config.mel, dtype=torch.float32)
        return EncoderState(feats_BTF, tuple(block.attention.start(batch) for block in self._blocks()), 0)

    @torch.no_grad()
    def step(self, feats_BTF: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """The next chunk of frames (B x chunk x D) from its features (B x 4 chunk x F), and the state after it.

        What ``forward`` gives for the whole, to float error, at any length. Raises ValueError in training mode, where
        dropout would be at work, and for another number of features.
        """
        if self.training:
            raise ValueError("a stream needs a model without dropout; call eval() first")
        if feats_BTF.shape[1] != self.config.chunk_feats:
            raise ValueError(f"a chunk has {self.config.chunk_feats} feature frames, not {feats_BTF.shape[1]}")
        seen_BTF = torch.cat([state.feats_BTF, feats_BTF.float()], dim=1)
        x_BED = self.embed(self.front(self.cmvn(seen_BTF)))
        position_ED = self.positions(state.frames, self.config.chunk, x_BED)
        kept = []
        for block, past in zip(self._blocks(), state.keys, strict=True):
            x_BED, keys = block.step(x_BED, position_ED, past)
            kept.append(keys)
        after = EncoderState(seen_BTF[:, -PAST:].clone(), tuple(kept), state.frames + self.config.chunk)
        return self.norm(x_BED), after

    def _frames(self, feats_BTF: Tensor) -> Tensor:
        """Embedded frames of 4 E + 3 normalised feature frames, some at a time."""
        last = feats_BTF.shape[1] - PAST
        pieces = [feats_BTF[:, at : at + PIECE * RATE + PAST] for at in range(0, last, PIECE * RATE)]
        return self.embed(torch.cat([self.front(piece_BTF) for piece_BTF in pieces], dim=1))

    def positions(self, first: int, count: int, like: Tensor) -> Tensor:
        """As wide as the frames; a head's width where its channels are turned."""
        if self.config.order == "absolute":
            return positions(first, count, self.config.width, like)
        return positions(first, count, self.config.width // self.config.heads, like, SLOWEST)

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]
