"""Other throats for the voices of training: the frequency axis stretched (VTLP, Jaitly and Hinton 2013), a band hidden
(SpecAugment, Park et al. 2019).

A dataset has some dozens of voices, and a small encoder learns them by heart. Nothing moves in time, so labels stay.

Shape suffixes: B batch, T feature frames (10 ms), F mel bins (80).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from datagen.core.rng import stream
from trainer.features import MEL

_LOW, _HIGH = (1127 * math.log(1 + hertz / 700) for hertz in (20, 8_000))
_STEPS = 64
"""Stretches that are told apart, on each side of none."""


def disguised(feats_BTF: Tensor, names: Sequence[str], epoch: int, seed: int, stretch: float, hidden: int) -> Tensor:
    """The features as other voices would have made them.

    Args:
        feats_BTF: log-mel features.
        names: ids of the conversations: with epoch and seed they decide what is drawn.
        epoch: as above.
        seed: as above.
        stretch: frequencies are multiplied by at most 1 + this, at least its inverse.
        hidden: at most this many neighbouring bins take the conversation's mean.
    """
    maps, shown = [], torch.ones(len(names), 1, MEL)
    for row, name in enumerate(names):
        rng = stream(seed, name, f"throat-{epoch}")
        maps.append(_stretched(round(_STEPS * (2 * rng.random() - 1)), stretch))
        width = int(rng.integers(hidden + 1))
        first = int(rng.integers(MEL - width + 1))
        shown[row, :, first : first + width] = 0
    feats_BTF = torch.bmm(feats_BTF, torch.stack(maps).to(feats_BTF))
    shown = shown.to(feats_BTF)
    return feats_BTF * shown + feats_BTF.mean(dim=(1, 2), keepdim=True) * (1 - shown)


@lru_cache(maxsize=4 * _STEPS)
def _stretched(step: int, stretch: float) -> Tensor:
    """What each bin (columns) takes of each (rows): linear interpolation at its frequency times the stretch."""
    factor = (1 + stretch) ** (step / _STEPS)
    width = (_HIGH - _LOW) / (MEL + 1)
    hertz = 700 * (((_LOW + width * torch.arange(1, MEL + 1)) / 1127).exp() - 1)
    place = ((1127 * (1 + hertz * factor / 700).log() - _LOW) / width - 1).clamp(0, MEL - 1)
    below = place.floor().long().clamp(max=MEL - 2)
    share = place - below
    weights = torch.zeros(MEL, MEL)
    columns = torch.arange(MEL)
    weights[below, columns] = 1 - share
    weights[below + 1, columns] += share
    return weights
