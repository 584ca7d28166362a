"""Drafted prefixes whose separability is known: hidden states and margins from two Gaussians, a good and a bad one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from datagen.core.rng import stream
from datagen.core.types import Turn
from trainer.prefix_store import PrefixSet, write_shard
from trainer.prefixes import Drafted, Prefix, Steps

SIZE = 16
"""Hidden size of the imagined fast path."""
WORDS = ("sure", "well", "right", "so", "yes", "no", "maybe")


def drafts(
    count: int,
    name: str,
    hidden: float = 0.0,
    margin: float = 0.0,
    bad: float = 0.3,
    seed: int = 0,
    per_dialogue: int = 4,
    folds: int | None = 3,
) -> tuple[list[Drafted], npt.NDArray[np.float64]]:
    """Prefixes of 1 to 5 steps, and the log-likelihood ratio of good against bad: no score ranks better than it.

    Every step of a good prefix has its hidden state ``hidden`` standard deviations further along one direction than a
    bad one, and its margin ``margin`` further.
    """
    rng = stream(seed, name, "drafts")
    direction = np.ones(SIZE) / SIZE**0.5
    found: list[Drafted] = []
    ratios = np.zeros(count)
    for number in range(count):
        good, length = rng.random() >= bad, int(rng.integers(1, 6))
        side = 0.5 if good else -0.5
        states = rng.normal(size=(length, SIZE)) + side * hidden * direction
        scalars = rng.normal(size=(length, 3))
        scalars[:, 2] += side * margin
        ratios[number] = hidden * (states @ direction).sum() + margin * scalars[:, 2].sum()
        steps = Steps(torch.from_numpy(states).half(), torch.from_numpy(scalars).float())
        dialogue = number // per_dialogue
        prefix = Prefix(
            id=f"{name}{number:05d}",
            conversation=f"{name}{dialogue:04d}-p{number % per_dialogue}",
            user_voice=f"{name}-voice{dialogue % 10}",
            assistant_voice="assistant",
            context=(Turn(speaker="user", text="Can you help me?"),),
            text=" ".join(WORDS[:length]),
            num_tokens=length,
            steps=length,
            features=steps.digest,
            fold=None if folds is None else dialogue % folds,
            label=1 if good else 0,
            judge="the dice",
        )
        found.append(Drafted(prefix, steps))
    return found, ratios


def stored(folder: Path, records: list[Drafted], shard_size: int = 500) -> PrefixSet:
    """The records in shards on disk, and the set that is read from there."""
    for shard, start in enumerate(range(0, len(records), shard_size)):
        write_shard(folder, shard, records[start : start + shard_size])
    return PrefixSet([folder])
