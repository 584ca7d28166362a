"""What the language model has seen, as a value: keys and values per layer.

Shape suffixes: B batch, H heads, K ticks, C channels of a head, P points to draft from.

A step makes a new state and leaves the old one as it was. Copying all keys and values at every step would cost a fifth
of it after ten minutes, so states that continue each other share room that grows: each sees only its own ticks, and
ticks that a state sees are never written again. ``fork()`` starts a line of its own, which copies at its first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

SPARE = 32
"""Ticks of room beyond what is filled, at least; a quarter of the length where that is more, so copies are rare."""


class _Mark:
    """How far a shared room is filled, by whichever strip was continued last."""

    def __init__(self, filled: int) -> None:
        self.filled = filled


@dataclass(frozen=True)
class Strip:
    """A tensor that grows along its third axis."""

    room_BHKC: Tensor
    """Only the first ``length`` ticks belong to this strip."""
    length: int
    mark: _Mark = field(repr=False, compare=False)

    @classmethod
    def of(cls, seen_BHKC: Tensor) -> Strip:
        """A strip of its own that holds a copy of ``seen_BHKC``."""
        length = seen_BHKC.shape[2]
        spare = max(SPARE, length // 4)
        room_BHKC = seen_BHKC.new_empty((*seen_BHKC.shape[:2], length + spare, seen_BHKC.shape[3]))
        room_BHKC[:, :, :length] = seen_BHKC
        return cls(room_BHKC, length, _Mark(length))

    @property
    def seen_BHKC(self) -> Tensor:
        """What the strip holds. A view: not to be written to."""
        return self.room_BHKC[:, :, : self.length]

    def extended(self, new_BHKC: Tensor) -> Strip:
        """The strip with more ticks: in the room behind its own where nobody has written there yet, else in a copy."""
        length = self.length + new_BHKC.shape[2]
        if self.mark.filled != self.length or length > self.room_BHKC.shape[2]:
            return Strip.of(torch.cat([self.seen_BHKC, new_BHKC], dim=2))
        self.room_BHKC[:, :, self.length : length] = new_BHKC
        self.mark.filled = length
        return Strip(self.room_BHKC, length, self.mark)

    def forked(self) -> Strip:
        """The same ticks; whatever is appended goes into a copy."""
        return replace(self, mark=_Mark(-1))


@dataclass(frozen=True)
class LMState:
    """Keys and values of every layer, and which of them are there.

    Rows of different lengths stand right-aligned: row b begins with ``gap_B[b]`` ticks that do not exist.
    """

    layers: tuple[tuple[Strip, Strip], ...] = ()
    """(keys, values) per layer; empty before the first tick."""
    gap_B: Tensor | None = None
    """None: every row is complete."""

    @property
    def length(self) -> int:
        """Ticks so far, gaps included."""
        return self.layers[0][0].length if self.layers else 0

    @property
    def batch(self) -> int:
        """Rows; 0 before the first tick, when any number may follow."""
        return len(self.layers[0][0].room_BHKC) if self.layers else 0

    @property
    def nbytes(self) -> int:
        """What the ticks so far take in memory."""
        strips = [strip.seen_BHKC for layer in self.layers for strip in layer]
        return sum(strip.numel() * strip.element_size() for strip in strips)

    def fork(self) -> LMState:
        """A state with the same past whose use costs this one nothing, in any thread."""
        return replace(self, layers=tuple((keys.forked(), values.forked()) for keys, values in self.layers))

    def after(self, rows: Sequence[int], ticks: Sequence[int]) -> LMState:
        """A batch of branches: row p is what row ``rows[p]`` was right after its tick ``ticks[p]`` (from 0).

        Raises ValueError for a tick that has not been, or where this state's own rows have gaps.
        """
        if self.gap_B is not None:
            raise ValueError("branches start from a state whose rows are complete; use rows() to select some")
        if not rows or min(ticks) < 0 or max(ticks) >= self.length:
            raise ValueError(f"ticks {list(ticks)} do not all lie in the {self.length} ticks so far")
        device = self.layers[0][0].room_BHKC.device
        row_P = torch.tensor(list(rows), device=device)
        gap_P = max(ticks) - torch.tensor(list(ticks), device=device)
        tick_PK = torch.arange(max(ticks) + 1, device=device) - gap_P[:, None]
        ragged = min(ticks) < max(ticks)

        def taken(strip: Strip) -> Strip:
            seen_PKHC = strip.room_BHKC.transpose(1, 2)[row_P[:, None], tick_PK.clamp(min=0)]
            return Strip.of(seen_PKHC.transpose(1, 2))

        layers = tuple((taken(keys), taken(values)) for keys, values in self.layers)
        return LMState(layers, gap_P if ragged else None)

    def rows(self, rows: Sequence[int]) -> LMState:
        """The state of some of the rows."""
        at_P = torch.tensor(list(rows), device=self.layers[0][0].room_BHKC.device)
        layers = tuple((Strip.of(k.seen_BHKC[at_P]), Strip.of(v.seen_BHKC[at_P])) for k, v in self.layers)
        return LMState(layers, None if self.gap_B is None else self.gap_B[at_P])

    def mask_BK(self, new: int) -> Tensor | None:
        """1 for every tick that exists, ``new`` ones included; None where all do."""
        if self.gap_B is None:
            return None
        tick_K = torch.arange(self.length + new, device=self.gap_B.device)
        return (tick_K >= self.gap_B[:, None]).long()

    def positions_BK(self, new: int, device: torch.device) -> Tensor:
        """Positions of the next ``new`` ticks, counted from each row's own first tick."""
        tick_BK = torch.arange(self.length, self.length + new, device=device)[None]
        return tick_BK if self.gap_B is None else tick_BK - self.gap_B[:, None]


class _Layer(DynamicLayer):
    """A layer of the cache that transformers asks: it keeps a new strip and leaves the old one alone."""

    def __init__(self, strips: tuple[Strip, Strip] | None) -> None:
        super().__init__()
        self.strips = strips
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.strips is None:
            self.strips = (Strip.of(key_states), Strip.of(value_states))
            return key_states, value_states
        self.strips = (self.strips[0].extended(key_states), self.strips[1].extended(value_states))
        return self.strips[0].seen_BHKC, self.strips[1].seen_BHKC

    def get_seq_length(self) -> int:
        return 0 if self.strips is None else self.strips[0].length


def cache_of(state: LMState, num_layers: int) -> Cache:
    """A cache for one call of a transformers model that starts from ``state``."""
    strips = state.layers or (None,) * num_layers
    return Cache(layers=[_Layer(pair) for pair in strips])


def state_of(cache: Cache, before: LMState) -> LMState:
    """The state after that call.

    Raises ValueError where the model keeps more than keys and values per layer (recurrent or sharing layers).
    """
    layers: list[tuple[Strip, Strip]] = []
    for index, layer in enumerate(cache.layers):
        if not isinstance(layer, _Layer) or layer.strips is None:
            raise ValueError(f"layer {index} of the language model keeps no keys and values of its own; take another")
        layers.append(layer.strips)
    return LMState(tuple(layers), before.gap_B)
