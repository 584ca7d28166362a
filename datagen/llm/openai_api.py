"""Any server with OpenAI's chat interface: OpenAI itself, vLLM, Ollama, llama.cpp and others.

A server on this machine or its network needs no key; one is sent all the same when the variable ``key_env`` is set.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from pydantic import Field, JsonValue

from datagen.answers import Answers
from datagen.core.asking import Ask, Reply, Usage
from datagen.kinds import Need
from datagen.llm._asking import Asker, Request
from datagen.llm._service import (
    Passing,
    Service,
    encodable,
    fault,
    is_local,
    key_from,
    named,
    needs_of,
    no_key,
    one_line,
    redacted,
    require,
    tokens,
    turns,
    wait_asked,
)

RESOURCES = {"API": 1}
PACKAGE = "openai"
OPENAI = "https://api.openai.com/v1"
WHERE = "get one at https://platform.openai.com/api-keys, or from whoever runs the server"
NO_KEY = "none"
"""Sent to servers that want no key: the client refuses to send nothing."""


class Config(Service):
    """Which server, and what it understands."""

    kind: Literal["openai_api"] = "openai_api"
    base_url: str | None = OPENAI
    """Up to and with ``/v1``: http://localhost:8000/v1 (vLLM), http://localhost:11434/v1 (Ollama)."""
    key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    send_temperature: bool = True
    """OpenAI's reasoning models refuse any but 1."""
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How the form of the answer is asked for. Without json_schema, the schema is written into the instructions."""
    tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Ollama and older servers know max_tokens alone."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request's body, such as ``reasoning_effort: low`` or vLLM's ``chat_template_kwargs``."""

    @property
    def url(self) -> str:
        return self.base_url or OPENAI


class Wire:
    """Chat completions (see ``_asking.Wire``)."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def body(self, ask: Ask) -> dict[str, Any]:
        """The body of the request."""
        config = self._config
        system = ask.system
        form: dict[str, Any] | None = {"type": "json_object"}
        if config.structured == "json_schema":
            form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask.answer_schema}}
        else:
            system += f"\nAnswer with one JSON object that follows this schema: {json.dumps(ask.answer_schema)}"
        body: dict[str, Any] = {
            "model": config.model,
            "messages": [
                {"role": "system", "content": system},
                *({"role": "assistant" if model else "user", "content": text} for model, text in turns(ask)),
            ],
            config.tokens_field: ask.max_output_tokens + config.thinking_room,
        }
        if config.structured != "none":
            body["response_format"] = form
        if config.send_seed:
            body["seed"] = ask.seed
        if config.send_temperature:
            body["temperature"] = ask.temperature
        return body | config.extra

    def open(self) -> aclosing[Connection]:
        """A connection; see ``_asking.Wire``."""
        return aclosing(Connection(self._config))


class Connection:
    """OpenAI's client, made when something is first sent."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._made: Any = None
        self._secrets: tuple[str, ...] = ()

    async def ahead(self, requests: Sequence[Request], answers: Answers) -> None:
        """Nothing: there are no batch jobs here."""

    async def send(self, body: dict[str, Any]) -> Reply:
        """One chat completion."""
        import openai

        client = self._client()
        known = {name: body[name] for name in ("model", "messages")}
        more = {name: value for name, value in body.items() if name not in known}
        try:
            response = await client.chat.completions.with_raw_response.create(**known, extra_body=more)
            completion = response.http_response.json()
        except openai.APIStatusError as error:
            meant = _meaning(error, self._config, self._secrets)
        except openai.APIConnectionError as error:
            said = one_line(error.__cause__ or error, self._secrets)
            meant = Passing(said, reached=isinstance(error, openai.APITimeoutError) or not _refused(error))
        except (openai.OpenAIError, ValueError) as error:  # a proxy's page of HTML, or half of an answer
            meant = Passing(f"an answer that is no JSON: {one_line(error, self._secrets)}")
        else:
            return self._reply(completion)
        raise meant

    def _client(self) -> Any:
        """The asynchronous client, without its own retries. PermissionError when there is no key and one is needed."""
        if self._made is None:
            import openai

            key = key_from([self._config.key_env])
            if not key and not is_local(self._config.url):
                raise no_key(self._config.key_env, WHERE)
            self._secrets = (key,) if key else ()
            self._made = openai.AsyncOpenAI(
                api_key=key or NO_KEY, base_url=self._config.url, max_retries=0, timeout=self._config.timeout_s
            )
        return self._made

    def _reply(self, completion: Any) -> Reply:
        """A completion as an answer. Servers differ in what they leave out."""
        choices = completion.get("choices") if isinstance(completion, dict) else None
        if not choices:
            raise Passing("an answer without choices")
        message, usage = choices[0].get("message") or {}, completion.get("usage") or {}
        return Reply(
            text=redacted(encodable(message.get("content") or ""), self._secrets),
            finish="refusal" if message.get("refusal") else str(choices[0].get("finish_reason") or "stop"),
            model=named(self._config.model, completion.get("model")),
            usage=Usage(
                prompt_tokens=tokens(usage.get("prompt_tokens")),
                cached_tokens=tokens((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
                output_tokens=tokens(usage.get("completion_tokens")),
            ),
        )

    async def aclose(self) -> None:
        """Closes the client's connections."""
        if self._made is not None:
            await self._made.close()


def _refused(error: Exception) -> bool:
    """Whether no server was there to be connected with."""
    import httpx2

    return isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)


def _meaning(error: Any, config: Config, secrets: Sequence[str]) -> Exception:
    """What an error that the server answered with means."""
    body = error.body if isinstance(error.body, dict) else {}
    said = one_line(body.get("message") or error.message or "no message", secrets)
    if error.status_code == 429 and body.get("code") == "insufficient_quota":  # waiting does not help
        return PermissionError(errno.EACCES, f"the account of the key in {config.key_env} has no money left ({said})")
    return fault(error.status_code, said, config, wait_asked(error.response.headers))


def make(config: Config) -> Asker:
    require(PACKAGE, config.kind, "openai")
    return Asker(config, Wire(config))


def revision(config: Config) -> str:
    """The model."""
    return config.model


def needs(config: Config) -> Iterator[Need]:
    """The package, the key where one is needed, and the server where it is not OpenAI's."""
    keys = () if is_local(config.url) else (config.key_env,)
    elsewhere = config if config.url != OPENAI else config.model_copy(update={"base_url": None})
    return needs_of(elsewhere, PACKAGE, "openai", keys, WHERE)
