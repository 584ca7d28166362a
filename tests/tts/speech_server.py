"""A local speech server that answers as it is told to, well or badly, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 24_000
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    number: int
    """From 0, in order of arrival."""

    def form(self) -> dict[str, tuple[str | None, str, bytes]]:
        """A multipart body, by the standard library's own parser: field -> (file name, content type, content)."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parsed = message_from_bytes(head + self.body, policy=HTTP)
        found: dict[str, tuple[str | None, str, bytes]] = {}
        for part in parsed.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            assert isinstance(name, str)
            assert isinstance(content, bytes)
            assert name not in found
            found[name] = (part.get_filename(), part.get_content_type(), content)
        return found

    def fields(self) -> dict[str, str]:
        """The fields of a form that are no files."""
        return {name: content.decode() for name, (file, _, content) in self.form().items() if file is None}

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer, and how it is sent.

    whole: with its length; chunked: as streaming servers send; open: until the connection closes. cut: with its
    length, but only half of it; cut_chunk: a part, then the connection closes (what an exception in a generator does).
    reset: the connection is reset before anything is sent, reset_inside: in the middle. hang: nothing comes;
    hang_inside: half of it comes. drip: a byte at a time, 20 ms apart. endless: for ever.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    how: Literal[
        "whole",
        "chunked",
        "open",
        "cut",
        "cut_chunk",
        "reset",
        "reset_inside",
        "hang",
        "hang_inside",
        "drip",
        "endless",
    ] = "whole"


def pcm(seconds: float = 0.5, hz: float = 220, rate: int = RATE, level: float = 0.3) -> Samples:
    """A tone."""
    t = np.arange(round(seconds * rate)) / rate
    return np.round(level * 32_767 * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def wav(samples: npt.NDArray[Any], rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    """A WAV file; 16-bit samples are scaled to full scale = 1 where it holds floats."""
    if samples.dtype == np.int16 and subtype in ("FLOAT", "DOUBLE"):
        samples = samples / 32_768
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


NOT_FOUND = Reply(b'{"detail":"Not Found"}', 404, {"Content-Type": "application/json"})


class SpeechServer(ThreadingHTTPServer):
    """Listens on a free port from the moment it is made; ``behave`` decides each answer."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(self, behave: Callable[[Asked], Reply], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behave = behave
        self.asked: list[Asked] = []
        self.count = 0
        self.keep = True
        """Whether requests are remembered; a long run would fill the memory with prompts."""
        self.told: Callable[[], Reply] = lambda: NOT_FOUND
        """The answer to a GET."""
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: SpeechServer

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._send(self.server.told())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = self.server
        with server.lock:
            asked = Asked(self.path, headers, body, server.count)
            server.count += 1
            if server.keep:
                server.asked.append(asked)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self._send(server.behave(asked))
        finally:
            with server.lock:
                server.at_once -= 1

    def _send(self, reply: Reply) -> None:
        if reply.how == "hang":
            self.server.over.wait()
        if reply.how in ("hang", "reset"):
            return self._reset()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        length = {"cut_chunk": None, "chunked": None, "open": None, "endless": None}.get(reply.how, len(reply.body))
        if length is not None:
            self.send_header("Content-Length", str(length))
        elif reply.how != "open":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._send_body(reply)
        if reply.how not in ("whole", "chunked"):
            self.close_connection = True
        return None

    def _send_body(self, reply: Reply) -> None:
        half = reply.body[: len(reply.body) // 2]
        if reply.how in ("chunked", "cut_chunk", "endless"):
            self._send_chunks(reply, half)
        elif reply.how == "drip":
            for byte in reply.body:
                self.wfile.write(bytes([byte]))
                if self.server.over.wait(0.02):
                    break
        elif reply.how in ("whole", "open"):
            self.wfile.write(reply.body)
        else:
            self.wfile.write(half)
            if reply.how == "hang_inside":
                self.server.over.wait()
            if reply.how == "reset_inside":
                self._reset()

    def _send_chunks(self, reply: Reply, half: bytes) -> None:
        if reply.how == "cut_chunk" and half:
            self._chunk(half)
        while reply.how == "endless" and not self.server.over.is_set():
            self._chunk(reply.body)
        if reply.how == "chunked":
            for start in range(0, len(reply.body), 4_000):
                self._chunk(reply.body[start : start + 4_000])
            self._chunk(b"")

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def _reset(self) -> None:
        """Closes with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextmanager
def serving(behave: Callable[[Asked], Reply] | Reply) -> Iterator[SpeechServer]:
    """A running server; a Reply stands for one that always gives it."""
    server = SpeechServer(behave if callable(behave) else lambda _: behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
