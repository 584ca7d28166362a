"""What the stock Python clients share: a microphone, a log of events to wait for, the report. The standard library."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

RATE = 24_000
FRAME_S = 0.04
_FRAME = int(RATE * FRAME_S) * 2
PATIENCE_S = 40.0
"""Seconds to wait for what must come."""
HEARD_S = 1.2
"""So long the user listens before speaking into an answer."""


def address() -> str:
    """``ws://host:port/v1`` of the server."""
    return sys.argv[1]


def sentence(name: str) -> bytes:
    """PCM16 of 24 kHz: ``turn`` or ``barge``."""
    return (Path(sys.argv[2]) / f"{name}.raw").read_bytes()


class Microphone:
    """Sends 40 ms at a time in real time: what is to be said, silence else."""

    def __init__(self, send: Callable[[bytes], Awaitable[Any]]) -> None:
        self._send, self._left = send, b""
        self._said = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Microphone]:
        """Switched on."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def say(self, name: str) -> None:
        """Says a sentence; returns at its end."""
        self._said.clear()
        self._left = sentence(name)
        await asyncio.wait_for(self._said.wait(), PATIENCE_S)

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            frame, self._left = self._left[:_FRAME], self._left[_FRAME:]
            if not self._left:
                self._said.set()
            await self._send(frame.ljust(_FRAME, b"\0"))
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class Log:
    """What has happened, in order; others wait for what comes."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []
        self._news = asyncio.Event()

    def add(self, type: str, event: Any = None) -> None:
        """Something happens."""
        self._events.append((type, event))
        self._news.set()

    def __len__(self) -> int:
        return len(self._events)

    def all(self, type: str, after: int = 0) -> list[Any]:
        """All of a type from a place on."""
        return [event for name, event in self._events[after:] if name == type]

    async def first(self, type: str, after: int = 0, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first of a type from a place on; waits for it. TimeoutError, with what came instead."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (found := [event for event in self.all(type, after) if fits(event)]):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            came = [name for name, _ in self._events[after:]]
            raise TimeoutError(f"{type} did not come, but {came[-40:]}") from None
        return found[0]


def run(client: str, scenario: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> None:
    """Plays a scenario and prints its report with the version of ``client``, a distribution."""
    report = asyncio.run(scenario())
    print(json.dumps({"client": f"{client} {version(client)}"} | report))
