"""A clock that jumps: waiting takes no time, and order is kept."""

from __future__ import annotations

import asyncio
import time

import pytest

from trainer.runtime.virtual import run


def test_a_day_passes_in_no_time_and_timers_keep_their_order() -> None:
    async def main() -> list[float]:
        loop, seen = asyncio.get_running_loop(), []

        async def wait(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(loop.time())

        await asyncio.gather(*(wait(s) for s in (86_400, 1, 3_600)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 10)
        return [*seen, loop.time()]

    began = time.monotonic()
    assert run(main(), jumping=True) == [1, 3_600, 86_400, 86_410]
    assert time.monotonic() - began < 5


def test_threads_work_in_place_and_their_errors_are_handed_on() -> None:
    async def main() -> None:
        assert await asyncio.to_thread(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)

    run(main(), jumping=True)


def test_the_plain_clock_waits() -> None:
    async def main() -> None:
        await asyncio.sleep(0.05)

    began = time.monotonic()
    run(main(), jumping=False)
    assert time.monotonic() - began >= 0.05
