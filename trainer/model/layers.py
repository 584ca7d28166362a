"""The blocks of the speech encoder: chunked attention with absolute key positions, and feed-forward.

Shape suffixes: B batch, E encoder frames (40 ms), D model width, H heads, C channels of a head, J keys that a query
may see, W frames of a window, G groups of W frames.

A query scores a key of frame j with  (q + u)·k_j + (q + v)·r_j,  r_j the projection of the sine and cosine of j, u and
v learned. This is  q·(k_j + r_j) + (u·k_j + v·r_j) : with the sum and the bias kept per key, positions cost the
attention nothing more, and a stream projects each position once.

Frames come in chunks. A query sees its own chunk, on both sides, and ``left`` chunks before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Order = Literal["absolute", "rotary"]
"""How an attention knows the order of frames, see ``EncoderConfig.order``."""


class Keys(NamedTuple):
    """What queries look up: keys with their positions in them, and the part of the score that the query has none in."""

    key_BHJC: Tensor
    bias_BHJ: Tensor
    value_BHJC: Tensor


@dataclass(frozen=True)
class Window:
    """Which frames a query sees: chunks of ``chunk`` frames, its own and ``left`` before."""

    chunk: int
    left: int

    @property
    def frames(self) -> int:
        """Frames of the past that a chunk sees: W."""
        return self.chunk * self.left

    def bias_WJ(self, like: Tensor) -> Tensor:
        """0 where query w of a group of W frames sees key j of the 2 W that end with the group, else -inf."""
        query = torch.arange(self.frames, device=like.device)[:, None] // self.chunk
        key = torch.arange(2 * self.frames, device=like.device)[None] // self.chunk
        hidden = (key < query) | (key > query + self.left)
        return torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, -math.inf)


def positions(first: int, count: int, width: int, like: Tensor, slowest: float = 10_000) -> Tensor:
    """Sines (even channels) and cosines (odd) of frames ``first`` to ``first + count`` (count x D), of any length.

    Angles in float64: in float32 the fastest would be off by 0.001 after ten minutes. The fastest turns by a radian a
    frame, the others up to nearly ``slowest`` times as slowly.
    """
    frame = torch.arange(first, first + count, dtype=torch.float64, device=like.device)[:, None]
    channel = torch.arange(0, width, 2, dtype=torch.float64, device=like.device)
    angle = frame * torch.exp(channel * (-math.log(slowest) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(like.dtype)


def turned(x_BHEC: Tensor, position_EC: Tensor) -> Tensor:
    """Pairs of channels turned by the angles of their frame (rotary positions, Su et al. 2021)."""
    sine, cosine = position_EC[..., 0::2], position_EC[..., 1::2]
    one, two = x_BHEC.chunk(2, dim=-1)
    return torch.cat([one * cosine - two * sine, one * sine + two * cosine], dim=-1)


class Attention(nn.Module):
    """Multi-head attention of the window above."""

    def __init__(self, width: int, heads: int, window: Window, order: Order = "absolute") -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.order: Order = order
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.pos = nn.Linear(width, width, bias=False) if order == "absolute" else None
        self.content_bias = nn.Parameter(torch.zeros(heads, width // heads))
        """u of the formula."""
        self.position_bias = nn.Parameter(torch.zeros(heads, width // heads))
        """v of the formula; that letter is the values'."""

    def forward(self, x_BED: Tensor, position_ED: Tensor) -> Tensor:
        """All frames of whole recordings. The cost grows with their length, not with its square."""
        batch, frames, width = x_BED.shape
        group = self.window.frames
        query_BHEC, keys = self._project(x_BED, position_ED)
        tail = -frames % group
        query = functional.pad(query_BHEC, (0, 0, 0, tail)).unflatten(2, (-1, group))  # B H G W C
        key = _grouped(functional.pad(keys.key_BHJC, (0, 0, group, tail)), group)  # B H G C J
        value = _grouped(functional.pad(keys.value_BHJC, (0, 0, group, tail)), group)
        bias = _grouped(functional.pad(keys.bias_BHJ, (group, tail), value=-math.inf), group)  # B H G J
        score = query @ key + (bias[..., None, :] + self.window.bias_WJ(bias))
        heard = score.softmax(-1, dtype=torch.float32).to(value.dtype) @ value.transpose(-1, -2)
        merged = heard.flatten(2, 3)[:, :, :frames].transpose(1, 2).reshape(batch, frames, width)
        return self.out(merged)

    def step(self, x_BED: Tensor, position_ED: Tensor, past: Keys) -> tuple[Tensor, Keys]:
        """The next chunk, given the keys of up to W frames before it; also the keys for the chunk after it."""
        query_BHEC, new = self._project(x_BED, position_ED)
        seen = Keys(*(torch.cat([old, added], dim=2) for old, added in zip(past, new, strict=True)))
        score = torch.matmul(query_BHEC, seen.key_BHJC.transpose(-1, -2)) + seen.bias_BHJ[:, :, None]
        heard = score.softmax(-1, dtype=torch.float32).to(seen.value_BHJC.dtype) @ seen.value_BHJC
        last = self.window.frames
        return self.out(heard.transpose(1, 2).flatten(2)), Keys(*(kept[:, :, -last:] for kept in seen))

    def start(self, batch: int) -> Keys:
        """No keys at all."""
        heads, size = self.content_bias.shape
        none = self.content_bias.new_zeros(batch, heads, 0, size)
        return Keys(none, none[..., 0], none)

    def _project(self, x_BED: Tensor, position_ED: Tensor) -> tuple[Tensor, Keys]:
        """Queries, scaled by the root of their size, and keys."""
        query, key, value = (self._split(part) for part in self._qkv(x_BED))
        scale = query.shape[-1] ** -0.5
        if self.pos is None:
            query, key = turned(query, position_ED), turned(key, position_ED)
            return query * scale, Keys(key, key.new_zeros(key.shape[:-1]), value)
        place = self._split(self.pos(position_ED)[None])
        content, place_bias = (bias[:, None] for bias in (self.content_bias, self.position_bias))
        bias = ((key * content).sum(-1) + (place * place_bias).sum(-1)) * scale
        return query * scale, Keys(key + place, bias, value)

    def _qkv(self, x_BED: Tensor) -> tuple[Tensor, ...]:
        return self.q(x_BED), self.k(x_BED), self.v(x_BED)

    def _split(self, x_BED: Tensor) -> Tensor:
        return x_BED.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _grouped(x: Tensor, group: int) -> Tensor:
    """For each group of W frames on the third axis, it and the one before (a view): ``... G ... 2W``."""
    return x.unfold(2, 2 * group, group)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BED: Tensor) -> Tensor:
        """The same shape as what comes in."""
        return self.down(self.dropout(functional.relu(self.up(x_BED))))


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and beside the stream."""

    def __init__(
        self, width: int, heads: int, ffn: int, window: Window, dropout: float, order: Order = "absolute"
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, window, order)
        self.feed_forward = FeedForward(width, ffn, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BED: Tensor, position_ED: Tensor) -> Tensor:
        """All frames of whole recordings."""
        x_BED = x_BED + self.dropout(self.attention(self.norm1(x_BED), position_ED))
        return x_BED + self.dropout(self.feed_forward(self.norm2(x_BED)))

    def step(self, x_BED: Tensor, position_ED: Tensor, past: Keys) -> tuple[Tensor, Keys]:
        """The next chunk; no dropout."""
        heard_BED, keys = self.attention.step(self.norm1(x_BED), position_ED, past)
        x_BED = x_BED + heard_BED
        return x_BED + self.feed_forward(self.norm2(x_BED)), keys
