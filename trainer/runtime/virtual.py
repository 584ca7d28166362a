"""An event loop whose clock jumps: where everybody waits, the next timer is due at once.

What is computed takes no time on this clock, what waits (the ticks of audio, a simulated slow path, playout) takes what
it says, so a minute of conversation is replayed in as long as its computing takes, and twice the same. Work handed to
threads is done in place. Sockets are polled only where no timer waits: it is for replays, not for servers.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        self.seconds += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """In place."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(work: Coroutine[Any, Any, T], jumping: bool) -> T:
    """The result of ``work`` in a loop of its own, whose clock jumps or does not."""
    with asyncio.Runner(loop_factory=VirtualLoop if jumping else asyncio.new_event_loop) as runner:
        return runner.run(work)
