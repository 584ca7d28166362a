"""What of a dataset's papers concerns nobody else, and is left out where it is published.

- ``recipe.yaml``: the folders and buckets its paths lead to, and the addresses of servers that are not public;
- ``manifest.json``: ``usage``, the answers that language models were paid for.

The same rules for every release, so that two releases of one dataset do not differ. Nothing that is left out is part of
an identity: hashes in what is published stay true.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from datagen.layers import MAYBE_PATHS, PATHS
from datagen.llm.openai_api import OPENAI
from datagen.strict_yaml import dump_yaml, parse_yaml

SERVERS = frozenset({"url", "base_url"})
"""Keys whose values are addresses of servers, in the configs of all kinds."""
PUBLIC = frozenset({OPENAI})
"""Addresses that a kind has as its own default; any other may be somebody's private server."""
COSTS = frozenset({"usage"})
"""Keys of the manifest that tell what the run has cost."""
KEPT_PARTS = 2


def portable(recipe: str) -> str:
    """The text of a resolved recipe as others may read it.

    A path, of this machine or a URL, keeps its last two parts: a resolved recipe holds absolute ones, which are of no
    use elsewhere and tell who works where. A server's address becomes ``localhost`` unless it is a provider's own.
    """
    comments = [line for line in recipe.splitlines(keepends=True) if line.startswith("#")]
    return "".join(comments) + dump_yaml(_portable(parse_yaml(recipe, "recipe.yaml")))


def _portable(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _portable(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_portable(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    if key in SERVERS:
        return value if value.rstrip("/") in PUBLIC else _local(value)
    if os.path.isabs(value):
        return _ending(value)
    return _ending(urlsplit(value).path) if "://" in value and key in PATHS | MAYBE_PATHS else value


def _ending(path: str) -> str:
    """The last two parts; a path that has no more stays as it is."""
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    return "/".join(parts[-KEPT_PARTS:]) if len(parts) >= KEPT_PARTS else path


def _local(address: str) -> str:
    """An address without the server: scheme and path stay."""
    parts = urlsplit(address)
    return parts._replace(netloc="localhost", query="", fragment="").geturl() if parts.netloc else ""


def papers(manifest: Mapping[str, Any]) -> str:
    """The manifest as it is published, in the form in which it is written."""
    return json.dumps({k: v for k, v in manifest.items() if k not in COSTS}, indent=1, ensure_ascii=False)
