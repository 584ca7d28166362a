"""The runtime's folders are its registry: a kind is a module with ``Config`` and ``make(config)``.

    answering     the slow path's language model      trainer/runtime/answering/_base.py
    hearing       the recogniser                      trainer/runtime/hearing/_base.py
    speaking      the streaming synthesiser           trainer/runtime/speaking/
    endpointing   who ends the user's turn in mode cascade    trainer/runtime/endpointing/_base.py

Adding one is adding a file. ``make`` builds a new object each time, because some of them are a session's own; a kind
whose model is heavy loads it once per process by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from datagen import kinds
from datagen.kinds import KindConfig, Need

HOME = "trainer.runtime"
FAMILIES = ("answering", "hearing", "speaking", "endpointing")


def names(family: str) -> list[str]:
    """The kinds of a family: the modules in its folder. ValueError for a family that does not exist."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; there are: {', '.join(FAMILIES)}")
    return kinds.names(family, HOME)


def module(family: str, kind: str) -> ModuleType:
    """The module of a kind; ValueError names the kinds there are."""
    names(family)
    return kinds.module(family, kind, HOME)


def parse(family: str, raw: Mapping[str, Any]) -> KindConfig:
    """A typed config from a recipe's mapping. ValueError, on one line: the field, what is wrong, what was given."""
    if "kind" not in raw:
        raise ValueError(f"a mapping of {family} needs a key 'kind'; there are: {', '.join(names(family))}")
    config: type[KindConfig] = module(family, str(raw["kind"])).Config
    try:
        return config.model_validate(dict(raw))
    except ValidationError as error:
        raise ValueError(f"{family} {raw['kind']}: {_first(error, config)}") from None


def make(family: str, config: KindConfig, **parts: Any) -> Any:
    """What a config stands for. ``parts`` are what only the caller has: the recorded ``replies`` of ``simulated``, the
    engine's ``transcribe`` of ``fast_path``. ValueError, on one line, when something is missing."""
    build = module(family, config.kind).make
    if unknown := sorted(set(parts) - set(signature(build).parameters)):
        raise ValueError(f"{family} {config.kind} takes no {', '.join(unknown)}; name a kind that does")
    return build(config, **parts)


def needs(family: str, config: KindConfig) -> tuple[Need, ...]:
    """What a kind says it needs before it can work; nothing where it says nothing."""
    asked = getattr(module(family, config.kind), "needs", None)
    return tuple(asked(config)) if asked else ()


def _first(error: ValidationError, config: type[KindConfig]) -> str:
    """The first of pydantic's messages as one line. What stood under an unknown key is not repeated: it may be a
    secret."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such key; there are: {', '.join(config.model_fields)}"
    if first["type"] == "missing":
        return f"{field}: this key is missing"
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    given = repr(first["input"])
    return f"{field}: {message}" + (f" (given: {given})" if len(given) < 80 else "") if field else message
