"""Who may connect: bearer token (from the environment), origin, the name the server is called by; TLS."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.datastructures import Headers

_KEY_PROTOCOL = "openai-insecure-api-key."
"""Browsers can set no header; the protocol's clients offer the key as a subprotocol."""


def is_loopback(host: str) -> bool:
    """The address or name is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    name = host.strip("[]").rstrip(".").casefold()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


@dataclass(frozen=True)
class Gate:
    """Decides about requests. ``token`` None: open to all who reach it, which is allowed on loopback alone."""

    loopback: bool
    token: str | None = field(repr=False)
    origins: tuple[str, ...] = ()

    def refusal(self, headers: Headers) -> tuple[int, str] | None:
        """HTTP status and reason where a request may not use the server; None where it may."""
        if not self.known_name(headers):
            return 403, "the Host header names another machine; add the page's origin to the allowed origins"
        if not self.same_origin(headers):
            return 403, "this origin is not allowed"
        if self.token is not None and not any(_same(key, self.token) for key in _keys(headers)):
            return 401, "a valid bearer token is needed"
        return None

    def known_name(self, headers: Headers) -> bool:
        """On loopback a Host of another name is a page that had its name resolve to this machine."""
        host = _one(headers, "Host")
        if not self.loopback or host is None:
            return True
        allowed = {urlsplit(origin).netloc.casefold() for origin in self.origins}
        return host.casefold() in allowed or is_loopback(urlsplit(f"//{host}").hostname or "")

    def same_origin(self, headers: Headers) -> bool:
        """Programs send no origin; a page must be the server's own or listed."""
        origin, host = _one(headers, "Origin"), _one(headers, "Host")
        if origin is None:
            return not headers.get_all("Origin")
        if origin.casefold() in {allowed.casefold() for allowed in self.origins}:
            return True
        return host is not None and urlsplit(origin).netloc.casefold() == host.casefold()


def gate(host: str, token_variable: str, origins: Sequence[str]) -> Gate:
    """The gate for a server at ``host``. ValueError where it would be open to the network without a token."""
    token = os.environ.get(token_variable, "").strip() or None
    if token is None and not is_loopback(host):
        raise ValueError(
            f"host {host!r} is reached from other machines and needs a bearer token; "
            f"set the environment variable {token_variable}"
        )
    return Gate(is_loopback(host), token, tuple(origins))


def tls(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    """A TLS context from PEM files; None without them. ValueError where one is missing or they do not fit."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ValueError("TLS needs both files, the certificate and its key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"TLS: certificate {certificate} and key {key} can not be used: {error}") from None
    return context


def offered(headers: Headers) -> list[str]:
    """The subprotocols that the client offers."""
    lines = headers.get_all("Sec-WebSocket-Protocol")
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]


def _keys(headers: Headers) -> list[str]:
    keys = [value[7:].strip() for value in headers.get_all("Authorization") if value[:7].casefold() == "bearer "]
    return keys + [part.removeprefix(_KEY_PROTOCOL) for part in offered(headers) if part.startswith(_KEY_PROTOCOL)]


def _same(given: str, expected: str) -> bool:
    """Compared as digests, so that the time tells neither the place of a difference nor the length."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, expected)]
    return hmac.compare_digest(*digests)


def _one(headers: Headers, name: str) -> str | None:
    """A header's value where it is given exactly once."""
    values = headers.get_all(name)
    return values[0].strip() if len(values) == 1 else None
