"""A source inside the config of another: parsed like the recipe's own, and asked the same questions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError

from datagen import kinds
from datagen.kinds import KindConfig, Need
from datagen.sources._turns import one_line


def _parse(raw: Any) -> Any:
    """A mapping of a recipe as the config of its kind."""
    if not isinstance(raw, dict):
        return raw
    try:
        return kinds.parse("sources", raw)
    except ValidationError as error:
        raise ValueError(f"{raw['kind']}: {one_line(error)}") from error


Nested = Annotated[SerializeAsAny[KindConfig], BeforeValidator(_parse)]
"""The config of any kind of source."""


def needs_of(config: KindConfig) -> Iterable[Need]:
    """What a source needs; nothing where its kind does not say."""
    return _asked(config, "needs")


def licences_of(config: KindConfig) -> Iterable[str]:
    """The licences a source's dialogues can carry; none where its kind does not say."""
    return _asked(config, "licences")


def _asked(config: KindConfig, question: str) -> Iterable[Any]:
    answer = getattr(kinds.module("sources", config.kind), question, None)
    return answer(config) if answer else ()
