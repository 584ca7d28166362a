"""What every slow path has in common: its interface, its one error, and how long it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from pydantic import Field

from datagen.core.types import MAX_TURN_CHARACTERS, Turn
from datagen.kinds import KindConfig

Pieces = AsyncGenerator[str, None]
RETRY_S = 0.2
"""Before the second attempt; doubled before each further one."""


class SlowPathError(RuntimeError):
    """There is no answer, or no more of it. One line, the reason, without secrets."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        """``again``: the fault may have passed when the request is made once more."""
        super().__init__(reason)
        self.again = again


class Answerer(Protocol):
    """A slow path. One serves any number of conversations at the same time, in one event loop or several."""

    def answer(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> Pieces:
        """What follows the words of ``prefix`` (may be empty) in an answer to ``user``, as it comes: any cut.

        ``history`` ends before the user's turn; ``user`` is empty where nothing was understood; ``instructions`` are
        the client's, beside the kind's own (a grammar and recordings follow none). Closing the generator
        or cancelling whoever waits for it ends the work. Raises SlowPathError, nothing else.
        """
        ...

    async def warm(self) -> None:
        """Does what the first answer would have to wait for."""
        ...

    async def aclose(self) -> None:
        """Gives back connections; the next answer makes new ones."""
        ...


class Waiting(KindConfig):
    """How long a slow path is waited for. RelayS2S allows 30 s for a whole answer; a listener does not wait as long."""

    first_ms: float = Field(default=8_000, gt=0, le=600_000)
    """From the request to the first piece of the answer, all attempts together."""
    between_ms: float = Field(default=5_000, gt=0, le=600_000)
    """From one piece to the next."""


async def patient(begin: Callable[[], Pieces], waiting: Waiting, room: int, attempts: int = 1) -> Pieces:
    """The pieces of an answer under time-outs, begun again after a passing fault as long as nothing has come.

    At most ``room`` characters: the answer then ends, at the last space of the piece that is too long. Raises
    SlowPathError, nothing else.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + waiting.first_ms / 1000
    for attempt in range(1, attempts + 1):
        begun = False
        try:
            async with aclosing(_in_time(begin(), until, waiting)) as pieces:
                async for piece in pieces:
                    begun = True
                    if len(piece) > room:
                        yield piece[: max(piece.rfind(" ", 0, room), 0)]
                        return
                    room -= len(piece)
                    yield piece
            return
        except SlowPathError as error:
            wait = RETRY_S * 2 ** (attempt - 1)
            if begun or not error.again or attempt == attempts or loop.time() + wait > until:
                raise
        await asyncio.sleep(wait)


def room_after(prefix: str) -> int:
    """Characters an answer may have after a prefix: together they are one turn of the history."""
    return max(0, MAX_TURN_CHARACTERS - len(prefix) - 1)


async def _in_time(pieces: Pieces, until: float, waiting: Waiting) -> Pieces:
    """The pieces that are not empty; SlowPathError when one is late or the work breaks."""
    loop = asyncio.get_running_loop()
    late = f"no answer within {waiting.first_ms:g} ms"
    async with aclosing(pieces):
        while True:
            limit = asyncio.timeout_at(until)
            try:
                async with limit:
                    piece = await anext(pieces, None)
            except SlowPathError:
                raise
            except Exception as error:  # whoever answers promises one kind of error; a text could hold a secret
                raise SlowPathError(late if limit.expired() else f"the slow path broke: {type(error).__name__}") from (
                    None if limit.expired() else error
                )
            if piece is None:
                return
            if piece:
                yield piece
                late = f"the answer stopped: nothing for {waiting.between_ms:g} ms"
                until = loop.time() + waiting.between_ms / 1000
