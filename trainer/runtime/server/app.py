"""The server: one port for the WebSocket protocol, the page, ``/health`` and ``/metrics``.

GET /v1/realtime[?model=NAME][&mode=relay|s2s|cascade][&events=relay]   upgrade: a session
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as websocket_serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from trainer.runtime.events import Mode
from trainer.runtime.server import auth, pages
from trainer.runtime.server._session import Full, MakeSession, Session
from trainer.runtime.server.connection import INTERNAL, POLICY, Limits, Link, shut
from trainer.runtime.server.monitor import Monitor
from trainer.runtime.server.protocol import SERVER, Conversation, Refusal, SessionConfig

_log = logging.getLogger(__name__)

PATH = "/v1/realtime"
_CLOSING_S = 5.0
"""Seconds for a session to end its work."""


@dataclass(frozen=True)
class Options:
    """How the server runs."""

    host: str = "127.0.0.1"
    port: int = 8765
    """0: any free one."""
    mode: Mode = "relay"
    """For clients that name none."""
    model: str = "relay"
    """The model's name, for clients that give none."""
    max_sessions: int = 8
    certificate: str | None = None
    """PEM file; with ``key`` the server speaks TLS."""
    key: str | None = None
    token_variable: str = "RELAY_TOKEN"
    """Environment variable that holds the bearer token; needed where ``host`` is not loopback."""
    origins: tuple[str, ...] = ()
    """Origins of pages that may connect, besides the server's own: ``https://example.org``."""
    max_frame: int = 4 * 1024 * 1024
    """Bytes of one frame: a minute of PCM16 at 24 kHz."""
    ping_s: float = 20.0
    """Seconds between pings, and for the answer."""
    closing_s: float = 5.0
    """Seconds for a client to answer the closing handshake."""
    limits: Limits = field(default_factory=Limits)
    web: Path = pages.WEB

    def __post_init__(self) -> None:
        """Refuse what can not be meant."""
        for name in ("max_sessions", "max_frame", "ping_s", "closing_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode {self.mode!r} is none of {', '.join(get_args(Mode))}")


class Running:
    """A server at work. ``async with`` closes it at the end."""

    def __init__(self, server: Server, options: Options, monitor: Monitor) -> None:
        self._server, self._options = server, options
        self.monitor = monitor

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """The page's address."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"{'https' if self._options.certificate else 'http'}://{host}:{self.port}/"

    async def wait(self) -> None:
        """Wait until the server is closed."""
        await self._server.wait_closed()

    async def close(self) -> None:
        """Refuse new connections, end all sessions (1001), wait until their work is done."""
        self._server.close()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        """The server itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()


async def serve(make_session: MakeSession, options: Options | None = None) -> Running:
    """Start a server. ValueError where the options do not go together; OSError where the port is taken."""
    options = options or Options()
    door = _Door(make_session, options, auth.gate(options.host, options.token_variable, options.origins))
    server = await websocket_serve(
        door.handle,
        options.host,
        options.port,
        process_request=door.request,
        select_subprotocol=_subprotocol,
        compression=None,  # base64 of audio does not shrink enough to be worth the time
        max_size=options.max_frame,
        ping_interval=options.ping_s,
        ping_timeout=options.ping_s,
        close_timeout=options.closing_s,
        server_header=None,
        ssl=auth.tls(options.certificate, options.key),
    )
    return Running(server, options, door.monitor)


class _Door:
    """Answers requests, and gives each connection its session."""

    def __init__(self, make_session: MakeSession, options: Options, gate: auth.Gate) -> None:
        self._make_session, self._options, self._gate = make_session, options, gate
        self.monitor = Monitor()
        self._open = 0

    def request(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a plain GET; None where the WebSocket handshake goes on."""
        path = urlsplit(request.path).path
        if path == "/health":
            return pages.as_json(200, self._health())
        if path not in (PATH, "/metrics"):
            return pages.file(path, self._options.web)
        refusal = self._gate.refusal(request.headers)
        if refusal is not None:
            self.monitor.refused.labels("token" if refusal[0] == 401 else "origin").inc()
            return pages.failure(refusal[0], "unauthorized" if refusal[0] == 401 else "forbidden", refusal[1])
        if path == "/metrics":
            return pages.metrics(self.monitor)
        if "websocket" not in request.headers.get("Upgrade", "").casefold():
            return pages.failure(426, "upgrade_required", f"{PATH} is a WebSocket")
        return None

    async def handle(self, socket: ServerConnection) -> None:
        """Serve one connection from its first event to its last."""
        asked = _asked(socket)
        mode: Mode = asked.get("mode", self._options.mode)
        if mode not in get_args(Mode):
            await self._refuse(socket, "invalid_value", f"mode {mode[:40]!r} is none of {', '.join(get_args(Mode))}")
            return
        if self._open >= self._options.max_sessions:
            await self._refuse(socket, *_FULL)
            return
        self._open += 1
        try:
            await self._serve(socket, mode, asked)
        finally:
            self._open -= 1

    async def _serve(self, socket: ServerConnection, mode: Mode, asked: dict[str, Any]) -> None:
        config = SessionConfig(model=asked.get("model", self._options.model)[:256])
        try:
            session = await self._make_session(mode, config.settings())
        except Full:
            await self._refuse(socket, *_FULL)
            return
        except Exception:  # the boundary between a session and the server: the log has it, the client a clean end
            _log.exception("a session could not be opened")
            await self._refuse(socket, "internal_error", "the session could not be opened", SERVER, INTERNAL)
            return
        with self.monitor.open.track_inprogress():
            self.monitor.sessions.inc()
            why = "server_closing"
            try:
                expires = int(time.time() + self._options.limits.session_s)
                vendor = asked.get("events") == "relay"
                conversation = Conversation(secrets.token_hex(8), config, expires_at=expires, vendor=vendor)
                why = await Link(socket, session, conversation, self._options.limits, self.monitor).run()
            finally:
                self.monitor.closed.labels(why).inc()
                await _closed(session)

    async def _refuse(
        self,
        socket: ServerConnection,
        code: str,
        message: str,
        kind: str = "invalid_request_error",
        close: int = POLICY,
    ) -> None:
        self.monitor.refused.labels(code).inc()
        events = Conversation(secrets.token_hex(8)).refused(Refusal(code, message, kind=kind))
        await shut(socket, [json.dumps(event) for event in events], close, code)

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "sessions": self._open,
            "max_sessions": self._options.max_sessions,
            "mode": self._options.mode,
            "model": self._options.model,
        }


_FULL = ("session_limit_reached", "all sessions are taken; try again later")


def _asked(socket: ServerConnection) -> dict[str, Any]:
    """The query of a connection's address; the first of each name."""
    query = urlsplit(socket.request.path).query if socket.request else ""
    return {name: values[0] for name, values in parse_qs(query).items()}


def _subprotocol(connection: ServerConnection, offered: object) -> Subprotocol | None:
    """``realtime`` where it is offered; most clients offer none, browsers several."""
    names = auth.offered(connection.request.headers) if connection.request else []
    return Subprotocol("realtime") if "realtime" in names else None


async def _closed(session: Session) -> None:
    """Close a session in any case, within bounds, also where the server itself is being stopped."""
    try:
        async with asyncio.timeout(_CLOSING_S):
            await session.close()
    except Exception:  # the boundary between a session and the server: a close that fails must not end others
        _log.exception("a session did not close cleanly")
