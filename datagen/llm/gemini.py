"""Gemini through Google's google-genai: one request per question, or a whole shard as one batch job at half the price.

The key is read from GEMINI_API_KEY, else from GOOGLE_API_KEY, or from the variable that ``key_env`` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from datagen.answers import Answers
from datagen.core.asking import Ask, Reply, Usage
from datagen.kinds import Need
from datagen.llm import _gemini_batch
from datagen.llm._asking import Asker, Request
from datagen.llm._service import (
    Passing,
    Service,
    encodable,
    fault,
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
PACKAGE = "google-genai"
KEY_ENV = "GEMINI_API_KEY"
WHERE = "get one at https://aistudio.google.com/apikey"


class Config(Service):
    """Gemini's settings.

    Models from Gemini 3 on are made for their own temperature, and from 3.6 on answer 400 when one is sent
    (ai.google.dev/gemini-api/docs/latest-model): set ``send_temperature`` for older ones alone.
    """

    aside: ClassVar[frozenset[str]] = Service.aside | {"batch", "batch_poll_s"}

    kind: Literal["gemini"] = "gemini"
    model: str = Field(default="gemini-3.8-flash", min_length=1)
    key_env: str = Field(default=KEY_ENV, pattern=r"^[A-Z][A-Z0-9_]*$")
    send_temperature: bool = False
    thinking_room: int = Field(default=8192, ge=0, le=2**17)
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    """How much a model from Gemini 3 on thinks before it answers; None = its own default. Thoughts cost like output.
    gemini-3.7-flash and gemini-3.8-flash answer 400 to minimal (docs.cloud.google.com, guide to Gemini 3.8 Flash)."""
    thinking_budget: int | None = Field(default=None, ge=-1)
    """Tokens a Gemini 2.5 model may think: 0 none, -1 as many as it likes; None = its own default."""
    batch: bool = False
    """Ask in batch jobs: half the price, within a day. Repairs and failed items are asked one by one."""
    batch_poll_s: float = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _one_way_of_thinking(self) -> Self:
        if self.thinking_level is not None and self.thinking_budget is not None:
            raise ValueError("thinking_level and thinking_budget exclude each other; give the one the model knows")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Environment variables that may hold the key; a variable of one's own has no second."""
        return (KEY_ENV, "GOOGLE_API_KEY") if self.key_env == KEY_ENV else (self.key_env,)


class Wire:
    """Gemini's ``generateContent`` (see ``_asking.Wire``)."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request as the REST interface spells it; a batch job's file holds it as it is."""
        config = self._config
        generation: dict[str, Any] = {
            "responseMimeType": "application/json",
            "responseJsonSchema": ask.answer_schema,
            "maxOutputTokens": ask.max_output_tokens + config.thinking_room,
        }
        if config.send_seed:
            generation["seed"] = ask.seed
        if config.send_temperature:
            generation["temperature"] = ask.temperature
        if config.thinking_level is not None:
            generation["thinkingConfig"] = {"thinkingLevel": config.thinking_level.upper()}
        if config.thinking_budget is not None:
            generation["thinkingConfig"] = {"thinkingBudget": config.thinking_budget}
        return {
            "systemInstruction": {"parts": [{"text": ask.system}]},
            "contents": [
                {"role": "model" if model else "user", "parts": [{"text": text}]} for model, text in turns(ask)
            ],
            "generationConfig": generation,
        }

    def open(self) -> aclosing[Connection]:
        """A connection; see ``_asking.Wire``."""
        return aclosing(Connection(self._config))


class Connection:
    """Google's client, made when something is first sent."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._made: Any = None
        self._http: Any = None
        self._secrets: tuple[str, ...] = ()

    async def ahead(self, requests: Sequence[Request], answers: Answers) -> None:
        """With ``batch``, answers from a batch job."""
        if self._config.batch:
            await _gemini_batch.collect(self, self._config, self._config.batch_poll_s, requests, answers)

    async def send(self, body: dict[str, Any]) -> Reply:
        """One ``generateContent``."""
        from google.genai import types

        config = types.GenerateContentConfig.model_validate(
            {
                "systemInstruction": body["systemInstruction"],
                "automaticFunctionCalling": {"disable": True},
                **body["generationConfig"],
            }
        )
        client = self.client()
        with self.faults():
            response = await client.models.generate_content(
                model=self._config.model, contents=body["contents"], config=config
            )
        return self.reply(_gemini_batch.as_sent(response))

    def client(self) -> Any:
        """google-genai's asynchronous client, without its own retries. PermissionError when there is no key."""
        if self._made is None:
            import httpx2
            from google import genai
            from google.genai import types

            key = key_from(self._config.keys)
            if not key:
                raise no_key(self._config.key_env, WHERE)
            self._secrets = (key,)
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=self._config.concurrency)
            self._http = httpx2.AsyncClient(limits=limits, follow_redirects=True)
            options = types.HttpOptions(
                base_url=self._config.base_url,
                timeout=max(1, round(self._config.timeout_s * 1000)),
                httpx_async_client=self._http,
            )
            self._made = genai.Client(vertexai=False, api_key=key, http_options=options)
        return self._made.aio

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Around a call of the client: its errors as Passing, Unanswered or OSError, without the key."""
        import httpx2
        from google.genai import errors

        try:
            yield
        except errors.APIError as error:
            meant = _meaning(error, self._config, self._secrets)
        except httpx2.HTTPError as error:
            unreached = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            said = one_line(str(error), self._secrets)
            meant = Passing(f"{type(error).__name__}: {said}", reached=not unreached)
        except ValueError as error:  # a proxy's page of HTML, or half of an answer
            meant = Passing(f"an answer that is no JSON: {one_line(str(error), self._secrets)}")
        else:
            return
        raise meant

    def reply(self, response: dict[str, Any]) -> Reply:
        """A ``GenerateContentResponse`` in REST spelling as an answer."""
        candidate = next(iter(response.get("candidates") or ()), {})
        parts = (candidate.get("content") or {}).get("parts") or ()
        text = "".join(part.get("text") or "" for part in parts if not part.get("thought"))
        return Reply(
            text=redacted(encodable(text), self._secrets),
            finish=_finish(response, candidate),
            model=named(self._config.model, response.get("modelVersion")),
            usage=_usage(response.get("usageMetadata") or {}),
        )

    async def aclose(self) -> None:
        """Closes the client's connections."""
        if self._made is not None:
            await self._http.aclose()
            self._made.close()


def _finish(response: dict[str, Any], candidate: dict[str, Any]) -> str:
    """Why the model stopped, in Reply's words; a blocked prompt has no candidate at all."""
    if not candidate:
        return str((response.get("promptFeedback") or {}).get("blockReason") or "no candidate")
    reason = str(candidate.get("finishReason") or "STOP")
    return {"STOP": "stop", "MAX_TOKENS": "length"}.get(reason, reason)


def _usage(counts: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=tokens(counts.get("promptTokenCount")),
        cached_tokens=tokens(counts.get("cachedContentTokenCount")),
        output_tokens=tokens(counts.get("candidatesTokenCount")) + tokens(counts.get("thoughtsTokenCount")),
    )


def _meaning(error: Any, config: Config, secrets: Sequence[str]) -> Exception:
    """What an error that the service answered with means."""
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error") if isinstance(body.get("error"), dict) else body
    details = [d for d in inner.get("details") or () if isinstance(d, dict)] if inner else []
    said = one_line(error.message or error.status or "no message", secrets)
    status = int(error.code or 500)
    wrong_key = any(d.get("reason") == "API_KEY_INVALID" for d in details)
    if status == 400 and (wrong_key or error.status == "FAILED_PRECONDITION"):  # no billing, or not in this country
        status = 403
    delays = [_seconds(d.get("retryDelay")) for d in details if str(d.get("@type", "")).endswith("RetryInfo")]
    return fault(status, said, config, max([wait_asked(getattr(error.response, "headers", None) or {}), *delays]))


def _seconds(duration: object) -> float:
    """A protobuf duration such as ``37s``; 0 when it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(duration))
    return float(found[1]) if found else 0.0


def make(config: Config) -> Asker:
    require(PACKAGE, config.kind, "gemini")
    return Asker(config, Wire(config))


def revision(config: Config) -> str:
    """The model."""
    return config.model


def needs(config: Config) -> Iterator[Need]:
    """The package, the key, and the server where it is not Google's."""
    return needs_of(config, PACKAGE, "gemini", config.keys, WHERE)
