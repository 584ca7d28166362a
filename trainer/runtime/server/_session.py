"""What the server needs of a session: the interface between the protocol and the runtime. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trainer.runtime.events import Mode, Told
from trainer.runtime.settings import Settings

__all__ = ["Full", "MakeSession", "Session", "Settings"]


class Full(RuntimeError):
    """No session can be opened now: all places are taken."""


class Session(Protocol):
    """One conversation. Calls return at once and never block the event loop.

    ``told`` gives what happens, in order. A response is told as Began, then Words and Audio, then one Ended; the
    UserBegan of the turn that interrupts a response is told before that response's Ended; one response at a time.
    """

    @property
    def told(self) -> asyncio.Queue[Told]:
        """What the session has to say; the server is its only reader."""
        ...

    def configure(self, settings: Settings) -> None:
        """Take the client's settings; they hold from the next turn on."""
        ...

    def hear(self, pcm: npt.NDArray[np.int16]) -> None:
        """Take audio of the user: int16[N] at 16 kHz, any length, silence included."""
        ...

    def request(self, instructions: str = "") -> None:
        """Respond now, with instructions for this response alone."""
        ...

    def cancel(self) -> None:
        """Stop the response that is under way; told as Ended with outcome cancelled."""
        ...

    def truncate(self, item: str, ms: float) -> str:
        """The user heard ``ms`` of a response at most: shorten its history to the words heard, and return them.

        One that is under way is told as Ended with outcome cancelled.
        """
        ...

    def user_text(self, text: str) -> None:
        """Add a written turn of the user to the history. ValueError where it can not be one."""
        ...

    def assistant_text(self, text: str) -> None:
        """Add an earlier turn of the assistant to the history (a client that comes back replays its items)."""
        ...

    async def close(self) -> None:
        """End all work and give the place back; called once."""
        ...


MakeSession = Callable[[Mode, Settings], Awaitable[Session]]
"""Opens a session. Raises Full where there is no place."""
