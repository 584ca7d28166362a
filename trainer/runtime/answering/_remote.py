"""What the slow paths that talk to a server share: settings, connections, and what a fault means.

Keys, addresses and redaction are those of the kind of the same name in ``datagen/llm``, reached through
``datagen.kinds``.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from pydantic import Field, ValidationError, model_validator

from datagen import kinds
from datagen.kinds import KindConfig, Need
from trainer.runtime.answering._base import SlowPathError, Waiting
from trainer.runtime.answering._prompting import SYSTEM

T = TypeVar("T")


class Remote(Waiting):
    """Settings of a slow path behind a server. The key stands in an environment variable alone."""

    aside: ClassVar[frozenset[str]] = frozenset({"base_url", "key_env", "first_ms", "between_ms", "attempts"})

    model: str = Field(min_length=1)
    base_url: str | None = None
    """Address of the service; None = the provider's own."""
    key_env: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    """Name of the environment variable that holds the key."""
    system: str = SYSTEM
    temperature: float | None = Field(default=None, ge=0, le=2)
    """None = not sent: the service's own. RelayS2S decodes greedily."""
    max_output_tokens: int = Field(default=1_024, ge=1, le=2**17)
    """RelayS2S: 1,024 (MODEL-SPEC section 10). A model that thinks first spends of the same limit."""
    history_turns: int = Field(default=40, ge=0, le=1_000)
    """So many turns before the user's are told."""
    attempts: int = Field(default=2, ge=1, le=10)
    """Requests for one answer as long as faults may pass and ``first_ms`` is not over. RelayS2S makes 3 within 30 s."""

    @model_validator(mode="after")
    def _checked_by_the_service(self) -> Self:
        try:
            service_of(self)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from None
        return self


def engine_of(config: Remote) -> ModuleType:
    """The module of the kind of the same name in ``datagen/llm``."""
    return kinds.module("llm", config.kind)


def service_of(config: Remote) -> KindConfig:
    """The settings of that kind: model, address, key; its own time limit lies beyond ours."""
    raw = {"kind": config.kind, "model": config.model, "key_env": config.key_env}
    seconds = (config.first_ms + config.between_ms) / 1000
    return kinds.parse("llm", {**raw, "base_url": config.base_url, "timeout_s": seconds})


def require(config: Remote, module: str, extra: str) -> None:
    """Imports the provider's package, which takes a second: the first answer is not to wait for it. ValueError with the
    remedy when it is not installed."""
    engine = engine_of(config)
    engine.require(engine.PACKAGE, config.kind, extra)
    importlib.import_module(module)


def needs_of(config: Remote) -> tuple[Need, ...]:
    """Package, key and server."""
    return kinds.needs("llm", service_of(config))


class PerLoop(Generic[T]):
    """A client for each event loop: connections that are kept open belong to the loop that opened them."""

    def __init__(self, new: Callable[[], T]) -> None:
        self._new = new
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """The running loop's client, made when it is first asked for."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made[loop] = self._new()
        return self._made[loop]

    def take(self) -> T | None:
        """The running loop's client, to be closed; None when there is none."""
        return self._made.pop(asyncio.get_running_loop(), None)


def meaning(engine: ModuleType, error: Exception, secrets: Sequence[str] = ()) -> SlowPathError:
    """A fault in the words of ``datagen/llm`` as the slow path's; it is worth another try where that says so."""
    said: Any = getattr(error, "strerror", None) or error
    return SlowPathError(engine.one_line(said, secrets), again=isinstance(error, engine.Passing))
