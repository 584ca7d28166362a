"""A key that no test may leak, and a fake of Gemini."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.llm.fake_gemini import Gemini
from tests.llm.questions import KEY


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[Gemini]:
    """Gemini on a local port."""
    with Gemini() as serving:
        yield serving
