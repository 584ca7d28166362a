"""Gemini as the slow path, streamed through Google's google-genai.

The model is instructed to go on after the words committed: Gemini cannot be forced. The key is read from
GEMINI_API_KEY, else from GOOGLE_API_KEY, or from the variable that ``key_env`` names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from datagen.core.types import Turn
from datagen.kinds import Need
from trainer.runtime.answering._base import Pieces, SlowPathError, patient, room_after
from trainer.runtime.answering._cleaning import Cleaner
from trainer.runtime.answering._prompting import instruction, messages, system_text
from trainer.runtime.answering._remote import PerLoop, Remote, engine_of, meaning, needs_of, require, service_of


class Config(Remote):
    """Gemini's settings. Models from Gemini 3.6 on refuse a temperature."""

    kind: Literal["gemini"] = "gemini"
    model: str = Field(default="gemini-3.8-flash", min_length=1)
    key_env: str = Field(default="GEMINI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    max_output_tokens: int = Field(default=8_192, ge=1, le=2**17)
    """Thoughts come out of it."""
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = "low"
    """How much a model from Gemini 3 on thinks before it answers, while the listener waits; None = its own default,
    as older models want it. gemini-3.8-flash refuses minimal."""


class Gemini:
    """The slow path (see ``_base.Answerer``)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._engine = engine_of(config)
        self._connections: PerLoop[Any] = PerLoop(partial(self._engine.Connection, service_of(config)))

    def answer(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> Pieces:
        """See ``_base.Answerer``."""
        contents = self._contents(history, user, prefix)
        system = system_text(self._config.system, instructions)
        return patient(partial(self._once, contents, system), self._config, room_after(prefix), self._config.attempts)

    async def warm(self) -> None:
        """Nothing: it is ready."""

    async def aclose(self) -> None:
        """Closes the running loop's connections."""
        if connection := self._connections.take():
            await connection.aclose()

    def _contents(self, history: Sequence[Turn], user: str, prefix: str) -> list[dict[str, Any]]:
        if prefix:
            text = instruction(history, user, prefix, self._config.history_turns)
            return [{"role": "user", "parts": [{"text": text}]}]
        return [
            {"role": "model" if message["role"] == "assistant" else "user", "parts": [{"text": message["content"]}]}
            for message in messages(history, user, self._config.history_turns)
        ]

    async def _once(self, contents: list[dict[str, Any]], system: str) -> Pieces:
        """One request's answer. The stream must end with a reason, or else it was cut off."""
        cleaner, finish = Cleaner(), None
        stream = await self._sent(contents, system)
        try:
            while (chunk := await self._told(anext(stream, None))) is not None:
                if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
                    raise SlowPathError(f"refused by the model ({chunk.prompt_feedback.block_reason.name})")
                candidate: Any = next(iter(chunk.candidates or ()), None)
                if candidate is None:
                    continue
                parts = (candidate.content and candidate.content.parts) or ()
                yield cleaner.push("".join(part.text or "" for part in parts if not part.thought))
                finish = candidate.finish_reason.name if candidate.finish_reason else finish
        finally:
            await _left(stream)
        if finish not in ("STOP", "MAX_TOKENS"):
            raise SlowPathError(
                f"refused by the model ({finish})" if finish else "the answer broke off", again=not finish
            )
        yield cleaner.end()

    async def _sent(self, contents: list[dict[str, Any]], system: str) -> Any:
        config = self._config
        try:
            client = self._connections.get().client()
        except OSError as error:
            raise meaning(self._engine, error) from None
        return await self._told(
            client.models.generate_content_stream(
                model=config.model, contents=contents, config=self._generation(system)
            )
        )

    def _generation(self, system: str) -> Any:
        from google.genai import types

        config = self._config
        settings: dict[str, Any] = {
            "maxOutputTokens": config.max_output_tokens,
            "automaticFunctionCalling": {"disable": True},
        }
        if system:
            settings["systemInstruction"] = {"parts": [{"text": system}]}
        if config.temperature is not None:
            settings["temperature"] = config.temperature
        if config.thinking_level is not None:
            settings["thinkingConfig"] = {"thinkingLevel": config.thinking_level.upper()}
        return types.GenerateContentConfig.model_validate(settings)

    async def _told(self, call: Any) -> Any:
        """A call of the client, its errors as the slow path's; the connection's words hold no key."""
        try:
            with self._connections.get().faults():
                return await call
        except (self._engine.Passing, ValueError, OSError) as error:
            raise meaning(self._engine, error) from None


async def _left(stream: AsyncGenerator[Any, None]) -> None:
    """Ends a stream before its end. google-genai's gives its connection back only when it is cancelled while it waits
    for more (its ``aclose`` does not reach the generators inside), so it is asked for more until it has to wait."""
    piece: Any = ...
    while piece is not None:
        asking = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        piece = None if asking.cancelled() or asking.exception() else asking.result()
    await stream.aclose()


def make(config: Config) -> Gemini:
    require(config, "google.genai", "gemini")
    return Gemini(config)


def needs(config: Config) -> tuple[Need, ...]:
    """The package, the key, and the server where it is not Google's."""
    return needs_of(config)
