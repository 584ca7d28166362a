"""The two APIs that a slow path may be behind, as a server speaks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.runtime.sse import Reply, event
from trainer.runtime import backends

KEY = "sk-secret-of-nobody"


def _openai(text: str | None, finish: str | None = None) -> bytes:
    delta = {"content": text} if text is not None else {}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def _gemini(text: str | None, finish: str | None = None) -> bytes:
    candidate: dict[str, Any] = {"index": 0}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if finish:
        candidate["finishReason"] = finish
    return event({"candidates": [candidate], "modelVersion": "m"})


class Dialect(NamedTuple):
    """One API."""

    kind: str
    piece: Callable[..., bytes]
    """The event of a piece of text, with why the answer ends or None."""
    stop: str
    blocked: str
    after: tuple[bytes, ...]
    """What follows the last piece."""

    def said(self, *pieces: str) -> Reply:
        """A whole answer."""
        return Reply((*map(self.piece, pieces), self.piece(None, self.stop), *self.after))

    def error(self, status: int, message: str) -> Reply:
        """A refusal."""
        body = {"error": {"code": status, "status": "X", "message": message}}
        return Reply((event(body)[6:],), status, "application/json")

    def answerer(self, url: str, **changes: Any) -> Any:
        """The real backend, set to a server, asking once."""
        base = f"{url}/v1" if self.kind == "openai_api" else url
        raw = {"kind": self.kind, "model": "m", "base_url": base, "attempts": 1}
        return backends.make("answering", backends.parse("answering", raw | changes))


OPENAI = Dialect("openai_api", _openai, "stop", "content_filter", (b"data: [DONE]\n\n",))
GEMINI = Dialect("gemini", _gemini, "STOP", "SAFETY", ())
