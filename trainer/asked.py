"""What an option of the command line stands for where it names a kind. Pure."""

from __future__ import annotations

from typing import Any

import yaml


def mapping(option: str, text: str, remedy: str) -> dict[str, Any]:
    """A mapping with a ``kind``: of a kind's name alone, or of YAML. ValueError, one line, where it stands for none."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"{option}: {text!r} is no YAML; {remedy}") from None
    raw = {"kind": raw} if isinstance(raw, str) else raw
    if not isinstance(raw, dict) or "kind" not in raw:
        raise ValueError(f"{option}: {text!r} names no kind; {remedy}")
    return raw
