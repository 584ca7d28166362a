"""Every conversation once, under the cap, in an order that has a name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.data.batching import Batching, Plan, Rows, plan_batches, waste

RATE = 16_000
Lengths = npt.NDArray[np.int64]
LENGTHS = st.lists(st.integers(1, 200 * RATE), min_size=1, max_size=120).map(lambda x: np.array(x, np.int64))
CONFIGS = st.builds(Batching, seconds=st.floats(1, 400), mix=st.integers(1, 9), buckets=st.integers(1, 20))
SEEDS = st.integers(0, 2**31)


def made(lengths: Lengths, config: Batching, world: int = 1) -> Plan:
    """A plan; an example that cannot be shared out is given up."""
    try:
        return plan_batches(lengths, config, world)
    except ValueError:
        assume(False)
        raise


def flat(batches: list[Rows]) -> list[int]:
    return [int(row) for batch in batches for row in batch]


@given(LENGTHS, CONFIGS, SEEDS, st.integers(0, 50), st.integers(1, 4))
def test_every_row_once_per_epoch_in_equal_shares(
    lengths: Lengths, config: Batching, seed: int, epoch: int, world: int
) -> None:
    plan = made(lengths, config, world)
    shares = [plan.of_rank(rank, seed, epoch) for rank in range(world)]
    assert sorted(row for share in shares for row in flat(share)) == list(range(len(lengths)))
    assert {len(share) for share in shares} == {plan.batches_per_rank}
    assert all(batch.size for share in shares for batch in share)


@given(LENGTHS, CONFIGS, SEEDS, st.integers(1, 4))
def test_a_padded_batch_stays_under_the_cap_unless_it_is_one_conversation(
    lengths: Lengths, config: Batching, seed: int, world: int
) -> None:
    for batch in made(lengths, config, world).epoch(seed, 0):
        assert batch.size == 1 or lengths[batch].max() * batch.size <= config.seconds * RATE


@given(LENGTHS, CONFIGS, SEEDS, st.integers(0, 9))
def test_the_order_has_a_name(lengths: Lengths, config: Batching, seed: int, epoch: int) -> None:
    plan = made(lengths, config)
    once, again = plan.epoch(seed, epoch), plan_batches(lengths.copy(), config).epoch(seed, epoch)
    assert [b.tolist() for b in once] == [b.tolist() for b in again]
    assert len(plan.epoch(seed, epoch + 1)) == len(once)
    assert [b.tolist() for b in plan.epoch(0, 0, shuffle=False)] == [
        b.tolist() for b in plan.epoch(seed, epoch, shuffle=False)
    ]


@pytest.mark.parametrize("other", [(1, 1), (2, 0)])
def test_epochs_and_seeds_differ_in_company_and_in_order(other: tuple[int, int]) -> None:
    lengths = np.random.default_rng(3).integers(8 * RATE, 95 * RATE, 300)
    plan = plan_batches(lengths, Batching())
    first, second = plan.epoch(1, 0), plan.epoch(*other)
    assert {frozenset(b.tolist()) for b in first} != {frozenset(b.tolist()) for b in second}
    assert flat(first) != flat(second)
    lonely = plan_batches(lengths, Batching(seconds=8))
    assert flat(lonely.epoch(1, 0)) != flat(lonely.epoch(*other))


@given(LENGTHS, CONFIGS, SEEDS)
def test_worlds_of_one_and_two_cover_the_same_rows(lengths: Lengths, config: Batching, seed: int) -> None:
    assume(len(lengths) > 1)
    both = made(lengths, config, 2)
    shares = flat(both.of_rank(0, seed, 0)) + flat(both.of_rank(1, seed, 0))
    assert sorted(shares) == sorted(flat(made(lengths, config).epoch(seed, 0)))


def test_conversations_of_like_length_meet() -> None:
    """Padding of a dataset like the default recipe's stays small, of a large one very small."""
    rng = np.random.default_rng(5)
    lengths = (np.exp(rng.normal(np.log(31), 0.55, 20_000)).clip(8, 95) * RATE).astype(np.int64)
    few = lengths[:500]
    assert waste(few, plan_batches(few, Batching()).epoch(1, 0)) < 0.06
    assert waste(lengths, plan_batches(lengths, Batching()).epoch(1, 0)) < 0.02
    everyone = [np.arange(500)]
    assert waste(few, everyone) == pytest.approx(1 - few.mean() / few.max())


def test_conversations_of_one_length_waste_nothing() -> None:
    same = np.full(60, 30 * RATE)
    batches = plan_batches(same, Batching()).epoch(1, 0)
    assert waste(same, batches) == 0
    assert {b.size for b in batches} == {10}


def test_batches_are_full() -> None:
    """Only the shortest conversations' bucket may fall short."""
    lengths = np.random.default_rng(4).integers(8 * RATE, 95 * RATE, 400)
    plan = plan_batches(lengths, Batching(seconds=300))
    for rows, count in zip(plan.buckets[:-1], plan.counts[:-1], strict=True):
        assert rows.size == count * (300 * RATE // lengths[rows].max())


def test_what_cannot_be_shared_out() -> None:
    with pytest.raises(ValueError, match="2 conversations for 3 ranks; use fewer ranks"):
        plan_batches(np.array([5, 5]), Batching(), 3)
    with pytest.raises(ValueError, match="3 conversations make 3 batches that cannot be shared by 2 ranks"):
        plan_batches(np.full(3, 400 * RATE), Batching(), 2)
    with pytest.raises(ValueError, match="rank 2 of a world of 2; ranks count from 0"):
        plan_batches(np.full(4, 5), Batching(), 2).of_rank(2, 1, 0)
