"""Conversations as batches of tensors, read and decoded in worker processes.

Shapes: B batch, N samples (16 kHz).

    index = open_index(url, "train")
    order = Order(plan_batches(index.num_samples, Batching(), world), seed, rank)
    loader = make_loader(Conversations(index, Augment(Augmentation(), seed), make_targets), order, pads, workers=4)
    for epoch in range(epochs):
        order.set_epoch(epoch)              # after a kill: order.set_epoch(epoch, batch)
        for batch in loader: ...

``transformers.Trainer`` drives it as it is: return the loader from ``get_train_dataloader`` without
``accelerator.prepare`` (the order knows its rank). It sets the epochs itself, and skips what was trained before a kill
by batches without reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from datagen.core.audio import Signal
from datagen.core.units import SAMPLE_RATE
from trainer.data.audio import Reader
from trainer.data.augment import Transform
from trainer.data.batching import Plan
from trainer.data.index import Index
from trainer.data.rows import Row

Arrays = Mapping[str, npt.NDArray[Any]]
MakeTargets = Callable[[Row], Arrays]
"""A row's arrays by name, such as ids and weights per tick. Must travel through pickle; runs in the workers."""


class Pick(NamedTuple):
    """One row of one batch: what the order hands to the workers, who know nothing else of epochs."""

    epoch: int
    batch: int
    """Of the rank's batches in the epoch."""
    row: int
    """Of the index."""


@dataclass(frozen=True)
class Example:
    """One conversation, ready to be put into a batch."""

    pick: Pick
    row: Row
    samples: Signal
    assistant: Signal | None
    targets: Arrays


@dataclass(frozen=True)
class Batch:
    """Conversations padded to the longest of them."""

    epoch: int
    number: int
    """Of the rank's batches in the epoch; a run that is to go on after this one begins with the next."""
    rows: tuple[Row, ...]
    samples_BN: torch.Tensor
    """float32, full scale = 1: what the assistant hears; 0.0 beyond a row's length."""
    lengths_B: torch.Tensor
    """int64: samples of each row."""
    targets: Mapping[str, torch.Tensor]
    """What ``make_targets`` gave, by name, padded in every dimension with the name's own value."""
    assistant_BN: torch.Tensor | None = None
    """The assistant's own channel, where it was asked for."""

    def __len__(self) -> int:
        """Conversations; ``transformers.Trainer`` asks."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Of audio without padding."""
        return float(self.lengths_B.sum()) / SAMPLE_RATE

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; ``DataLoader`` calls it."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: change(value) for name, value in held.items() if isinstance(value, torch.Tensor)}
        return replace(self, **tensors, targets={name: change(t) for name, t in self.targets.items()})


class Conversations(Dataset[Example]):
    """The conversations of an index by ``Pick``: read, decoded, transformed, with their targets."""

    def __init__(
        self,
        index: Index,
        transform: Transform | None = None,
        make_targets: MakeTargets | None = None,
        assistant: bool = False,
    ) -> None:
        """``transform=None``: as published. ``assistant``: the assistant's channel is read too, untransformed."""
        self.index = index
        self._reader = Reader(index.folder)
        self._transform = transform
        self._make_targets = make_targets
        self._assistant = assistant

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, pick: Pick) -> Example:
        entry = self.index[pick.row]
        row = self._reader.row(entry)
        samples = self._reader.samples(entry)
        if self._transform is not None:
            samples = self._transform(samples, row, pick.epoch)
        assistant = self._reader.samples(entry, "assistant") if self._assistant else None
        return Example(pick, row, samples, assistant, self._make_targets(row) if self._make_targets else {})


class Order(Sampler[list[Pick]]):
    """The batches of one rank, an epoch at a time; the same for any number of workers."""

    def __init__(self, plan: Plan, seed: int, rank: int = 0, shuffle: bool = True) -> None:
        """``shuffle=False``, for evaluation: always the same order."""
        self._plan, self._seed, self._rank, self._shuffle = plan, seed, rank, shuffle
        self._epoch, self._first = 0, 0

    def set_epoch(self, epoch: int, batch: int = 0) -> None:
        """What the next pass gives: an epoch, or the rest of it from a batch on."""
        if epoch < 0 or not 0 <= batch <= len(self):
            raise ValueError(f"epoch {epoch}, batch {batch}: an epoch has {len(self)} batches, counted from 0")
        self._epoch, self._first = epoch, batch

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return self._plan.batches_per_rank

    def __iter__(self) -> Iterator[list[Pick]]:
        epoch = self._epoch
        batches = self._plan.of_rank(self._rank, self._seed, epoch, self._shuffle)
        for number in range(self._first, len(batches)):
            yield [Pick(epoch, number, int(row)) for row in batches[number]]


class Loader(DataLoader[Any]):
    """A ``DataLoader`` of ``Batch`` that passes the epoch on to its order, as ``transformers.Trainer`` expects."""

    def set_epoch(self, epoch: int) -> None:
        """See ``Order.set_epoch``."""
        order: Any = self.batch_sampler
        order.set_epoch(epoch)


@dataclass(frozen=True)
class Collate:
    """Examples as a batch; ``pads`` says for every target with which value it is padded."""

    pads: Mapping[str, float]

    def __call__(self, examples: Sequence[Example]) -> Batch:
        names = examples[0].targets
        unknown = sorted(set(names) - set(self.pads))
        if unknown:
            raise ValueError(f"the targets {', '.join(unknown)} have no padding value; give one in pads")
        heard = [e.assistant for e in examples if e.assistant is not None]
        return Batch(
            epoch=examples[0].pick.epoch,
            number=examples[0].pick.batch,
            rows=tuple(e.row for e in examples),
            samples_BN=padded([e.samples for e in examples], 0.0),
            lengths_B=torch.tensor([e.samples.size for e in examples]),
            targets={name: padded([e.targets[name] for e in examples], self.pads[name]) for name in names},
            assistant_BN=padded(heard, 0.0) if heard else None,
        )


def padded(arrays: Sequence[npt.NDArray[Any]], value: float) -> torch.Tensor:
    """Arrays of one type and number of dimensions as one tensor, each padded at its ends to the largest."""
    shape = np.max([a.shape for a in arrays], axis=0)
    out = np.full((len(arrays), *shape), value, arrays[0].dtype)
    for place, array in zip(out, arrays, strict=True):
        place[tuple(slice(n) for n in array.shape)] = array
    return torch.from_numpy(out)


def make_loader(
    dataset: Dataset[Example],
    order: Order,
    pads: Mapping[str, float] | None = None,
    workers: int = 0,
    pin: bool = False,
) -> Loader:
    """Batches in the order given.

    Args:
        dataset: what to read.
        order: which rows, in which batches.
        pads: for every name in the targets its padding value, such as the id of [PAD] and the weight 0.
        workers: processes that read; 0 reads in this one. One decodes several thousand hours of audio in an hour.
        pin: page-locked memory, for copies to a GPU beside its work.
    """
    return Loader(
        dataset,
        batch_sampler=order,
        collate_fn=Collate(dict(pads or {})),
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
    )
