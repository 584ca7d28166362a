"""The utterance of every kind here: words gathered, portions rendered in a thread and joined to what was said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from trainer.runtime.speaking._base import Chunk, Clock, Pace, SpeakingError
from trainer.runtime.speaking._portions import Gathering
from trainer.runtime.speaking._seams import Joined, Rendering, Seam, join, settle

Render = Callable[[Sequence[str], Sequence[str], bool, int], Rendering]
"""(words said before, words of this portion, whether nothing follows, its number) -> the portion's speech. Blocks."""

_SETTLE = 0.04
"""Seconds before the audio runs out at which its last samples are faded out, if nothing came to join them."""
_POLL = 0.02
"""A clock that is not the machine's own may jump: while words are held back it is read so often, in seconds."""


class Workers:
    """Runs blocking calls in threads that nobody has to wait for, at most ``count`` at once."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    def start(self, call: Callable[[], Rendering]) -> asyncio.Future[Rendering | None]:
        """The call's future. One that is settled before the call begins prevents it; later, its result is dropped."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Rendering | None] = loop.create_future()
        threading.Thread(target=self._run, args=(call, future, loop), daemon=True, name="speaking").start()
        return future

    def _run(
        self,
        call: Callable[[], Rendering],
        future: asyncio.Future[Rendering | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        with self._free:
            if future.done():
                return
            try:
                result = partial(_settle_future, future, call(), None)
            except Exception as error:  # a thread's boundary: whoever awaits the future gets it
                result = partial(_settle_future, future, None, error)
        try:
            loop.call_soon_threadsafe(result)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


def _settle_future(future: asyncio.Future[Rendering | None], result: Rendering | None, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class PiecewiseUtterance:
    """See ``_base.Utterance``. ``workers`` None: portions are rendered inside the iteration."""

    def __init__(
        self, render: Render, pace: Pace, clock: Clock, workers: Workers | None, timeout_s: float | None = None
    ) -> None:
        self._render, self._pace, self._clock, self._workers = render, pace, clock, workers
        self._timeout_s = timeout_s
        self._gathering, self._seam = Gathering(), Seam()
        self._before: tuple[str, ...] = ()
        self._portions = 0
        self._changed = asyncio.Event()
        self._cancelled = False
        self._begun = False
        self._future: asyncio.Future[Rendering | None] | None = None

    def push(self, text: str, last: bool) -> None:
        """More words."""
        if self._cancelled:
            return
        if self._gathering.ended:
            raise ValueError(f"the utterance has had its last piece; {text[:40]!r} cannot follow")
        self._gathering = self._gathering.pushed(text, last, self._clock())
        self._changed.set()

    def wake(self) -> None:
        """Read the clock again."""
        self._changed.set()

    def cancel(self) -> None:
        """End it, whatever is being rendered."""
        self._cancelled = True
        self._changed.set()
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        """The chunks, once."""
        if self._begun:
            raise RuntimeError("an utterance can be iterated over only once")
        self._begun = True
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[Chunk]:
        try:
            while not self._cancelled:
                self._changed.clear()
                now = self._clock()
                if count := self._gathering.due(self._pace, now):
                    chunk = await self._portion(count)
                elif self._gathering.over or self._must_settle(now):
                    chunk = self._given(settle(self._seam), ())
                else:
                    await self._wait(now)
                    continue
                if chunk is not None and not self._cancelled and (chunk.pcm.size or chunk.words):
                    yield chunk
                if self._gathering.over and self._seam.tail is None:
                    return
        finally:
            self.cancel()

    async def _portion(self, count: int) -> Chunk | None:
        """The next ``count`` words as a chunk; None when the utterance was cancelled."""
        words = self._gathering.waiting[:count]
        self._gathering = self._gathering.taken(count, self._clock())
        call = partial(self._render, self._before, words, self._gathering.over, self._portions)
        piece = call() if self._workers is None else await self._rendered(self._workers, call)
        if piece is None:
            return None
        self._before, self._portions = (*self._before, *words), self._portions + 1
        waited = self._gathering.dry(self._clock())
        return self._given(join(self._seam, piece, waited), words)

    async def _rendered(self, workers: Workers, call: Callable[[], Rendering]) -> Rendering | None:
        self._future = workers.start(call)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._future
        except TimeoutError:
            raise SpeakingError(f"the engine has said nothing for timeout_s={self._timeout_s:g} s") from None

    def _given(self, joined: Joined, words: Sequence[str]) -> Chunk:
        """What was joined, as a chunk that is given out now."""
        self._seam = joined.seam
        self._gathering = self._gathering.said(joined.pcm.size, joined.seam.pause, self._clock())
        return Chunk(joined.pcm, tuple((w, a, b) for w, (a, b) in zip(words, joined.spans, strict=True)))

    def _must_settle(self, now: float) -> bool:
        runs_out = self._gathering.runs_out
        return self._seam.tail is not None and runs_out is not None and now >= runs_out - _SETTLE

    async def _wait(self, now: float) -> None:
        """Until something is pushed or the clock has reached the next time at which something is to be done."""
        times = [self._gathering.latest(self._pace)] if self._gathering.waiting else []
        if self._seam.tail is not None and self._gathering.runs_out is not None:
            times.append(self._gathering.runs_out - _SETTLE)
        timeout = max(0.001, min(times) - now) if times else None
        if timeout is not None and self._clock is not time.monotonic:
            timeout = min(timeout, _POLL)
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
