"""Messages between a worker and its CosyVoice process: a JSON object and some bytes, each behind its length.

Both ends import this module, and the other end may be an older Python without this project's packages: standard
library alone, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

_LENGTHS = struct.Struct(">II")
"""Bytes of the JSON text and of the payload behind it."""


def packed(message: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """A message as it goes through the pipe."""
    text = json.dumps(message).encode()
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


def received(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes]:
    """The next message and its payload; ``read(n)`` gives exactly n bytes or raises."""
    text, payload = _LENGTHS.unpack(read(_LENGTHS.size))
    return json.loads(read(text)), read(payload)
