"""The speech towers of many sessions in one call, each at its own place in time.

A tick of a small tower is the cost of calling its hundred operations, not of their arithmetic: on one core four
sessions of the embedded size take 1.4 times as long as one, and one after the other four times.

What keeps sessions apart is the position, one per row here, and how many keys there are: a new row begins with a full
window of keys that nobody can see (their bias is minus infinity).

Shape suffixes: B rows, N samples, E encoder frames, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainer import features
from trainer.features import FeatureState
from trainer.model.adapter import AdapterState
from trainer.model.encoder import PAST, EncoderState
from trainer.model.layers import Attention, Block, Keys
from trainer.model.tower import Tower, TowerState


class _Placed(Attention):
    """Attention whose new frames have positions per row (B x E x D)."""

    def _split(self, x_BED: Tensor) -> Tensor:
        # Positions come with an axis for the rows that they would all be for.
        return super()._split(x_BED[0] if x_BED.ndim == 4 else x_BED)


class Towers:
    """A tower for many rows; ``tower`` is one of its own (``Tower.for_streaming``), in evaluation mode."""

    def __init__(self, tower: Tower) -> None:
        self.tower = tower
        self._blocks = [block for block in tower.encoder.blocks if isinstance(block, Block)]
        for block in self._blocks:
            block.attention.__class__ = _Placed

    def start(self) -> TowerState:
        """A row before its first sample."""
        state = self.tower.start()
        keys = tuple(self._unseen(block, none) for block, none in zip(self._blocks, state.encoder.keys, strict=True))
        return TowerState(state.features, EncoderState(state.encoder.feats_BTF, keys, 0), state.adapter)

    def step(self, samples_BN: Tensor, states: Sequence[TowerState]) -> tuple[Tensor, list[TowerState]]:
        """Speech vectors (B x D) of the next tick of some rows, and each row's state after it; what each row's own
        ``Tower.step`` gives, to float error."""
        feats_BTF, heard = features.step(samples_BN, FeatureState(_cat([s.features.samples_BN for s in states])))
        frames_BED, seen_BTF, keys = self._encode(feats_BTF, [state.encoder for state in states])
        past = AdapterState(tuple(_cat(list(rows)) for rows in zip(*(s.adapter.past for s in states), strict=True)))
        speech_BKD, adapter = self.tower.adapter.step(frames_BED, past)
        chunk = self.tower.encoder.config.chunk
        after = [
            TowerState(
                FeatureState(heard.samples_BN[row]),
                EncoderState(seen_BTF[row], _of(keys, row), state.encoder.frames + chunk),
                AdapterState(tuple(past_BED[row] for past_BED in adapter.past)),
            )
            for row, state in ((slice(place, place + 1), state) for place, state in enumerate(states))
        ]
        return speech_BKD[:, 0], after

    def _encode(self, feats_BTF: Tensor, states: Sequence[EncoderState]) -> tuple[Tensor, Tensor, list[Keys]]:
        """Frames, the features and the keys that the next tick sees: ``Encoder.step`` with positions per row."""
        encoder = self.tower.encoder
        seen_BTF = torch.cat([_cat([state.feats_BTF for state in states]), feats_BTF.float()], dim=1)
        x_BED = encoder.embed(encoder.front(encoder.cmvn(seen_BTF)))
        chunk = encoder.config.chunk
        position_BED = torch.stack([encoder.positions(state.frames, chunk, x_BED) for state in states])
        if encoder.config.order == "rotary":
            position_BED = position_BED[:, None]  # the same for all heads
        kept = []
        for place, block in enumerate(self._blocks):
            past = Keys(*(_cat(list(rows)) for rows in zip(*(state.keys[place] for state in states), strict=True)))
            x_BED, keys = block.step(x_BED, position_BED, past)
            kept.append(keys)
        return encoder.norm(x_BED), seen_BTF[:, -PAST:].clone(), kept

    def _unseen(self, block: Block, none: Keys) -> Keys:
        """A full window of keys that count for nothing."""
        frames = block.attention.window.frames
        heads, channels = none.key_BHJC.shape[1], none.key_BHJC.shape[3]
        key = none.key_BHJC.new_zeros(1, heads, frames, channels)
        return Keys(key, key.new_full((1, heads, frames), -math.inf), key)


def _cat(rows: list[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _of(keys: Sequence[Keys], row: slice) -> tuple[Keys, ...]:
    """The keys of one row in every block."""
    return tuple(Keys(*(kept[row] for kept in layer)) for layer in keys)
