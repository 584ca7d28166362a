"""Which conversations share a batch, and in which order the batches come. Pure; knows lengths and nothing else.

Conversations are sorted by length and parted into buckets from the longest down. In a bucket every batch takes as many
rows as the bucket's longest one allows under the cap, so any of its rows may meet in a batch and the padded batch stays
under the cap too; a bucket holds just enough rows for ``mix`` full batches. What changes from epoch to epoch is who
meets whom and the order of the batches, never their number: a position in the run is an epoch and a batch, and the
number of steps is known from the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.core.rng import stream
from datagen.core.types import Strict
from datagen.core.units import SAMPLE_RATE

Rows = npt.NDArray[np.int64]
"""Row numbers."""


class Batching(Strict):
    """How batches are made."""

    seconds: float = Field(default=300.0, gt=0)
    """Audio in a batch at most, padding included (the paper: 300 s); a longer conversation is a batch of its own."""
    mix: int = Field(default=4, ge=1)
    """Batches to a bucket at least: with more of them more conversations meet, and more is padded (500 conversations
    of 8 to 95 s at 300 s: 2 pad 3.0 %, 4 pad 4.7 %, 8 pad 7.9 %, 16 pad 13.0 %)."""
    buckets: int = Field(default=64, ge=1)
    """Buckets at most; more conversations make them larger (100,000 of the same lengths: 32 pad 2.4 %, 64 1.3 %)."""


@dataclass(frozen=True)
class Plan:
    """The buckets and how many batches each gives: the same in every epoch and for every rank."""

    buckets: tuple[Rows, ...]
    counts: tuple[int, ...]
    world: int

    @property
    def batches_per_rank(self) -> int:
        """In every epoch, the same for all ranks."""
        return sum(self.counts) // self.world

    def epoch(self, seed: int, epoch: int, shuffle: bool = True) -> list[Rows]:
        """All batches of an epoch in order; rank r of W takes every W-th from the r-th on (``of_rank``).

        Without ``shuffle``: the same every time, the longest first.
        """
        rng = stream(seed, f"epoch-{epoch}", "batches")
        batches: list[Rows] = []
        for rows, count in zip(self.buckets, self.counts, strict=True):
            batches += np.array_split(rng.permutation(rows) if shuffle else rows, count)
        return [batches[i] for i in rng.permutation(len(batches))] if shuffle else batches

    def of_rank(self, rank: int, seed: int, epoch: int, shuffle: bool = True) -> list[Rows]:
        """One rank's batches of an epoch in order; together the ranks have every row once."""
        if not 0 <= rank < self.world:
            raise ValueError(f"rank {rank} of a world of {self.world}; ranks count from 0")
        return self.epoch(seed, epoch, shuffle)[rank :: self.world]


def plan_batches(num_samples: npt.NDArray[np.integer], config: Batching, world: int = 1) -> Plan:
    """The buckets for conversations of these lengths (samples), shared out to ``world`` ranks in equal numbers.

    ValueError when there are fewer conversations than ranks, or too few that may share a batch.
    """
    if len(num_samples) < world:
        raise ValueError(f"{len(num_samples)} conversations for {world} ranks; use fewer ranks or more data")
    cap = math.floor(config.seconds * SAMPLE_RATE)
    longest_first: Rows = np.argsort(-np.asarray(num_samples, np.int64), kind="stable")
    full = float(np.sum(num_samples)) / cap
    mix = max(config.mix, math.ceil(full / config.buckets))
    buckets: list[Rows] = []
    counts: list[int] = []
    at = 0
    while at < longest_first.size:
        together = max(cap // int(num_samples[longest_first[at]]), 1)
        rows = longest_first[at : at + together * mix]
        buckets.append(rows)
        counts.append(math.ceil(rows.size / together))
        at += rows.size
    return Plan(tuple(buckets), _shared_out(counts, [b.size for b in buckets], world), world)


def waste(num_samples: npt.NDArray[np.integer], batches: Sequence[Rows]) -> float:
    """The share of padding in what the batches hold, 0 to 1."""
    padded = sum(int(num_samples[rows].max()) * rows.size for rows in batches)
    return 1 - sum(int(num_samples[rows].sum()) for rows in batches) / padded


def _shared_out(counts: Sequence[int], sizes: Sequence[int], world: int) -> tuple[int, ...]:
    """The numbers of batches, a few of them larger so that their sum can be divided by ``world``.

    Batches are made smaller where they hold most rows.
    """
    found = list(counts)
    while sum(found) % world:
        at = max(range(len(found)), key=lambda b: sizes[b] / found[b])
        if found[at] >= sizes[at]:
            raise ValueError(
                f"{sum(sizes)} conversations make {sum(found)} batches that cannot be shared by {world} ranks, "
                "because none holds two conversations; raise the seconds of a batch or change the number of ranks"
            )
        found[at] += 1
    return tuple(found)
