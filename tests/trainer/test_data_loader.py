"""Batches: the same with any number of workers, the rest of the sequence after a kill, all that a row says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.tiny import Tiny, built
from tests.trainer.published import changed, every_row, sound, write
from trainer.data.augment import Augment, Augmentation
from trainer.data.batching import Batching, plan_batches
from trainer.data.index import Index, open_index
from trainer.data.loader import Batch, Collate, Conversations, Order, make_loader, padded
from trainer.data.rows import Row

__all__ = ["built"]
SMALL = Batching(seconds=40, mix=2)
PAD = 7


@pytest.fixture(scope="module")
def index(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """A dozen conversations in six row groups."""
    return open_index(str(write(tmp_path_factory.mktemp("set"), every_row(built))), "train")


def ticks(row: Row) -> dict[str, npt.NDArray[Any]]:
    """Targets as a builder might make them."""
    count = row.num_samples // 2560
    return {"ids": np.full(count, 3, np.int64), "weights": np.ones(count, np.float32), "spans": np.ones((count % 4, 2))}


PADS = {"ids": PAD, "weights": 0.0, "spans": -1.0}


def order_of(index: Index, rank: int = 0, world: int = 1, shuffle: bool = True) -> Order:
    return Order(plan_batches(index.num_samples, SMALL, world), 5, rank, shuffle)


def digest(batches: Iterable[Batch]) -> list[str]:
    """A hash per batch of all that is in it."""
    found: list[str] = []
    for batch in batches:
        whole = sha256(repr((batch.epoch, batch.number, batch.rows, sorted(batch.targets))).encode())
        for tensor in (batch.samples_BN, batch.lengths_B, *(batch.targets[name] for name in sorted(batch.targets))):
            whole.update(repr(tensor.shape).encode() + tensor.numpy().tobytes())
        found.append(whole.hexdigest())
    return found


def run(index: Index, epochs: int, begin: tuple[int, int] = (0, 0), workers: int = 0) -> list[str]:
    """A whole training run, or its rest from an epoch and a batch on."""
    order = order_of(index)
    loader = make_loader(Conversations(index, Augment(Augmentation(), 5), ticks), order, PADS, workers)
    found: list[str] = []
    for epoch in range(begin[0], epochs):
        order.set_epoch(epoch, begin[1] if epoch == begin[0] else 0)
        found += digest(loader)
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(index: Index, workers: int) -> None:
    assert run(index, 2, workers=workers) == run(index, 2)


def test_a_resumed_run_is_the_rest_of_the_uninterrupted_one(index: Index) -> None:
    whole = run(index, 2)
    per_epoch = len(order_of(index))
    assert len(set(whole)) == len(whole) == 2 * per_epoch
    for batch in range(per_epoch + 1):
        assert run(index, 2, (0, batch)) == whole[batch:]
    assert run(index, 2, (1, 2), workers=2) == whole[per_epoch + 2 :]


def test_resuming_reads_no_audio_before_it(built: Tiny, tmp_path: Path, index: Index) -> None:
    first = next(iter(order_of(index)))
    rows = every_row(built)
    for pick in first:
        rows = changed(rows, pick.row, lambda row: {"user_audio": {"bytes": b"gone", "path": ""}})
    spoiled = open_index(str(write(tmp_path, rows)), "train")
    assert run(spoiled, 1, (0, 1)) == run(index, 1)[1:]
    with pytest.raises(ValueError, match=f"user_audio of row {rows[first[0].row]['id']}"):
        run(spoiled, 1)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_every_row_once(index: Index, world: int) -> None:
    ranks = [order_of(index, rank, world) for rank in range(world)]
    seen = [batch for order in ranks for batch in make_loader(Conversations(index), order)]
    assert sorted(row.id for batch in seen for row in batch.rows) == sorted(index.ids)
    assert {len(list(order)) for order in ranks} == {len(ranks[0])}


def test_a_batch_is_its_rows(built: Tiny, index: Index) -> None:
    published = {row["id"]: row for row in every_row(built)}
    order = order_of(index)
    order.set_epoch(4)
    for number, batch in enumerate(make_loader(Conversations(index, None, ticks), order, PADS)):
        assert (batch.epoch, batch.number) == (4, number)
        assert batch.samples_BN.dtype == torch.float32
        assert batch.samples_BN.shape == (len(batch.rows), int(batch.lengths_B.max()))
        assert len(batch.rows) == 1 or batch.samples_BN.numel() <= 40 * 16_000
        assert batch.seconds == pytest.approx(sum(row.seconds for row in batch.rows))
        for at, row in enumerate(batch.rows):
            length = int(batch.lengths_B[at])
            assert length == row.num_samples == published[row.id]["num_samples"]
            assert (batch.samples_BN[at, :length].numpy() == sound(published[row.id])).all()
            assert not batch.samples_BN[at, length:].any()
            count = length // 2560
            assert batch.targets["ids"][at].tolist() == [3] * count + [PAD] * (batch.targets["ids"].shape[1] - count)
            assert float(batch.targets["weights"][at].sum()) == count
            assert batch.targets["ids"].dtype == torch.int64


def test_the_order_of_an_evaluation_is_always_the_same(index: Index) -> None:
    order = order_of(index, shuffle=False)
    first = [[pick.row for pick in picks] for picks in order]
    order.set_epoch(3)
    assert [[pick.row for pick in picks] for picks in order] == first


def test_the_assistant_is_heard_only_on_demand(built: Tiny, index: Index) -> None:
    published = {row["id"]: row for row in every_row(built)}
    batch = next(iter(make_loader(Conversations(index), order_of(index))))
    assert batch.assistant_BN is None
    batch = next(iter(make_loader(Conversations(index, assistant=True), order_of(index))))
    assert batch.assistant_BN.shape == batch.samples_BN.shape
    expected = sound(published[batch.rows[0].id], "assistant_audio")
    assert (batch.assistant_BN[0, : expected.size].numpy() == expected).all()


def test_a_batch_moves_whole_and_is_frozen(index: Index) -> None:
    batch = next(iter(make_loader(Conversations(index, None, ticks, assistant=True), order_of(index), PADS)))
    moved = batch.to("meta")
    held = [moved.samples_BN, moved.lengths_B, moved.assistant_BN, *moved.targets.values()]
    assert {t.device.type for t in held} == {"meta"}
    assert (moved.rows, moved.epoch, moved.number) == (batch.rows, batch.epoch, batch.number)
    assert batch.samples_BN.device.type == "cpu"
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.number = 2


def test_padding_of_any_shape() -> None:
    found = padded([np.ones((2, 1), np.int16), np.ones((1, 3), np.int16), np.ones((0, 2), np.int16)], 9)
    assert found.dtype == torch.int16
    assert found.tolist() == [[[1, 9, 9], [1, 9, 9]], [[1, 1, 1], [9, 9, 9]], [[9, 9, 9], [9, 9, 9]]]


def test_a_target_without_a_padding_value_is_refused(index: Index) -> None:
    loader = make_loader(Conversations(index, None, ticks), order_of(index), {"ids": PAD})
    with pytest.raises(ValueError, match="the targets spans, weights have no padding value; give one in pads"):
        next(iter(loader))
    assert Collate({})([Conversations(index)[next(iter(order_of(index)))[0]]]).targets == {}


def test_a_position_that_does_not_exist(index: Index) -> None:
    order = order_of(index)
    for epoch, batch in ((-1, 0), (0, len(order) + 1), (0, -1)):
        with pytest.raises(ValueError, match=f"an epoch has {len(order)} batches, counted from 0"):
            order.set_epoch(epoch, batch)


def test_accelerate_skips_to_the_same_rest_as_the_trainer_does(index: Index) -> None:
    """What ``transformers.Trainer`` does after a kill: skip, then tell the loader inside which epoch it is."""
    accelerate = pytest.importorskip("accelerate")
    order = order_of(index)
    loader = make_loader(Conversations(index, Augment(Augmentation(), 5), ticks), order, PADS)
    rest: Any = accelerate.skip_first_batches(loader, 2)
    rest.batch_sampler.batch_sampler.set_epoch(1)
    assert digest(rest) == run(index, 2)[len(order) + 2 :]
    loader.set_epoch(0)
    assert digest(loader) == run(index, 1)
