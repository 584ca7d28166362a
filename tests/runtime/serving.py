"""A real server on a free port with scripted sessions, and clients to talk to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.runtime.scripted_session import Studio, speech
from trainer.runtime.server.app import Options, Running, serve
from trainer.runtime.server.wire import packed

PATIENCE = 5.0
"""Seconds until a test gives up waiting."""


@asynccontextmanager
async def serving(studio: Studio | None = None, **options: Any) -> AsyncIterator[Running]:
    """A server; afterwards no task of it may be left."""
    before = asyncio.all_tasks()
    async with await serve(studio or Studio(pace=20), Options(port=0, **options)) as running:
        yield running
    await settled(lambda: asyncio.all_tasks() <= before, "tasks left behind")


async def settled(done: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not done():
            await asyncio.sleep(0.01)
    assert done(), what


def address(running: Running, query: str = "", scheme: str = "ws") -> str:
    """Where a client connects."""
    return f"{scheme}://127.0.0.1:{running.port}/v1/realtime{query}"


@asynccontextmanager
async def talking(running: Running, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    """A plain client, past ``session.created``."""
    async with connect(address(running, query), **options) as socket:
        first = await event(socket)
        assert first["type"] == "session.created", first
        yield socket


async def event(socket: ClientConnection) -> dict[str, Any]:
    """The next event."""
    async with asyncio.timeout(PATIENCE):
        return json.loads(await socket.recv())


async def until(socket: ClientConnection, type: str) -> list[dict[str, Any]]:
    """The events up to the first of a type."""
    events = [await event(socket)]
    while events[-1]["type"] != type:
        events.append(await event(socket))
    return events


async def send(socket: ClientConnection, type: str, **fields: Any) -> None:
    """Send an event."""
    await socket.send(json.dumps({"type": type} | fields))


async def speak(socket: ClientConnection, seconds: float = 0.4) -> None:
    """A turn of the user: a tone, then silence."""
    audio = speech(seconds) + speech(0.3, level=0)
    await send(socket, "input_audio_buffer.append", audio=packed(audio))


async def alive(socket: ClientConnection) -> None:
    """A session takes a whole turn."""
    await speak(socket)
    assert (await until(socket, "response.done"))[-1]["response"]["status"] == "completed"
