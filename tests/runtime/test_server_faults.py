"""Bad clients and broken sessions: an error event or a clean close, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import socket as sockets
from typing import Any

import numpy as np
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.runtime.scripted_session import ScriptedSession, Studio, speech
from tests.runtime.serving import address, alive, event, send, serving, settled, speak, talking, until
from trainer.runtime.events import Mode
from trainer.runtime.server.connection import Limits
from trainer.runtime.server.wire import packed
from trainer.runtime.settings import Settings


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Code and reason with which the server closes; whatever comes before is read."""
    async with asyncio.timeout(10):
        await _read(socket)
    return socket.close_code, socket.close_reason


def test_bad_frames_leave_the_session_whole() -> None:
    async def work() -> None:
        async with serving() as running, talking(running) as socket:
            frames = ["{", "[]", b"\x00\x01", '{"type": "no.such"}', '{"type": "session.update"}', ""]
            for frame in frames:
                await socket.send(frame)
            errors = [await event(socket) for _ in frames]
            assert [e["type"] for e in errors] == ["error"] * len(frames)
            codes = ["invalid_json", "invalid_json", "invalid_frame", "unknown_event", "missing_required_parameter"]
            assert [e["error"]["code"] for e in errors] == [*codes, "invalid_json"]
            await send(socket, "input_audio_buffer.append", audio="?", event_id="e7")
            assert (await event(socket))["error"]["event_id"] == "e7"
            await alive(socket)

    asyncio.run(work())


def test_frames_too_large_or_not_text_end_the_connection_alone() -> None:
    async def work() -> None:
        async with serving(max_frame=10_000) as running, talking(running) as other:
            async with talking(running) as socket:
                await socket.send("x" * 10_001)
                assert (await closed(socket))[0] == 1009
            async with talking(running) as socket:
                await socket.send(b"\xff\xfe", text=True)
                assert (await closed(socket))[0] == 1007
            await send(other, "input_audio_buffer.append", audio=packed(speech(0.1)))
            await until(other, "input_audio_buffer.speech_started")

    asyncio.run(work())


def test_audio_far_ahead_of_real_time() -> None:
    async def work() -> None:
        limits = Limits(burst_s=4.0, patience_s=3.0)
        studio = Studio(pace=20)
        async with serving(studio, limits=limits) as running, talking(running) as other:
            async with talking(running) as socket:
                chunk = packed(speech(1.0, level=0))
                for _ in range(6):
                    await send(socket, "input_audio_buffer.append", audio=chunk)
                error = (await event(socket))["error"]
                assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
                await asyncio.sleep(0.3)
                await send(socket, "input_audio_buffer.append", audio=packed(speech(0.1)))
                await until(socket, "input_audio_buffer.speech_started")
                for _ in range(5):
                    await send(socket, "input_audio_buffer.append", audio=chunk)
                assert await closed(socket) == (1008, "rate_limit_exceeded")
            await alive(other)

    asyncio.run(work())


def test_a_flood_of_frames_waits_in_the_socket() -> None:
    """50 more than ten seconds' worth: taken at the rate allowed, none lost."""

    async def work() -> None:
        async with serving(limits=Limits(frames_per_s=100)) as running, talking(running) as socket:
            began = asyncio.get_running_loop().time()
            for _ in range(1_050):
                await socket.send("{")
            for _ in range(1_050):
                assert (await event(socket))["type"] == "error"
            assert asyncio.get_running_loop().time() - began > 0.4

    asyncio.run(work())


def test_a_client_that_does_not_read_is_closed() -> None:
    async def work() -> None:
        studio = Studio(pace=20)
        limits = Limits(waiting=200_000)
        async with serving(studio, limits=limits, closing_s=0.5) as running, talking(running) as other:
            with sockets.socket() as deaf:
                deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
                deaf.setblocking(False)
                await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", running.port))
                await asyncio.get_running_loop().sock_sendall(deaf, _handshake(running.port))
                await settled(lambda: len(studio.sessions) == 2, "connected")
                studio.sessions[1].flood(300)
                await settled(lambda: studio.sessions[1].closed, "closed")
            await alive(other)
            assert 'relay_closed_total{why="slow_reader"} 1.0' in running.monitor.text().decode()

    asyncio.run(work())


def _handshake(port: int) -> bytes:
    lines = [
        "GET /v1/realtime HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        *("", ""),
    ]
    return "\r\n".join(lines).encode()


def test_a_close_gets_through_a_flood() -> None:
    """The client's own frames stand before its answer to the close; they are read away."""

    async def work() -> None:
        limits = Limits(burst_s=1.0, patience_s=1.0)
        async with serving(limits=limits) as running, talking(running) as socket:
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(ConnectionClosed):
                for _ in range(400):
                    await send(socket, "input_audio_buffer.append", audio=packed(speech(0.1, level=0)))
            assert await closed(socket) == (1008, "rate_limit_exceeded")
            assert asyncio.get_running_loop().time() - began < 4

    asyncio.run(work())


def test_a_session_ends_at_its_time() -> None:
    async def work() -> None:
        studio = Studio(pace=20)
        async with serving(studio, limits=Limits(session_s=0.5)) as running, connect(address(running)) as socket:
            assert (await event(socket))["session"]["expires_at"] > 0
            assert (await event(socket))["error"]["code"] == "session_expired"
            assert await closed(socket) == (1000, "session_expired")
            await settled(lambda: studio.sessions[0].closed, "closed")

    asyncio.run(work())


class Broken(ScriptedSession):
    """Breaks where it is told to."""

    def hear(self, pcm: Any) -> None:
        """Fails on loud audio."""
        if len(pcm) and np.abs(pcm).max() > 20_000:
            raise RuntimeError("the engine is gone")
        super().hear(pcm)

    def truncate(self, item: str, ms: float) -> str:
        """Knows no item."""
        raise ValueError(f"item {item!r} is no response of this session")

    async def close(self) -> None:
        """Fails as well."""
        await super().close()
        raise OSError("the engine is gone")


class BrokenStudio(Studio):
    """Sessions that break; the third can not even be made."""

    async def __call__(self, mode: Mode, settings: Settings) -> ScriptedSession:
        """A broken session."""
        if len(self.sessions) == 2:
            raise OSError("no device")
        self.sessions.append(Broken(mode, settings, self.pace))
        return self.sessions[-1]


def test_a_broken_session_breaks_alone() -> None:
    async def work() -> None:
        studio = BrokenStudio(pace=20)
        async with serving(studio) as running, talking(running) as other:
            async with talking(running) as socket:
                await speak(socket)
                item = (await until(socket, "response.done"))[-1]["response"]["output"][0]["id"]
                await send(socket, "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=1)
                assert (await event(socket))["error"]["code"] == "invalid_value"
                studio.sessions[1].break_down()
                assert (await event(socket))["error"]["code"] == "recogniser_failed"
                await send(socket, "input_audio_buffer.append", audio=packed(speech(0.2, level=0.9)))
                assert (await event(socket))["error"]["type"] == "server_error"
                assert await closed(socket) == (1011, "internal_error")
            async with connect(address(running)) as third:
                assert (await event(third))["error"]["code"] == "internal_error"
                assert (await closed(third))[0] == 1011
            await alive(other)
            assert 'relay_errors_total{code="recogniser_failed"} 1.0' in running.monitor.text().decode()

    asyncio.run(work())


def test_the_server_goes_away_cleanly() -> None:
    async def work() -> None:
        studio = Studio(pace=1)
        async with serving(studio) as running, talking(running) as one, talking(running) as two:
            await speak(one)
            await until(one, "response.output_audio.delta")
            await running.close()
            assert (await closed(one))[0] == (await closed(two))[0] == 1001
            assert [session.closed for session in studio.sessions] == [True, True]

    asyncio.run(work())


def test_abrupt_ends() -> None:
    """Clients that vanish at any point of a turn leave nothing behind."""

    async def work() -> None:
        await _vanish(30, seed=1)

    asyncio.run(work())


async def _vanish(count: int, seed: int) -> None:
    generator = random.Random(seed)
    studio = Studio(pace=4)
    async with serving(studio, max_sessions=64) as running, talking(running) as other:
        before = len(asyncio.all_tasks())

        async def one(wait: float) -> None:
            async with connect(address(running)) as socket:
                await speak(socket)
                await asyncio.sleep(wait)
                socket.transport.abort()

        for start in range(0, count, 10):
            await asyncio.gather(*(one(generator.random() * 0.2) for _ in range(start, min(count, start + 10))))
        await settled(lambda: all(session.closed for session in studio.sessions[1:]), "sessions left open")
        await settled(lambda: len(asyncio.all_tasks()) <= before, "tasks left behind")
        await alive(other)


@pytest.mark.slow
def test_two_hundred_abrupt_ends() -> None:
    async def work() -> None:
        await _vanish(20, seed=2)
        before = _memory()
        await _vanish(200, seed=3)
        assert _memory() - before < 20e6

    asyncio.run(work())


@pytest.mark.slow
def test_ten_thousand_fuzzed_frames() -> None:
    """Mutated events, on connections that are opened again where the server ends them; another client talks on."""

    async def work() -> None:
        generator = random.Random(5)
        limits = Limits(frames_per_s=1e6)
        studio = Studio(pace=50)
        async with serving(studio, limits=limits) as running, talking(running) as other:
            await _fuzz(running, generator, 2_000)
            before = _memory()
            await _fuzz(running, generator, 10_000)
            assert _memory() - before < 20e6
            await settled(lambda: all(session.closed for session in studio.sessions[1:]), "sessions left open")
            await alive(other)
            assert 'why="internal_error"' not in running.monitor.text().decode(), "the server broke"

    asyncio.run(work())


async def _fuzz(running: Any, generator: random.Random, count: int) -> None:
    left = count
    while left:
        async with connect(address(running)) as socket:
            reader = asyncio.create_task(_read(socket))
            try:
                for _ in range(min(left, 500)):
                    await socket.send(_mutated(generator))
                    left -= 1
                    if not left % 25:
                        await asyncio.sleep(0.01)  # the session gets to speak between the blows
            except ConnectionClosed:
                pass
            await asyncio.sleep(0.05)
        await reader


async def _read(socket: ClientConnection) -> None:
    try:
        async for frame in socket:
            json.loads(frame)
    except ConnectionClosed:
        pass


SEEDS: tuple[dict[str, Any], ...] = (
    {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}},
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}, "tools": [{}], "tracing": {}}},
    {"type": "input_audio_buffer.append", "audio": packed(speech(0.1))},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    },
    {"type": "conversation.item.truncate", "item_id": "answer0", "content_index": 0, "audio_end_ms": 100},
    {"type": "conversation.item.delete", "item_id": "answer0"},
    {"type": "conversation.item.retrieve", "item_id": "user1"},
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "output_modalities": ["text"]}},
    {"type": "response.cancel"},
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "\ud800",
    "x" * 5_000,
    [],
    {},
    [[[]]],
    {"type": "message"},
    "audio/pcma",
)


def _mutated(generator: random.Random) -> str | bytes:
    seed = json.loads(json.dumps(generator.choice(SEEDS)))
    kind = generator.random()
    if kind < 0.3:
        return json.dumps(seed)
    if kind < 0.8:
        _twist(seed, generator)
        return json.dumps(seed)
    text = json.dumps(seed)
    at = generator.randrange(len(text))
    cut = text[:at] + generator.choice(["", "{", '"', "\x00", "9" * 400, "é"]) + text[at + generator.randrange(3) :]
    return cut if kind < 0.97 else cut.encode()


def _twist(value: dict[str, Any], generator: random.Random) -> None:
    key = generator.choice(list(value))
    if isinstance(value[key], dict) and value[key] and generator.random() < 0.7:
        _twist(value[key], generator)
    elif generator.random() < 0.3:
        del value[key]
    else:
        value[key] = generator.choice(ODD)


def _memory() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss
