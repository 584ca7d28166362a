"""A local HTTP server that answers as it is told, and remembers what it was asked and what it delivered."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from datagen.answers import Answers, Budget
from datagen.files import Folder


@dataclass(frozen=True)
class Response:
    """What the server sends for a request."""

    content: Any = None
    """JSON; bytes are sent as they are."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    failure: Literal["", "hang", "drop", "cut", "drip"] = ""
    """hang: never an answer; drop: the connection is reset; cut: half of the answer, then the end; drip: one byte at a
    time, each well within any timeout."""


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes
    nth: int
    """How often the same content has come to the same path, from 1."""

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Server:
    """Serves on a port of its own in threads; a context."""

    def __init__(self, respond: Callable[[Seen], Response]) -> None:
        self.respond = respond
        self.seen: list[Seen] = []
        self.delivered: list[str] = []
        """Digest of the request of every 200 that was written to the end."""
        self.busy = self.busiest = 0
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, bytes]] = Counter()

        class Http(ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        self._http = Http(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._serve(self, self.rfile.read(int(self.headers.get("content-length") or 0)))

            def do_GET(self) -> None:
                outer._serve(self, b"")

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        return Handler

    def _serve(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        with self._lock:
            self._counts[handler.path, content] += 1
            headers = {k.lower(): v for k, v in handler.headers.items()}
            seen = Seen(handler.command, handler.path, headers, content, self._counts[handler.path, content])
            self.seen.append(seen)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            response = self.respond(seen)
            self._closing.wait(response.after_s)
        finally:
            with self._lock:
                self.busy -= 1  # before the answer: the next request may come as soon as it is there
        self._send(handler, seen, response)

    def _send(self, handler: BaseHTTPRequestHandler, seen: Seen, response: Response) -> None:
        if response.failure == "hang":
            self._closing.wait()
        if response.failure in ("hang", "drop"):
            handler.close_connection = True
            with suppress(OSError):
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.connection.close()
            return
        raw = response.content if isinstance(response.content, bytes) else json.dumps(response.content).encode()
        with suppress(OSError):
            handler.send_response(response.status)
            for name, value in {"Content-Type": "application/json", **response.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(raw)))
            handler.end_headers()
            if response.failure == "cut":
                handler.wfile.write(raw[: len(raw) // 2])
                handler.close_connection = True
                return
            for byte in raw if response.failure == "drip" else b"":
                handler.wfile.write(bytes([byte]))
                if self._closing.wait(0.02):
                    return
            handler.wfile.write(raw)
            handler.wfile.flush()
            if response.status == 200:
                with self._lock:
                    self.delivered.append(seen.digest)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()


def answers(folder: object, budget: Budget | None = None) -> Answers:
    """Kept answers in a folder of a test."""
    return Answers(Folder(str(folder)), budget)


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """TimeoutError when something never holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.005)
