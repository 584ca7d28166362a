"""What one client may ask of the server: audio in and frames in per second, bytes waiting to go out."""

from __future__ import annotations

import asyncio
from collections import deque


class Bucket:
    """Credit that refills with time. ``rate`` per second, at most ``most``; full at the start. Pure: time is given."""

    def __init__(self, rate: float, most: float, now: float) -> None:
        self._rate, self._most = rate, most
        self._credit, self._at = most, now

    def take(self, amount: float, now: float) -> bool:
        """Spend ``amount`` if there is enough credit."""
        self._refill(now)
        if amount > self._credit:
            return False
        self._credit -= amount
        return True

    def owe(self, amount: float, now: float) -> float:
        """Spend ``amount`` in any case. Returns the seconds to wait until the debt is paid."""
        self._refill(now)
        self._credit -= amount
        return max(0.0, -self._credit / self._rate)

    def _refill(self, now: float) -> None:
        self._credit = min(self._most, self._credit + (now - self._at) * self._rate)
        self._at = now


class Slow(Exception):
    """The client does not read what it is sent."""


class Outbox:
    """Frames that wait to be sent, in order; at most ``most`` characters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._frames: deque[str] = deque()
        self._there = asyncio.Event()

    def put(self, frame: str) -> None:
        """Put a frame last. Slow where too much waits already."""
        if self._size + len(frame) > self._most and self._frames:
            raise Slow
        self._frames.append(frame)
        self._size += len(frame)
        self._there.set()

    async def get(self) -> str:
        """Take the first frame; waits for one."""
        await self._there.wait()
        frame = self._frames.popleft()
        self._size -= len(frame)
        if not self._frames:
            self._there.clear()
        return frame

    def drain(self) -> list[str]:
        """Take all frames that wait."""
        frames = list(self._frames)
        self._frames.clear()
        self._size = 0
        self._there.clear()
        return frames
