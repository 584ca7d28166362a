"""Slots: how many, who is first, and the pause when the service refuses more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.llm._pace import LIMITED_IN_A_ROW, Pace


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=30))
def test_the_bound_holds_and_no_slot_is_lost(bound: int, users: list[tuple[int, int, bool]]) -> None:
    """Some users are cancelled at any point; afterwards all slots are free again."""

    async def main() -> None:
        pace, inside, most = Pace(bound), 0, 0

        async def use(order: int, steps: int) -> None:
            nonlocal inside, most
            async with pace.slot(order):
                inside += 1
                most = max(most, inside)
                try:
                    for _ in range(steps):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(use(order, steps)) for order, steps, _ in users]
        for task, (_, steps, cancelled) in zip(tasks, users, strict=True):
            if cancelled:
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= bound
        assert inside == 0
        for order in range(bound):
            await asyncio.wait_for(pace.slot(order).__aenter__(), 1)

    run(main())


def test_a_slot_that_comes_together_with_a_cancellation_is_not_lost() -> None:
    async def main() -> None:
        pace = Pace(1)

        async def use() -> None:
            async with pace.slot(1):
                raise AssertionError("it was cancelled")

        async with pace.slot(0):
            waiting = asyncio.create_task(use())
            await asyncio.sleep(0)
        waiting.cancel()
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
        await asyncio.wait_for(pace.slot(0).__aenter__(), 1)

    run(main())


def test_the_earliest_question_is_first() -> None:
    async def main() -> None:
        pace, order_of_entry = Pace(1), []

        async def use(order: int) -> None:
            async with pace.slot(order):
                order_of_entry.append(order)

        async with pace.slot(0):
            tasks = [asyncio.create_task(use(order)) for order in (7, 3, 9, 1, 3)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert order_of_entry == [1, 3, 3, 7, 9]

    run(main())


@pytest.mark.parametrize(("refusals", "answered", "pause"), [(2, False, 0.0), (3, False, 0.5), (5, True, 0.0)])
def test_refusals_in_a_row_hold_everybody_back(refusals: int, answered: bool, pause: float) -> None:
    assert LIMITED_IN_A_ROW == 3

    async def main() -> None:
        pace, loop = Pace(2), asyncio.get_running_loop()
        started = loop.time()
        for _ in range(refusals):
            pace.limited(0.5)
            if answered:
                pace.answered()
        async with pace.slot(0):
            waited = loop.time() - started
        assert pause <= waited < pause + 0.4

    run(main())
