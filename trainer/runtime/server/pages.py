"""Plain GET requests: ``/health``, ``/metrics``, and the page's files."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.http11 import Response

from trainer.runtime.server import monitor

WEB = Path(__file__).parent.parent / "web"
"""The page."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
}
"""Other files are not given out. A worklet loads as a script only with the script's type."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def answer(status: int, body: bytes, content_type: str, more: Mapping[str, str] | None = None) -> Response:
    """An HTTP answer that ends the connection."""
    fields = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"}
    headers = Headers(fields | _HEADERS | dict(more or {}))
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


def failure(status: int, code: str, message: str) -> Response:
    """An error as the protocol's own servers give it: a JSON object."""
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
    more = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return as_json(status, {"error": error}, more)


def as_json(status: int, data: object, more: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return answer(status, json.dumps(data).encode(), "application/json", more)


def metrics(counted: monitor.Monitor) -> Response:
    """The counters."""
    return answer(200, counted.text(), monitor.CONTENT_TYPE)


def file(path: str, root: Path = WEB) -> Response:
    """A file of the page; ``/`` is ``index.html``. 404 for everything that is not below ``root``."""
    name = unquote(path).lstrip("/") or "index.html"
    if "\x00" in name:
        return failure(404, "not_found", "no such page")
    place = (root / name).resolve()
    kind = _TYPES.get(place.suffix)
    if kind is None or not place.is_relative_to(root.resolve()) or not place.is_file():
        return failure(404, "not_found", "no such page")
    return answer(200, place.read_bytes(), kind)
