"""What of a config decides a result: hashed, it names the result."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel

from datagen.files import fingerprint
from datagen.kinds import KindConfig


def identity_of(value: Any) -> Any:
    """What of a config counts for the identity of a result: everything but the fields a class sets ``aside``. Paths
    count with their contents, and an engine with the revision it states."""
    if isinstance(value, BaseModel):
        aside: frozenset[str] = getattr(type(value), "aside", frozenset())
        fields = {n: identity_of(getattr(value, n)) for n in type(value).model_fields if n not in aside}
        return fields | _of_kind(value) if isinstance(value, KindConfig) else fields
    if isinstance(value, list | tuple):
        return [identity_of(item) for item in value]
    if isinstance(value, dict):
        return {str(key): identity_of(item) for key, item in value.items()}
    return value


def _of_kind(config: KindConfig) -> dict[str, Any]:
    """What a kind's module says of it."""
    module = sys.modules[type(config).__module__]
    found: dict[str, Any] = {}
    if hasattr(module, "revision"):
        found["revision"] = module.revision(config)
    if hasattr(module, "fingerprint"):
        found["contents"] = module.fingerprint(config)
    elif not hasattr(module, "revision") and getattr(config, "path", None):
        found["contents"] = fingerprint(str(getattr(config, "path")))  # noqa: B009
    return found


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(identity_of(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def code_version() -> str:
    """The installed version of this package."""
    try:
        return version("duplexkit")
    except PackageNotFoundError:
        return "0+unknown"
