"""What the server refuses, as the protocol says it: an ``error`` event with type, code, message, param. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

INVALID = "invalid_request_error"
SERVER = "server_error"
_LONGEST = 500
"""Characters of a message; a client's own text is quoted in it."""


class Refusal(Exception):
    """A client event that can not be done; the session goes on."""

    def __init__(self, code: str, message: str, param: str | None = None, kind: str = INVALID) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:_LONGEST]
        self.param = param
        self.kind = kind

    def event(self, client_event: str | None = None) -> dict[str, Any]:
        """The error event; ``client_event`` is the id of the event at fault."""
        error = {"type": self.kind, "code": self.code, "message": self.message}
        return {"type": "error", "error": error | {"param": self.param, "event_id": client_event}}


_CODES = {
    "missing": "missing_required_parameter",
    "union_tag_not_found": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
}


def refused(error: ValidationError, root: str = "") -> Refusal:
    """The first fault that pydantic found, in the protocol's words. ``root``: where the validated value stands."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "tagged-union"))]
    param = ".".join(([root] if root else []) + place) or None
    code = _CODES.get(first["type"], "invalid_value")
    return Refusal(code, f"{param or 'event'}: {first['msg']}", param)
