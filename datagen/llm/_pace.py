"""Who may send when: a bound on what is on its way, the earliest question first, and one pause for all when the service
asks for it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

LIMITED_IN_A_ROW = 3
"""So many refusals for the rate, with no answer between them, hold for everybody: all wait as long as the server asks.
A single one holds back only its own question, so a stray refusal costs no time."""


class Pace:
    """Slots for requests. A slot is held while a request is on its way, never while its question waits to try again."""

    def __init__(self, concurrency: int) -> None:
        self._free = concurrency
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._limited = 0
        self._resume_at = 0.0

    @asynccontextmanager
    async def slot(self, order: int) -> AsyncIterator[None]:
        """A slot, given to the lowest ``order`` first: a question that has begun ends before another begins."""
        await self._enter(order)
        try:
            while (wait := self._resume_at - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            self._leave()

    def limited(self, wait_s: float) -> None:
        """The service has refused a request because there were too many."""
        self._limited += 1
        if self._limited >= LIMITED_IN_A_ROW:
            self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + wait_s)

    def answered(self) -> None:
        """The service has answered a request."""
        self._limited = 0

    async def _enter(self, order: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot came together with the cancellation
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
