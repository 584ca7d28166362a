"""What the backends share: statuses, waits, secrets, addresses."""

from __future__ import annotations

import errno
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.faults import is_fatal
from datagen.llm._service import (
    Passing,
    Unanswered,
    encodable,
    fault,
    is_local,
    named,
    one_line,
    redacted,
    wait_asked,
)
from datagen.llm.gemini import Config


@given(st.integers(400, 599))
def test_every_status_means_something(status: int) -> None:
    meant = fault(status, "said", Config(), 3.0)
    assert f"HTTP {status}: said" in str(meant)
    passes = status in (408, 425, 429) or status >= 500
    assert isinstance(meant, Passing) == passes
    assert is_fatal(meant) == (status in (401, 402, 403))
    assert isinstance(meant, Unanswered | OSError) != passes
    if isinstance(meant, Passing):
        assert (meant.wait_s, meant.limited, meant.reached) == (3.0, status == 429, True)


def test_a_fault_of_the_key_ends_the_run() -> None:
    meant = fault(401, "said", Config())
    assert isinstance(meant, PermissionError)
    assert meant.errno == errno.EACCES


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("nan", 0),
        ("inf", 0),
        ("soon", 0),
        ("", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert wait_asked({"retry-after": header}) == seconds


def test_retry_after_as_a_date() -> None:
    assert 28 < wait_asked({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30
    assert wait_asked({}) == 0


@given(st.text(), st.text(min_size=6), st.text())
def test_secrets_are_blotted_out(before: str, secret: str, after: str) -> None:
    assert secret not in redacted(f"{before}{secret}{after}", [secret]).replace("***", "\0") or set(secret) <= {"*"}
    assert "\n" not in one_line(f"{before}{secret}{after}", [secret])


def test_placeholders_are_no_secrets() -> None:
    assert redacted("none of it", ["none", ""]) == "none of it"


@given(st.text(st.characters(codec=None)))
def test_every_text_can_be_written(text: str) -> None:
    encodable(text).encode()
    if not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert encodable(text) == text


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://192.168.1.7/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://gpu.local/v1", True),
        ("https://api.openai.com/v1", False),
        ("https://8.8.8.8/v1", False),
    ],
)
def test_local_addresses(url: str, local: bool) -> None:
    assert is_local(url) == local


def test_the_name_of_a_version_begins_with_the_one_asked_for() -> None:
    assert named("m", "m-001") == "m-001"
    assert named("m", "models/m") == "m"
    assert named("m", None) == "m"
    assert named("m", "other") == "m (other)"
