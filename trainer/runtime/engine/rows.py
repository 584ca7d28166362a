"""Keys and values of many conversations side by side, each as long as it is: one row of a room that is made once.

Shape suffixes: L layers, R rows, H key heads, K ticks, C channels of a head, B rows of a call, Q new ticks of a call,
G query heads per key head, D width.

A row's ticks stand left-aligned. A call of the language model names the rows it is for; its new keys are written behind
what each row has, and every query sees its own row up to itself: no padding, no mask over other rows, no copy of what
is there. On a CPU attention goes row by row over views, the matrix products of all rows stay one product. Addresses
never change, so that a captured step can be put in the place of ``Model.advance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.cache_utils import Cache, DynamicLayer

ATTENTION = "rows"
"""Name of ``attend`` among the attention functions of transformers."""


@dataclass(frozen=True)
class Span:
    """One row of a call: after it the row has ``end`` ticks."""

    row: int
    end: int


class Rows:
    """Room for ``count`` rows of up to ``room`` ticks."""

    def __init__(self, layers: int, heads: int, channels: int, count: int, room: int, like: Tensor) -> None:
        """``like`` says type and device. The room is written once here: a page that the machine has not handed out yet
        makes a first copy into it several times as slow."""
        shape = (layers, count, heads, room, channels)
        self.keys_LRHKC = torch.zeros(shape, dtype=like.dtype, device=like.device).fill_(0)
        self.values_LRHKC = torch.zeros_like(self.keys_LRHKC).fill_(0)
        self.room = room
        self.lengths = [0] * count
        """Ticks that each row holds."""
        self.positions = [0] * count
        """Of each row's next tick, counted from its first, dropped ones included: rotary positions are relative, so
        keys that stay need no change when older ones go."""

    @property
    def nbytes(self) -> int:
        """Of the whole room."""
        return 2 * self.keys_LRHKC.numel() * self.keys_LRHKC.element_size()

    def clear(self, row: int) -> None:
        """The row begins again."""
        self.lengths[row] = self.positions[row] = 0

    def fork(self, row: int, into: int) -> None:
        """Makes ``into`` a copy of ``row``, which stays as it is. One copy of what the row holds, no more."""
        length = self.lengths[row]
        for room in (self.keys_LRHKC, self.values_LRHKC):
            room[:, into, :, :length] = room[:, row, :, :length]
        self.lengths[into], self.positions[into] = length, self.positions[row]

    def drop(self, row: int, ticks: int) -> None:
        """Forgets the oldest ticks of a row."""
        kept = self.lengths[row] - ticks
        for room in (self.keys_LRHKC, self.values_LRHKC):
            room[:, row, :, :kept] = room[:, row, :, ticks : ticks + kept].clone()
        self.lengths[row] = kept

    def spans(self, at: Sequence[int], new: int) -> tuple[Span, ...]:
        """What a call with ``new`` ticks for each of some rows sees. ValueError where a row has no room for them."""
        found = tuple(Span(row, self.lengths[row] + new) for row in at)
        if any(span.end > self.room for span in found):
            raise ValueError(f"a row is full at {self.room} ticks")
        return found

    def grown(self, spans: Sequence[Span], new: int) -> None:
        """The call is done: its ticks belong to the rows now."""
        for span in spans:
            self.lengths[span.row] = span.end
            self.positions[span.row] += new


class _Layer(DynamicLayer):
    """A layer of the cache that transformers asks: writes new keys into the rows and shows the whole room."""

    def __init__(self, keys_RHKC: Tensor, values_RHKC: Tensor, spans: Sequence[Span]) -> None:
        super().__init__()
        self.room = keys_RHKC, values_RHKC
        self.spans = spans
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        new = key_states.shape[2]
        for place, span in enumerate(self.spans):
            for room, states in zip(self.room, (key_states, value_states), strict=True):
                room[span.row, :, span.end - new : span.end] = states[place]
        return self.room

    def get_seq_length(self) -> int:
        return max(span.end for span in self.spans)


def cache_of(rows: Rows, spans: Sequence[Span]) -> Cache:
    """A cache for one call."""
    pairs = zip(rows.keys_LRHKC, rows.values_LRHKC, strict=True)
    return Cache(layers=[_Layer(keys, values, spans) for keys, values in pairs])


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    spans: Sequence[Span],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, over the rows of a call; ``spans`` is passed to the model.

    Query heads of one key head are queries side by side, so that keys are read once. The result is B x Q x heads x C.
    """
    heads, new, channels = query.shape[1:]
    found = []
    for query_HQC, span in zip(query, spans, strict=True):
        first = 0 if sliding_window is None else max(0, span.end - new + 1 - sliding_window)
        seen = slice(first, span.end)
        # B=1: kernels for a batch; heads G x Q of each key head are one axis.
        grouped = query_HQC.reshape(1, key.shape[1], -1, channels)
        mask = _causal(new, first, span.end, sliding_window, grouped) if new > 1 else None
        out = functional.scaled_dot_product_attention(
            grouped, key[None, span.row, :, seen], value[None, span.row, :, seen], attn_mask=mask, scale=scaling
        )
        found.append(out.reshape(heads, new, value.shape[-1]).transpose(0, 1))
    return torch.stack(found), None


def _causal(new: int, first: int, end: int, window: int | None, grouped: Tensor) -> Tensor:
    """Which of the ticks ``first`` to ``end`` each of G x Q queries sees."""
    query_Q = torch.arange(end - new, end, device=grouped.device)[:, None]
    key_K = torch.arange(first, end, device=grouped.device)
    seen_QK = key_K <= query_Q
    if window is not None:
        seen_QK &= key_K > query_Q - window
    return seen_QK.repeat(grouped.shape[2] // new, 1)
