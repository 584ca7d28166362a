"""Written dialogues beyond a dataset's own, for the stage in which a language model from random weights learns to talk.

--texts auto        the source that wrote the dataset, where it never ends; none where it does
--texts none        no such stage
--texts '{kind: jsonl, path: texts.jsonl, licence: CC-BY-4.0}'   any kind of ``datagen.sources``
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import yaml

from datagen import kinds
from datagen.core.types import Dialogue, Strict
from trainer.data.folder import filesystem

FAR = 1_000_000
"""Where reading begins in a source that never ends: no dataset holds the dialogues from there on."""


class Texts(Strict):
    """Which dialogues."""

    source: dict[str, Any]
    """A mapping with a ``kind``, as a recipe has it."""
    first: int = 0
    seed: int = 1


def texts_of(asked: str, data: str) -> Texts | None:
    """What ``--texts`` stands for, for a dataset. ValueError when it stands for nothing that can be read."""
    if asked == "none":
        return None
    if asked == "auto":
        return _behind(data)
    try:
        raw = yaml.safe_load(asked)
    except yaml.YAMLError as error:
        raise ValueError(f"texts: {asked!r} is no YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"texts: {asked!r} names no kind; give auto, none or {{kind: jsonl, path: FILE}}")
    source = _made(raw)
    return Texts(source=raw, first=FAR if source.size() is None else 0)


def read(texts: Texts, count: int) -> list[Dialogue]:
    """So many of them at most; what cannot be used is left out. ValueError where there is none."""
    found = list(islice(_dialogues(texts, count), count))
    if not found:
        raise ValueError(f"texts: {texts.source} has no dialogue that can be used; --texts none goes without")
    return found


def _dialogues(texts: Texts, count: int) -> Iterator[Dialogue]:
    source = _made(texts.source)
    size = source.size()
    stop = texts.first + count if size is None else min(size, texts.first + count)
    return (found for found in source.read(texts.first, stop, texts.seed) if isinstance(found, Dialogue))


def _behind(data: str) -> Texts | None:
    """More of what wrote the dataset, none of it in any of its splits."""
    fs, root = filesystem(data.rstrip("/"))
    try:
        recipe = yaml.safe_load(fs.cat_file(f"{root}/recipe.yaml"))
    except FileNotFoundError:
        return None
    source = recipe.get("source")
    if not isinstance(source, dict) or _made(source).size() is not None:
        return None
    return Texts(source=source, first=FAR, seed=int(recipe.get("seed", 1)))


def _made(raw: dict[str, Any]) -> Any:
    return kinds.make("sources", kinds.parse("sources", raw))
