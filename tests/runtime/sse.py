"""A local HTTP server that streams server-sent events, or breaks in the ways that servers break."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Literal, Self

Step = bytes | asyncio.Event | Literal["hang", "reset"]
"""Sent as it is; waited for; never again a word; the connection reset."""


@dataclass(frozen=True)
class Reply:
    """What the server does with a request."""

    steps: Sequence[Step] = ()
    status: int = 200
    """0: not even headers."""
    type: str = "text/event-stream"
    headers: str = ""


def event(data: Any) -> bytes:
    """One event with JSON."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


class Sse:
    """Serves on a port of its own inside the running loop; a context. ``reply`` is asked with the body and how many
    requests came before."""

    def __init__(self, reply: Callable[[dict[str, Any], int], Reply]) -> None:
        self._reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.open = 0
        """Connections that the client holds open while it has a request under way."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None):
        self._server.close()

    async def left(self, seconds: float = 2) -> None:
        """Until no client waits for anything; TimeoutError otherwise."""
        async with asyncio.timeout(seconds):
            while self.open:
                await asyncio.sleep(0.005)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._respond(head.decode(), reader, writer)
        writer.close()

    async def _respond(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        raw = await reader.readexactly(int(lines.get("content-length", 0)))
        self.paths.append(head.split()[1])
        self.bodies.append(json.loads(raw))
        reply = self._reply(self.bodies[-1], len(self.bodies) - 1)
        self.open += 1
        try:
            headers = (
                f"HTTP/1.1 {reply.status} X\r\nContent-Type: {reply.type}\r\nTransfer-Encoding: chunked\r\n"
                f"{reply.headers}\r\n"
            )
            writer.write(headers.encode() if reply.status else b"")
            for step in reply.steps:
                await self._step(step, reader, writer)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            self.open -= 1

    async def _step(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            writer.write(f"{len(step):x}\r\n".encode() + step + b"\r\n")
            await writer.drain()
        elif isinstance(step, asyncio.Event):
            await step.wait()
        elif step == "hang":
            await reader.read()  # ends when the client goes away
            raise ConnectionResetError
        else:
            await asyncio.sleep(0.02)  # a reset overtakes what was sent
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            raise ConnectionResetError
