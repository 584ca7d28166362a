"""A scripted server for the page: the real files over HTTP, the GA events and the relay's traces over a real WebSocket.

It listens: the energy of what the page sends opens and closes the user's turns, a turn that opens while an answer is
heard cuts it off. What it answers is a script in espeak-ng's voice, paced like the runtime: audio leaves at most 320 ms
before it is heard. Times of the script are milliseconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import mimetypes
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import soxr
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.tts.speaking import engine, voice, words_of

WEB = Path(__file__).parents[2] / "trainer" / "runtime" / "web"
RATE = 24_000
TICK, STEP, LEAD = 160, 20, 320
LOUD = 0.02
"""RMS from which on 20 ms count as speech."""
OPENS, CLOSES = 60, 420
"""Speech that opens a turn, silence that closes it."""


@dataclass(frozen=True)
class Answer:
    """What the relay does after one turn of the user."""

    heard: str
    draft: str
    rest: str
    probability: float = 0.93
    slow_ms: float = 510
    aside: str = ""
    """A backchannel, 1.2 s into the user's turn."""
    threshold: float = 0.7

    @property
    def commit(self) -> bool:
        return self.probability >= self.threshold


@dataclass
class Spoken:
    """PCM at 24 kHz, and every word with its start in seconds."""

    pcm: np.ndarray
    words: list[tuple[str, float]]


@cache
def speak(text: str, variant: str = "f2") -> Spoken:
    """The text in espeak-ng's voice."""
    speech = engine().synthesize(text, voice(variant=variant, rate_wpm=170), 0)
    pcm = np.asarray(soxr.resample(speech.pcm, 16_000, RATE), np.int16)
    return Spoken(pcm, [(w.text, w.start / 16_000) for w in words_of(speech)])


@dataclass
class Talk:
    """One session: what came in, and what was said."""

    socket: ServerConnection
    answers: list[Answer]
    mode: str
    begun: float = field(default_factory=time.monotonic)
    received: list[dict[str, Any]] = field(default_factory=list)
    audio: list[np.ndarray] = field(default_factory=list)
    user: str | None = None
    opened_ms: float = 0
    run_ms: float = 0
    ticks: int = 0
    turn: int = -1
    queue: list[str] = field(default_factory=list)
    answering: asyncio.Task[None] | None = None
    beside: set[asyncio.Task[None]] = field(default_factory=set)
    audible: bool = False
    item: str = ""
    heard_ms: float = 0
    heard: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    @property
    def now(self) -> float:
        return (time.monotonic() - self.begun) * 1000

    @property
    def samples(self) -> int:
        return sum(len(x) for x in self.audio)

    async def send(self, type: str, /, **more: Any) -> None:
        await self.socket.send(json.dumps({"type": type, "event_id": f"event_{time.monotonic_ns()}"} | more))

    async def trace(self, what: str, turn: int | None = None, **data: Any) -> None:
        await self.send("relay.trace", at_ms=self.now, what=what, turn=turn, data=data)

    async def listen(self) -> None:
        await self.send("session.created", session={"type": "realtime", "audio": {"output": {"voice": "f2"}}})
        await self.send("relay.something_new", data=1)
        async for raw in self.socket:
            event = json.loads(raw)
            self.received.append({k: v for k, v in event.items() if k != "audio"} | {"at": self.now})
            match event["type"]:
                case "input_audio_buffer.append":
                    await self.hear(np.frombuffer(base64.b64decode(event["audio"]), np.int16))
                case "conversation.item.truncate":
                    await self.truncate(event["item_id"], event["audio_end_ms"])
                case "conversation.item.retrieve":
                    await self.retrieve(event["item_id"])
                case "response.cancel":
                    await self.stop("cancelled")

    async def hear(self, pcm: np.ndarray) -> None:
        self.audio.append(pcm)
        rms = float(np.sqrt(np.mean((pcm / 32_768) ** 2)))
        while self.samples * 1000 / RATE >= (self.ticks + 1) * TICK:
            self.ticks += 1
            token = self.queue.pop(0) if self.queue else "[HOD]" if self.audible else "[SIL]"
            await self.trace("tick", token=token, user_rms=rms, assistant_audible=self.audible, lateness_ms=2.0)
        expected = (rms > LOUD) is (self.user is None)
        self.run_ms = self.run_ms + len(pcm) * 1000 / RATE if expected else 0
        if self.user is None and self.run_ms >= OPENS:
            await self.open()
        elif self.user is not None and self.run_ms >= CLOSES:
            await self.close(self.user)

    async def open(self) -> None:
        self.user, self.run_ms, self.opened_ms = f"item_user_{self.turn + 1}", 0, self.now
        await self.send("input_audio_buffer.speech_started", audio_start_ms=int(self.now), item_id=self.user)
        if self.audible:
            self.queue = ["[STP]"]
            await self.trace("fired", token="[STP]", probability=0.97)
            await self.stop("interrupted")
        if self.answers and self.answers[0].aside:
            self.background(self.backchannel(self.answers[0].aside))

    async def close(self, user: str) -> None:
        self.user, self.run_ms = None, 0
        await self.send("input_audio_buffer.speech_stopped", audio_end_ms=int(self.now), item_id=user)
        await self.send("input_audio_buffer.committed", previous_item_id=None, item_id=user)
        if self.answers:
            self.answering = asyncio.create_task(self.answer(user, self.answers.pop(0)))

    def background(self, work: Any) -> None:
        self.beside.add(task := asyncio.create_task(work))
        task.add_done_callback(self.beside.discard)

    async def backchannel(self, text: str) -> None:
        await asyncio.sleep(1.2)
        self.turn += 1
        turn = self.turn
        await self.trace("fired", turn, token="boc", probability=0.81)
        await self.trace("fork", turn)
        await self.trace("draft", turn, text=text, ms=21)
        self.queue = ["[BOC]", " mm", "[EOS]"]
        spoken = speak(text, "m3")
        await self.aside(turn, phase="began", item_id="item_aside", at_ms=self.now)
        for word, start in spoken.words:
            await self.aside(turn, phase="word", word=word, start_ms=start * 1000)
        await self.aside(turn, phase="audio", delta=base64.b64encode(spoken.pcm.tobytes()).decode())
        await asyncio.sleep(len(spoken.pcm) / RATE)
        await self.aside(turn, phase="ended", last=True, delta="", text=text, outcome="completed")
        await self.trace("end", turn, outcome="completed", heard=text)

    async def aside(self, turn: int, **fields: Any) -> None:
        await self.send("relay.backchannel", **({"turn": turn, "last": False} | fields))

    async def answer(self, user: str, script: Answer) -> None:
        self.turn += 1
        turn, self.item = self.turn, f"item_answer_{self.turn}"
        await self.trace("fired", turn, token="[BOS]", probability=0.96)
        await self.trace("fork", turn)
        await self.begin(turn)
        self.queue = ["[BOS]", *script.draft.split(), "[EOS]"]
        await asyncio.sleep(0.03)
        await self.trace("draft", turn, text=script.draft, ms=29)
        verdict = {"commit": script.commit, "probability": script.probability, "threshold": script.threshold}
        await self.trace("verdict", turn, **verdict)
        prefix = script.draft if script.commit else ""
        slow = self.slow(turn, user, script, prefix)
        spoken = await asyncio.to_thread(speak, prefix) if prefix else None
        work = asyncio.create_task(slow)
        try:
            if spoken:
                await self.play(spoken, turn, 0.0)
                await self.trace("prefix_end", turn)
            rest, arrived = await work
            if spoken is None:
                await self.trace("slow_audio", turn, margin_ms=None)
            elif arrived > self.now:
                await self.trace("underrun", turn, ms=arrived - self.now)
            await self.play(rest, turn, len(spoken.pcm) / RATE if spoken else 0.0)
            await self.end(turn, "completed")
        finally:
            work.cancel()

    async def slow(self, turn: int, user: str, script: Answer, prefix: str) -> tuple[Spoken, float]:
        await self.trace("transcript", turn, text=script.heard)
        done = "conversation.item.input_audio_transcription.completed"
        await self.send(done, item_id=user, content_index=0, transcript=script.heard)
        await self.trace("asked", turn, prefix=prefix)
        asked = self.now
        await asyncio.sleep(script.slow_ms / 1000)
        await self.trace("slow_first", turn, ms=self.now - asked)
        for piece in re.findall(r"(?:\S+ ?){1,5}", script.rest):
            await self.trace("slow_text", turn, text=piece)
            await asyncio.sleep(0.05)
        rest = await asyncio.to_thread(speak, script.rest)
        if prefix:
            ends = self.heard_from + len((await asyncio.to_thread(speak, prefix)).pcm) * 1000 / RATE
            await self.trace("slow_audio", turn, margin_ms=ends - self.now)
        return rest, self.now

    async def begin(self, turn: int) -> None:
        await self.send("response.created", response={"id": f"resp_{turn}", "status": "in_progress", "metadata": None})
        item = {"id": self.item, "type": "message", "role": "assistant", "content": []}
        await self.send("response.output_item.added", response_id=f"resp_{turn}", output_index=0, item=item)
        self.heard[self.item] = []
        self.heard_from = self.now

    async def play(self, spoken: Spoken, turn: int, offset: float) -> None:
        """Sends words and audio, at most LEAD ahead; returns when the last sample has been heard."""
        where: dict[str, Any] = {"response_id": f"resp_{turn}", "item_id": self.item, "content_index": 0}
        self.heard_from = self.now if offset == 0 else self.heard_from
        started, words = self.now, list(spoken.words)
        self.audible, size = True, RATE * STEP // 1000
        for n, at in enumerate(range(0, len(spoken.pcm), size)):
            while words and words[0][1] <= (at + size) / RATE:
                word, start = words.pop(0)
                self.heard[self.item].append((word, offset + start))
                await self.send(
                    "response.output_audio_transcript.delta", **where, delta=word + " ", start_time=offset + start
                )
            audio = base64.b64encode(spoken.pcm[at : at + size].tobytes()).decode()
            await self.send("response.output_audio.delta", **where, delta=audio)
            await asyncio.sleep(max(0, n * STEP - LEAD - (self.now - started)) / 1000)
        await asyncio.sleep(max(0, len(spoken.pcm) * 1000 / RATE - (self.now - started)) / 1000)

    async def stop(self, outcome: str) -> None:
        if self.answering is None or self.answering.done():
            return
        self.answering.cancel()
        await asyncio.gather(self.answering, return_exceptions=True)
        self.heard_ms = self.now - self.heard_from
        await self.trace("stop", self.turn)
        await self.end(self.turn, outcome)

    async def end(self, turn: int, outcome: str) -> None:
        self.audible = False
        await self.send("response.output_audio.done", response_id=f"resp_{turn}", item_id=self.item)
        reason = {"interrupted": "turn_detected", "cancelled": "client_cancelled"}.get(outcome)
        status = "cancelled" if reason else outcome
        details = {"type": "cancelled", "reason": reason} if reason else None
        response = {"id": f"resp_{turn}", "status": status, "status_details": details, "metadata": {"turn": str(turn)}}
        await self.send("response.done", response=response)
        heard = self.words(self.item, self.now - self.heard_from)
        await self.trace("end", turn, outcome=outcome, heard=heard)
        ended = {"kind": "turn", "outcome": outcome, "heard": heard, "record": {"mode": self.mode}}
        await self.send("relay.ended", turn=turn, item_id=self.item, **ended)

    def words(self, item: str, ms: float) -> str:
        return " ".join(word for word, start in self.heard[item] if start * 1000 < ms)

    async def truncate(self, item: str, ms: float) -> None:
        self.heard[item] = [(word, start) for word, start in self.heard[item] if start * 1000 < ms]
        await self.send("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=ms)

    async def retrieve(self, item: str) -> None:
        content = [{"type": "output_audio", "transcript": self.words(item, float("inf"))}]
        await self.send("conversation.item.retrieved", item={"id": item, "role": "assistant", "content": content})


@dataclass
class PageServer:
    """The server's address, its sessions, and what it does to those who come."""

    url: str = ""
    script: Sequence[Answer] = ()
    talks: list[Talk] = field(default_factory=list)
    refuse: bool = False
    full: bool = False
    protocols: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None

    def drop(self) -> None:
        """Cuts the newest session's connection, with no word of farewell."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.talks[-1].socket.transport.abort)

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        if self.full:
            error = {
                "type": "invalid_request_error",
                "code": "session_limit_reached",
                "message": "all sessions are taken",
            }
            await socket.send(json.dumps({"type": "error", "event_id": "event_1", "error": error}))
            await socket.close(1008, "session_limit_reached")
            return
        self.protocols = [p.strip() for p in socket.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        mode = parse_qs(urlsplit(socket.request.path).query).get("mode", ["relay"])[0]
        self.talks.append(talk := Talk(socket, list(self.script), mode))
        with contextlib.suppress(ConnectionClosed):
            await talk.listen()
        tasks = [*talk.beside, *([talk.answering] if talk.answering else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def http(self, _: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == "/v1/realtime":
            return Response(401, "Unauthorized", Headers(), b"no") if self.refuse else None
        if path == "/health":
            return Response(200, "OK", Headers({"Content-Type": "application/json"}), b"{}")
        file = WEB / (path.lstrip("/") or "index.html")
        if not file.is_file():
            return Response(HTTPStatus.NOT_FOUND, "Not Found", Headers(), b"")
        kind = "text/javascript" if file.suffix == ".js" else mimetypes.guess_type(file.name)[0] or "text/plain"
        body = file.read_bytes()
        return Response(200, "OK", Headers({"Content-Type": kind, "Content-Length": str(len(body))}), body)


@contextlib.contextmanager
def serving(script: Sequence[Answer]) -> Iterator[PageServer]:
    """The server in a thread of its own, on a free port of localhost."""
    page, ready, over = PageServer(script=script), threading.Event(), asyncio.Event()

    async def run() -> None:
        page.loop = asyncio.get_running_loop()
        server: Server
        async with serve(
            page.handle,
            "127.0.0.1",
            0,
            process_request=page.http,
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
        ) as server:
            page.url = f"http://localhost:{next(iter(server.sockets)).getsockname()[1]}/"
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait(10)
    yield page
    assert page.loop is not None
    page.loop.call_soon_threadsafe(over.set)
    thread.join(10)
