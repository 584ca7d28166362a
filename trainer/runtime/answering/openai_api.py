"""Any server with OpenAI's chat interface as the slow path: OpenAI itself, vLLM, TGI, SGLang, Ollama, llama.cpp.

The words committed are forced where the server can continue an assistant's message (``continue_message``), else the
model is instructed to go on after them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field, JsonValue

from datagen.core.types import Turn
from datagen.kinds import Need
from trainer.runtime.answering._base import Pieces, SlowPathError, patient, room_after
from trainer.runtime.answering._cleaning import Cleaner
from trainer.runtime.answering._prompting import instruction, messages, system_text
from trainer.runtime.answering._remote import PerLoop, Remote, engine_of, meaning, needs_of, require, service_of

FORCED: dict[str, JsonValue] = {"add_generation_prompt": False, "continue_final_message": True}
"""vLLM's and SGLang's words for: the last message is an assistant's that is not over. TGI and llama.cpp take a last
message of the assistant's for that by themselves, and ignore these."""


class Config(Remote):
    """Which server, and what it understands."""

    kind: Literal["openai_api"] = "openai_api"
    key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    continue_message: bool = False
    """The server can continue an assistant's message: vLLM, SGLang, TGI, llama.cpp; not OpenAI itself."""
    tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Ollama and older servers know max_tokens alone."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request's body, such as ``reasoning_effort: none`` or ``chat_template_kwargs``."""


class OpenAi:
    """The slow path (see ``_base.Answerer``)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._engine = engine_of(config)
        self._service: Any = service_of(config)
        self._secrets: tuple[str, ...] = ()
        self._clients: PerLoop[Any] = PerLoop(self._client)

    def answer(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> Pieces:
        """See ``_base.Answerer``."""
        body = self._body(history, user, prefix, system_text(self._config.system, instructions))
        return patient(partial(self._once, body), self._config, room_after(prefix), self._config.attempts)

    async def warm(self) -> None:
        """Nothing: it is ready."""

    async def aclose(self) -> None:
        """Closes the running loop's connections."""
        if client := self._clients.take():
            await client.close()

    def _body(self, history: Sequence[Turn], user: str, prefix: str, system: str) -> dict[str, Any]:
        config = self._config
        more: dict[str, JsonValue] = {config.tokens_field: config.max_output_tokens}
        if config.temperature is not None:
            more["temperature"] = config.temperature
        told: list[Any] = [{"role": "system", "content": system}] if system else []
        if prefix and not config.continue_message:
            told += [{"role": "user", "content": instruction(history, user, prefix, config.history_turns)}]
        else:
            told += messages(history, user, config.history_turns)
        if prefix and config.continue_message:
            told += [{"role": "assistant", "content": prefix}]
            more |= FORCED
        return {"model": config.model, "messages": told, "extra_body": more | config.extra}

    async def _once(self, body: dict[str, Any]) -> Pieces:
        """One request's answer. The stream must end with a reason, or else it was cut off."""
        cleaner, finish = Cleaner(), None
        stream = await self._sent(body)
        try:
            while (chunk := await self._next(stream)) is not None:
                choice: Any = next(iter(chunk.choices or ()), None)
                if choice is None:
                    continue
                if choice.delta is not None:
                    if choice.delta.refusal:
                        raise SlowPathError("refused by the model")
                    yield cleaner.push(self._engine.redacted(choice.delta.content or "", self._secrets))
                finish = choice.finish_reason or finish
        finally:
            await stream.close()
        if finish not in ("stop", "length"):
            raise SlowPathError(
                f"refused by the model ({finish})" if finish else "the answer broke off", again=not finish
            )
        yield cleaner.end()

    async def _sent(self, body: dict[str, Any]) -> Any:
        try:
            client = self._clients.get()
        except OSError as error:
            raise meaning(self._engine, error) from None
        return await self._told(client.chat.completions.create(**body, stream=True))

    async def _next(self, stream: AsyncIterator[Any]) -> Any:
        return await self._told(anext(stream, None))

    async def _told(self, call: Any) -> Any:
        """A call of the client, its errors as the slow path's, without the key."""
        import openai

        try:
            return await call
        except openai.APIStatusError as error:
            body = error.body if isinstance(error.body, dict) else {}
            said = self._engine.one_line(body.get("message") or error.message or "no message", self._secrets)
            raise meaning(self._engine, self._engine.fault(error.status_code, said, self._service)) from None
        except openai.APIConnectionError as error:
            said = self._engine.one_line(error.__cause__ or error, self._secrets)
            raise SlowPathError(f"the line to the service broke: {said}", again=True) from None
        except (openai.OpenAIError, ValueError) as error:  # an error inside the stream, or a proxy's page of HTML
            said = self._engine.one_line(error, self._secrets)
            raise SlowPathError(f"no answer that can be read: {said}", again=True) from None

    def _client(self) -> Any:
        """The asynchronous client, without its own retries. PermissionError when there is no key and one is needed."""
        import openai

        engine, service = self._engine, self._service
        key = engine.key_from([service.key_env])
        if not key and not engine.is_local(service.url):
            raise engine.no_key(service.key_env, engine.WHERE)
        self._secrets = (key,) if key else ()
        return openai.AsyncOpenAI(
            api_key=key or engine.NO_KEY, base_url=service.url, max_retries=0, timeout=service.timeout_s
        )


def make(config: Config) -> OpenAi:
    require(config, "openai", "openai")
    return OpenAi(config)


def needs(config: Config) -> tuple[Need, ...]:
    """The package, the key where one is needed, and the server where it is not OpenAI's."""
    return needs_of(config)
