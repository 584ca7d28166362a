"""A local server with OpenAI's chat interface; what it says is a function of the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datagen.llm import openai_api
from datagen.llm._asking import Asker
from tests.llm.questions import KEY, right
from tests.llm.serving import Response, Seen, Server

MODEL = "local/qwen"
Talk = Callable[[dict[str, Any], int], Response]


def said(text: str | None, finish: str = "stop", **message: Any) -> Response:
    """A completion."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 100, "completion_tokens": 15, "prompt_tokens_details": {"cached_tokens": 80}}
    return Response({"id": "c", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage})


def error(status: int, message: str = "so it is", code: str | None = None, **headers: str) -> Response:
    """An error as OpenAI spells it."""
    return Response({"error": {"message": message, "type": "error", "code": code}}, status, headers)


def prompt_of(body: dict[str, Any]) -> str:
    """The question in a request."""
    return body["messages"][1]["content"]


def agree(body: dict[str, Any], nth: int) -> Response:
    """Always the right answer."""
    return said(right(prompt_of(body)))


class OpenAi(Server):
    """The fake; ``key`` None = any."""

    def __init__(self, talk: Talk = agree, key: str | None = KEY) -> None:
        super().__init__(self._respond)
        self.talk, self.key = talk, key

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Bodies of all requests, in order."""
        return [seen.json for seen in self.seen]

    def _respond(self, seen: Seen) -> Response:
        if seen.path != "/v1/chat/completions":
            return error(404, f"no {seen.path}")
        given = seen.headers.get("authorization", "")
        if self.key is not None and given != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {given}", "invalid_api_key")
        return self.talk(seen.json, seen.nth)


def model(at: Server, **changes: Any) -> Asker:
    """The real backend, set to a fake and to little patience."""
    settings: dict[str, Any] = {"first_wait_s": 0.01, "longest_wait_s": 0.02, "timeout_s": 5} | changes
    return openai_api.make(openai_api.Config(model=MODEL, base_url=f"{at.url}/v1", **settings))
