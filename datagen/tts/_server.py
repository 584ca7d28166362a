"""What engines behind an HTTP server have in common: their settings, where the server is, and what they need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from datagen.kinds import KindConfig, Need

if TYPE_CHECKING:
    from datagen.tts._http import Server

INSTALL = "pip install 'duplexkit[http]'"
SEEDS = 2**31
"""Seeds are sent modulo this: servers hand them to generators of 32 bits, and some read them as signed."""


class ServerConfig(KindConfig):
    """Settings of an engine behind a server. Only ``model`` and ``max_seconds`` change what is spoken."""

    aside: ClassVar[frozenset[str]] = frozenset(
        {"url", "key_env", "timeout_s", "connect_timeout_s", "concurrency", "attempts", "backoff_s", "patience"}
    )
    url_env: ClassVar[str]
    """The environment variable that stands in for ``url``."""
    start: ClassVar[str]
    """A command that starts such a server."""

    model: str = Field(min_length=1)
    """Name and revision of the model that is served, as declared by whoever runs it: servers may be unable to say."""
    url: str | None = None
    """``http://host:port``; absent: from the environment variable of the kind."""
    key_env: str | None = None
    """Name of the environment variable that holds the key, where the server wants one; it is sent as a bearer token."""
    max_seconds: float = Field(default=180, gt=0, le=600)
    """Clips that last longer are refused: a model that did not find the end."""
    timeout_s: float = Field(default=120, gt=0)
    """For a whole answer, with the time it waits in the server's queue."""
    connect_timeout_s: float = Field(default=10, gt=0)
    concurrency: int = Field(default=4, ge=1, le=256)
    """Requests that one worker has under way at once."""
    attempts: int = Field(default=3, ge=1, le=10)
    """For a request that the server did not take up: HTTP 429 and 5xx, a connection that broke or was refused."""
    backoff_s: float = Field(default=0.5, ge=0, le=60)
    """Before the second attempt; doubled before each further one. A server's own ``Retry-After`` goes first."""
    patience: int = Field(default=40, ge=1)
    """So many requests without a single success in between, and the server is taken to be broken."""


def one_value_per_field(own: frozenset[str], seed_field: str | None, extra: Mapping[str, object]) -> None:
    """Raises ValueError when a further field, or the one for the seed, is one that the engine fills itself."""
    if seed_field in own:
        raise ValueError(f"seed_field: {seed_field} is the field of something else")
    if twice := sorted(name for name in extra if name in own or name == seed_field):
        raise ValueError(f"extra: {', '.join(twice)} is filled by the engine; remove it")


def address(config: ServerConfig) -> str:
    """Where the server is, without a slash at the end; OSError when nobody says, ValueError when it is no address."""
    url = (config.url or os.environ.get(config.url_env, "")).strip().rstrip("/")
    if not url:
        raise OSError(f"url: not given, and {config.url_env} is not set; start a server ({config.start}) and name it")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
        parts = urlsplit("")
    if not good:
        raise ValueError(f"url: {url!r} is no address of a server; give one like http://localhost:8080")
    if parts.username or parts.password or parts.query:
        raise ValueError("url: holds a user name, a password or a query; give a key by key_env instead")
    return url


def secret(config: ServerConfig) -> str:
    """The key, empty where none is wanted; OSError when its variable is not set or holds no key."""
    if config.key_env is None:
        return ""
    key = os.environ.get(config.key_env, "").strip()
    if not key:
        raise OSError(f"key_env: {config.key_env} is not set; run: export {config.key_env}=...")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise OSError(f"key_env: what {config.key_env} holds is no key: it has spaces or other odd characters")
    return key


def connect(config: ServerConfig) -> Server:
    """The server, ready to be asked; nothing is sent yet. ValueError when the package requests is missing."""
    try:
        from datagen.tts._http import Server
    except ImportError:
        raise ValueError(f"kind {config.kind} needs a package that is not installed; run: {INSTALL}") from None
    return Server(config, address(config), secret(config))


def server_needs(config: ServerConfig) -> Iterator[Need]:
    """The package, the server, and the key where one is named. The server is asked for its first page, for 2 s."""
    try:
        yield Need("package requests", version("requests"))
    except PackageNotFoundError:
        yield Need("package requests", "", INSTALL)
        return
    yield _server_need(config)
    if config.key_env is not None:
        try:
            yield Need(f"key {config.key_env}", "set" if secret(config) else "")
        except OSError as error:
            yield Need(f"key {config.key_env}", "", str(error))


def _server_need(config: ServerConfig) -> Need:
    from datagen.tts._http import answering

    try:
        url = address(config)
    except (OSError, ValueError) as error:
        return Need("server", "", str(error))
    found = answering(url)
    return Need("server", found, "" if found else f"{url} is not answering; start it with: {config.start}")
