"""What the engine's thread sends to a coroutine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mail(Generic[T]):
    """Made in the event loop that waits; told in the engine's thread (inline: in the same)."""

    def __init__(self, inline: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._inline = inline
        self._box: asyncio.Queue[T | BaseException] = asyncio.Queue()

    @property
    def empty(self) -> bool:
        """Nothing has come that was not taken."""
        return self._box.empty()

    def tell(self, item: T | BaseException) -> None:
        """Never waits. Where the loop is gone, so is whoever waited."""
        if self._inline:
            self._box.put_nowait(item)
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._box.put_nowait, item)

    async def get(self) -> T:
        """The next item; an exception is raised."""
        item = await self._box.get()
        if isinstance(item, BaseException):
            raise item
        return item
