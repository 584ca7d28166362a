"""Written dialogues beyond a dataset's own, for the stage in which a language model from random weights learns to talk.

* ``--texts none``: no such stage, the default: over many domains it costs turn-taking (``trainer.presets``);
* ``--texts auto``: more from the source that wrote the dataset, if that never ends;
* ``--texts '{kind: jsonl, path: texts.jsonl, licence: CC-BY-4.0, language: en}'``: any kind of ``datagen.sources``.
"""

from __future__ import annotations

from typing import Any

import yaml

from datagen import kinds
from datagen.core.types import Dialogue, Strict
from trainer.asked import mapping
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
    raw = mapping("texts", asked, "give none, auto or {kind: jsonl, path: FILE}")
    return Texts(source=raw, first=FAR if _made(raw).size() is None else 0)


def read(texts: Texts, count: int) -> list[Dialogue]:
    """So many of them at most; what cannot be used is left out. ValueError where there is none."""
    source = _made(texts.source)
    size = source.size()
    stop = texts.first + count if size is None else min(size, texts.first + count)
    found = [one for one in source.read(texts.first, stop, texts.seed) if isinstance(one, Dialogue)]
    if not found:
        raise ValueError(f"texts: {texts.source} has no dialogue that can be used; --texts none goes without")
    return found


def _behind(data: str) -> Texts:
    """More of what wrote the dataset, none of it in any of its splits. ValueError where that ends."""
    fs, root = filesystem(data.rstrip("/"))
    try:
        recipe = yaml.safe_load(fs.cat_file(f"{root}/recipe.yaml"))
    except FileNotFoundError:
        recipe = {}
    source = recipe.get("source")
    if not isinstance(source, dict) or _made(source).size() is not None:
        raise ValueError(
            f"texts: auto finds no source that never ends in {data}/recipe.yaml; give {{kind: jsonl, path: FILE}} with "
            "dialogues that are in none of its splits, or none"
        )
    return Texts(source=source, first=FAR, seed=int(recipe.get("seed", 1)))


def _made(raw: dict[str, Any]) -> Any:
    return kinds.make("sources", kinds.parse("sources", raw))
