"""What the backends that talk to a server share: settings, kinds of failure, keys that never leak, what they need."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from typing import ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from datagen.core.asking import Ask
from datagen.kinds import KindConfig, Need

OBJECTION = "This answer cannot be used: {}. Give the whole answer again, corrected, as one JSON object."
"""What a repair says about the answer before."""
LONGEST_TEXT = 300
"""Characters of a server's own words that an error repeats."""
SHORTEST_SECRET = 6
"""Shorter keys are placeholders of local servers; blotting them out would garble texts."""
CONNECT_S = 2.0


class Unanswered(ValueError):
    """There is no answer to one question; others may have one. One line, the reason."""


class Refused(Unanswered):
    """The service does not take the request as it is: something in the question, or in the settings."""


class Passing(Exception):
    """A fault of the service or of the line that may have passed when the request is made again."""

    def __init__(self, reason: str, wait_s: float = 0.0, *, limited: bool = False, reached: bool = True) -> None:
        """``wait_s`` is what the server asks to wait, ``limited`` that it refuses more requests for now, ``reached``
        that there is a server at all."""
        super().__init__(reason)
        self.wait_s, self.limited, self.reached = wait_s, limited, reached


class Service(KindConfig):
    """Settings of a backend. Which server answers, with which key and how patiently it is asked, is no part of an
    identity; the model and what is sent to it are."""

    aside: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "key_env", "concurrency", "timeout_s", "attempts", "first_wait_s", "longest_wait_s"}
    )

    model: str = Field(min_length=1)
    base_url: str | None = None
    """Address of the service; None = the provider's own."""
    key_env: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    """Name of the environment variable that holds the key. The key itself stands in no config, log or file."""
    send_temperature: bool
    """Whether an ask's temperature is sent; some models refuse the field."""
    send_seed: bool = True
    """Whether an ask's seed is sent. It counts as a part of the request either way."""
    thinking_room: int = Field(default=0, ge=0, le=2**17)
    """Tokens allowed on top of an ask's own limit: a model that thinks first spends of the same limit, while an ask
    states how long its answer may be."""
    concurrency: int = Field(default=16, ge=1, le=1000)
    """Requests of one task on their way at the same time."""
    timeout_s: float = Field(default=120, gt=0)
    """Of one request, from its first byte to the last byte of its answer."""
    attempts: int = Field(default=6, ge=1)
    """Requests per question as long as the service fails."""
    first_wait_s: float = Field(default=1, gt=0)
    """Before the second attempt, at most; doubled before each further one."""
    longest_wait_s: float = Field(default=60, gt=0)
    """No wait is longer, whatever the server asks for."""

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://x")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an address such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("the address must hold no key or password; put it into the variable that key_env names")
        return url

    @model_validator(mode="after")
    def _waits_in_order(self) -> Self:
        if self.longest_wait_s < self.first_wait_s:
            raise ValueError(f"longest_wait_s {self.longest_wait_s:g} is less than first_wait_s {self.first_wait_s:g}")
        return self


def turns(ask: Ask) -> Iterator[tuple[bool, str]]:
    """A conversation's texts in order, each with whether the model said it; the last one is never the model's."""
    yield False, ask.prompt
    for answer, objection in ask.said_before:
        yield True, answer
        yield False, OBJECTION.format(objection)


def one_line(text: object, secrets: Sequence[str] = ()) -> str:
    """A text on one line, shortened, without secrets."""
    words = " ".join(redacted(str(text), secrets).split())
    return words if len(words) <= LONGEST_TEXT else words[:LONGEST_TEXT].rstrip() + " ..."


def redacted(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret blotted out."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def named(asked: str, answered: str | None) -> str:
    """The version that answered, under a name that begins with the one asked for: prices are found by it."""
    version_ = (answered or asked).removeprefix("models/")
    return version_ if version_.startswith(asked) else f"{asked} ({version_})"


def tokens(count: object) -> int:
    """A number of tokens as a server states it; 0 where it states none."""
    return max(0, int(count)) if isinstance(count, int | float) else 0


def key_from(names: Sequence[str]) -> str:
    """The value of the first of these environment variables that is set, "" when none is."""
    for name in names:
        value = os.environ.get(name, "").strip()
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            raise PermissionError(errno.EACCES, f"{name} holds characters that no key has; set it again")
        if value:
            return value
    return ""


def no_key(name: str, where: str) -> PermissionError:
    """The error for a missing key; ``where`` says how to get one."""
    return PermissionError(errno.EACCES, f"{name} is not set; export {name}=... ({where})")


def fault(status: int, said: str, config: Service, wait_s: float = 0.0) -> Exception:
    """What an HTTP status other than 2xx means; ``said`` is the server's message on one line."""
    what = f"HTTP {status}: {said}"
    if status in (408, 425, 429) or status >= 500:
        return Passing(what, wait_s, limited=status == 429)
    if status in (401, 402, 403):
        return PermissionError(errno.EACCES, f"the service does not accept the key in {config.key_env} ({what})")
    if status == 404:
        return OSError(f"there is no model {config.model!r} at {config.base_url or 'the service'} ({what})")
    return Refused(f"the service refused the request ({what})")


def wait_asked(headers: Mapping[str, str]) -> float:
    """Seconds that an HTTP ``Retry-After`` asks to wait, as a number or as a date; 0 without a usable one."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def is_local(url: str) -> bool:
    """Whether an address is on this machine or its network, where servers seldom want a key."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def require(package: str, kind: str, extra: str) -> None:
    """ValueError with the remedy unless a package is installed."""
    if not _installed(package):
        raise ValueError(f"kind {kind} needs a package that is not installed; run: pip install 'duplexkit[{extra}]'")


def needs_of(config: Service, package: str, extra: str, keys: Sequence[str], where: str) -> Iterator[Need]:
    """Package, key and, where an address is given, whether a server listens there. No ``keys``: none is needed."""
    yield Need(f"package {package}", _installed(package), f"pip install 'duplexkit[{extra}]'")
    if keys:
        found = next((name for name in keys if os.environ.get(name, "").strip()), "")
        yield Need(f"key {keys[0]}", f"{found} is set" if found else "", f"export {keys[0]}=... ({where})")
    if config.base_url is not None:
        yield Need(f"server {config.base_url}", _listening(config.base_url), "start it there or correct base_url")


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _listening(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S):
            return "accepts connections"
    except (OSError, ValueError):
        return ""
