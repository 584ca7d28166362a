"""One exchange with a speech server over HTTP, and what each of its failures means.

Refused by the server (4xx): ValueError, the request is at fault. Not served this time (5xx, cut off, not audio, too
slow): Unspoken. Not there, not this service, no right to use it: OSError. Needs the package requests.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from datagen.kinds import Unspoken
from datagen.tts._server import ServerConfig

T = TypeVar("T")

LARGEST_RATE = 48_000 * 8
"""Bytes per second of the largest answer that is read: 48 kHz, and 64 bits per sample or two channels of 32."""
ROOM = 1 << 16
"""Bytes read at a time, and what a header may add to the samples."""
LONGEST_WAIT_S = 30.0
"""More is not waited for because a server asks for it."""
EXCERPT = 200
"""Characters of a server's own words that errors quote."""
ANSWERING_S = 2.0

OVERLOADED = frozenset({408, 409, 417, 425, 429})
"""Statuses below 500 that may pass. 417 is how LightTTS reports that its model failed."""
ELSEWHERE = frozenset({401, 402, 403, 404, 405, 407})
"""Statuses that every request would get: a wrong key or address, or nothing left to pay with."""


class _Again(Exception):
    """The server did not take the request up: ask again after ``wait_s``, and raise ``last`` when that is used up."""

    def __init__(self, last: Exception, wait_s: float | None = None) -> None:
        super().__init__(str(last))
        self.last, self.wait_s = last, wait_s


class _Bearer(AuthBase):
    """The key as a header, set when a request leaves. Without a key it sets nothing, which keeps requests from looking
    for a password in ~/.netrc."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Server:
    """A speech server. Safe in threads, each of which has its own connections."""

    def __init__(self, config: ServerConfig, url: str, key: str) -> None:
        self._config, self.url, self._key = config, url, key
        self._auth = _Bearer(key)
        self._most = int(config.max_seconds * LARGEST_RATE) + ROOM
        self._local = threading.local()
        self._lock = threading.Lock()
        self._failures = 0

    def ask(self, path: str, read: Callable[[bytes], T], **parts: Any) -> T:
        """What ``read`` makes of the audio the server answers a POST with; ``parts`` are requests' own arguments.

        OSError also after ``patience`` failures without a success in between: a server whose GPU is lost answers every
        request with an error, and each would cost a record.
        """
        try:
            found = read(self._answer(f"{self.url}{path}", parts))
        except ValueError as error:  # an Unspoken is one
            with self._lock:
                self._failures += 1
                failures = self._failures
            if failures >= self._config.patience:
                raise OSError(
                    f"the server at {self.url} has failed {failures} times in a row, last: {error}; "
                    "look at its log and start it again"
                ) from None
            raise
        with self._lock:
            self._failures = 0
        return found

    def _answer(self, url: str, parts: dict[str, Any]) -> bytes:
        """The body of a good answer."""
        for attempt in range(self._config.attempts):
            try:
                return self._once(url, parts)
            except _Again as again:
                if attempt + 1 == self._config.attempts:
                    raise again.last from None
                time.sleep(self._config.backoff_s * 2**attempt if again.wait_s is None else again.wait_s)
        raise AssertionError("attempts is at least 1")

    def _once(self, url: str, parts: dict[str, Any]) -> bytes:
        deadline = time.monotonic() + self._config.timeout_s
        try:
            response = self._session().post(
                url,
                stream=True,
                allow_redirects=False,
                timeout=(self._config.connect_timeout_s, self._config.timeout_s),
                **parts,
            )
        except (requests.RequestException, HTTPError) as error:
            self._unanswered(error)
        with response:
            body, problem = self._body(response, deadline)
        if not 200 <= response.status_code < 300:
            self._refused(response, body)
        if problem:
            raise Unspoken(f"the server's answer {problem} after {len(body)} bytes")
        content_type = response.headers.get("Content-Type", "").lower()
        if is_text(content_type, body):
            declared = self._plain(content_type) or "text"
            raise Unspoken(f"the server answered with {declared} instead of audio: {self._plain(body)}")
        return body

    def _session(self) -> requests.Session:
        """This thread's session; a new one after a fork, which would share the parent's connections."""
        held: tuple[int, requests.Session] | None = getattr(self._local, "held", None)
        if held is None or held[0] != os.getpid():
            session = requests.Session()
            session.auth = self._auth
            session.headers["Accept-Encoding"] = "identity"
            held = self._local.held = (os.getpid(), session)
        return held[1]

    def _body(self, response: requests.Response, deadline: float) -> tuple[bytes, str]:
        """What was sent, and what is wrong with it; empty when it came whole.

        ``read1`` returns with what there is, so that neither a slow nor an endless answer is waited for.
        """
        body = bytearray()
        try:
            while piece := response.raw.read1(ROOM):
                body += piece
                if len(body) > self._most:
                    return bytes(body), f"has no end within max_seconds {self._config.max_seconds:g}, stopped"
                if time.monotonic() > deadline:
                    return bytes(body), f"was not complete within timeout_s {self._config.timeout_s:g}, stopped"
        except ReadTimeoutError:
            return bytes(body), f"stood still for timeout_s {self._config.timeout_s:g}, given up"
        except (HTTPError, OSError):
            return bytes(body), "broke off"
        return bytes(body), ""

    def _unanswered(self, error: Exception) -> NoReturn:
        """Raises what it means that no answer came."""
        chain = list(_causes(error))
        reason = self._plain(getattr(chain[-1], "strerror", None) or str(chain[-1]) or type(chain[-1]).__name__)
        if isinstance(error, requests.ConnectTimeout) or any(isinstance(e, NewConnectionError) for e in chain):
            raise _Again(
                OSError(f"the server at {self.url} cannot be reached ({reason}); start it with: {self._config.start}")
            ) from None
        if isinstance(error, requests.Timeout):
            raise Unspoken(f"the server gave no answer within timeout_s {self._config.timeout_s:g}") from None
        temporary = isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)
        if temporary and not isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
            raise _Again(Unspoken(f"the connection to the server broke before it answered: {reason}")) from None
        raise OSError(f"the server at {self.url} cannot be used: {reason}; check url and the network") from None

    def _refused(self, response: requests.Response, body: bytes) -> NoReturn:
        """Raises what a status other than success means."""
        status, said = response.status_code, self._plain(body)
        named = f"HTTP {status} {self._plain(response.reason or '')}".rstrip() + (f": {said}" if said else "")
        if status in ELSEWHERE or 300 <= status < 400 or b"insufficient_quota" in body:
            where = f" (it is at {self._plain(response.headers['Location'])})" if response.is_redirect else ""
            raise OSError(f"the server at {self.url} answers {named}{where}; check url, model and key")
        if status in OVERLOADED or status >= 500:
            retry_after = response.headers.get("Retry-After", "")
            wait_s = min(float(retry_after), LONGEST_WAIT_S) if retry_after.isdecimal() else None
            raise _Again(Unspoken(f"the server answered {named}"), wait_s)
        raise ValueError(f"the server refuses the request: {named}")

    def _plain(self, said: bytes | str) -> str:
        """A server's words on one line, cut, and without the key."""
        text = said if isinstance(said, str) else said[:ROOM].decode(errors="replace")
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:EXCERPT]


def is_text(content_type: str, body: bytes) -> bool:
    """Whether an answer is a message and no audio, by its declared type, or by its beginning where none is declared
    (or a wrong one): 64 bytes of printable ASCII are no samples."""
    if content_type.startswith("text/") or "json" in content_type or "xml" in content_type:
        return True
    start = body[:64]
    return len(start) > 0 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)


def answering(url: str) -> str:
    """What a server answers to a GET within 2 s: any status will do; empty when it does not."""
    try:
        with requests.get(url, timeout=ANSWERING_S, stream=True, allow_redirects=False, auth=_Bearer("")) as response:
            return f"{url} answers (HTTP {response.status_code})"
    except (requests.RequestException, HTTPError, OSError, ValueError):
        return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, outermost first; requests and urllib3 put it in different places."""
    at: BaseException | None = error
    while at is not None:
        yield at
        inside = (getattr(at, "reason", None), at.__cause__, *at.args)
        at = next((e for e in inside if isinstance(e, BaseException)), None)
