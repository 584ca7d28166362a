"""One WebSocket connection: three loops (receive, tell, send) around one conversation and one session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from trainer.runtime.events import Failed, Told
from trainer.runtime.server._session import Session
from trainer.runtime.server.limits import Bucket, Outbox, Slow
from trainer.runtime.server.monitor import Monitor
from trainer.runtime.server.protocol import (
    SERVER,
    AssistantText,
    Call,
    Cancel,
    Configure,
    Conversation,
    Event,
    Hear,
    Refusal,
    Request,
    Truncate,
    UserText,
)
from trainer.runtime.server.wire import RATE

_log = logging.getLogger(__name__)

POLICY, INTERNAL, NORMAL = 1008, 1011, 1000
"""Close codes of RFC 6455."""


@dataclass(frozen=True)
class Limits:
    """What one connection may do."""

    session_s: float = 3_600.0
    """Longest session. The protocol's own servers allow an hour."""
    frames_per_s: float = 500.0
    """Frames received, over time; ten seconds' worth may come at once, and what is more waits in the socket."""
    burst_s: float = 30.0
    """Seconds of audio that may come ahead of real time."""
    patience_s: float = 30.0
    """Seconds of audio dropped beyond it, after which the connection is closed."""
    waiting: int = 2 * 1024 * 1024
    """Characters that may wait to be sent: half a minute of audio."""


class Over(Exception):
    """The connection ends: close code, the protocol's code for it, what to say."""

    def __init__(self, close: int, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.close, self.code, self.message = close, code, message


class Link:
    """A connection at work."""

    def __init__(
        self, socket: ServerConnection, session: Session, conversation: Conversation, limits: Limits, monitor: Monitor
    ) -> None:
        self._socket, self._session, self._conversation = socket, session, conversation
        self._limits, self._monitor = limits, monitor
        self._outbox = Outbox(limits.waiting)
        now = time.monotonic()
        self._frames = Bucket(limits.frames_per_s, 10 * limits.frames_per_s, now)
        self._audio = Bucket(1.0, limits.burst_s, now)
        self._dropped_s = 0.0

    async def run(self) -> str:
        """Serve until one side ends it; the socket is closed then. Returns why: the code of the end."""
        loops = [asyncio.create_task(loop()) for loop in (self._receive, self._tell, self._send)]
        try:
            self._put(self._conversation.opened())
            done, _ = await asyncio.wait(loops, timeout=self._limits.session_s, return_when=asyncio.FIRST_COMPLETED)
            over = next(map(_reason, done), None) or Over(NORMAL, "session_expired", "the session's time is over")
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        await self._close(over)
        return over.code

    async def _receive(self) -> None:
        async for frame in self._socket:
            wait = self._frames.owe(1.0, time.monotonic())
            if wait:
                await asyncio.sleep(wait)
            if isinstance(frame, str):
                self._take(frame)
            else:
                refusal = Refusal("invalid_frame", "binary frames are not part of the protocol; send text")
                self._put(self._conversation.refused(refusal))
        raise Over(NORMAL, "closed")

    async def _tell(self) -> None:
        while True:
            told: Told = await self._session.told.get()
            self._monitor.tell(told)
            self._put(self._conversation.tell(told), counted=False)
            if isinstance(told, Failed) and told.fatal:
                raise Over(INTERNAL, "internal_error", told.message)

    async def _send(self) -> None:
        while True:
            await self._socket.send(await self._outbox.get())

    def _take(self, frame: str) -> None:
        taken = self._conversation.take(frame)
        try:
            events = [event for call in taken.calls for event in self._call(call)]
        except Refusal as refusal:
            self._put(self._conversation.refused(refusal, taken.client_event))
        else:
            self._put([*taken.events, *events])

    def _call(self, call: Call) -> list[Event]:
        try:
            return self._do(call)
        except (ValueError, LookupError) as error:
            raise Refusal("invalid_value", f"the session refuses: {error}") from error

    def _do(self, call: Call) -> list[Event]:
        session = self._session
        match call:
            case Hear():
                self._hear(call)
            case Configure():
                session.configure(call.settings)
            case Request():
                session.request(call.instructions)
            case Cancel():
                session.cancel()
            case UserText():
                session.user_text(call.text)
            case AssistantText():
                session.assistant_text(call.text)
            case Truncate():
                return self._conversation.truncated(call, session.truncate(call.item, call.ms))
        return []

    def _hear(self, call: Hear) -> None:
        seconds = len(call.pcm) / RATE
        if self._audio.take(seconds, time.monotonic()):
            self._dropped_s = 0.0
            self._monitor.heard.inc(seconds)
            self._session.hear(np.ascontiguousarray(call.pcm))
            return
        first, self._dropped_s = not self._dropped_s, self._dropped_s + seconds
        if self._dropped_s > self._limits.patience_s:
            raise Over(POLICY, "rate_limit_exceeded", "audio came faster than real time for too long")
        if first:
            ahead = f"audio is more than {self._limits.burst_s:g} s ahead of real time; it is dropped until it is not"
            raise Refusal("rate_limit_exceeded", ahead, "audio", "rate_limit_error")

    def _put(self, events: list[Event], counted: bool = True) -> None:
        for event in events:
            if counted and event["type"] == "error":
                self._monitor.errors.labels(event["error"]["code"]).inc()
            try:
                self._outbox.put(json.dumps(event, allow_nan=False))
            except Slow:
                raise Over(POLICY, "slow_reader", "the client does not read what it is sent") from None

    async def _close(self, over: Over) -> None:
        """Say why, as far as the client still reads, and close."""
        last: list[str] = []
        if over.message and over.code != "slow_reader":
            kind = SERVER if over.close == INTERNAL else "invalid_request_error"
            refusal = Refusal(over.code, over.message, kind=kind)
            last = [*self._outbox.drain(), *map(json.dumps, self._conversation.refused(refusal))]
        await shut(self._socket, last, over.close, over.code)


async def shut(socket: ServerConnection, last: list[str], code: int, reason: str) -> None:
    """Send what is left, within a second, and close. What the client sent before it knew is read and dropped."""
    reading = asyncio.create_task(_ignored(socket))
    try:
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(1.0):
                for frame in last:
                    await socket.send(frame)
        await socket.close(code, reason)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _ignored(socket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass


def _reason(loop: asyncio.Task[None]) -> Over:
    """Why a loop came to its end."""
    error = loop.exception()
    if isinstance(error, Over):
        return error
    if error is None or isinstance(error, ConnectionClosed):
        return Over(NORMAL, "closed")
    _log.error("a session broke", exc_info=error)
    return Over(INTERNAL, "internal_error", "the session broke on the server's side")
