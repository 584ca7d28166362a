"""A tiny dataset built on the spot: a dozen conversations, six voices, few noise clips, all in this process.

Import what a test module needs; ``built`` is made once per test run, whoever asks first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from datagen.blueprint import draw_up
from datagen.build import Build, run
from datagen.files import Folder
from datagen.recipe import load
from datagen.store import ShardReport
from datagen.tasks import Executor, Inline, Stop

CONVERSATIONS = 12
VARIANTS = {"train": ("m1", "f2"), "validation": ("m3", "f1"), "test": ("m7", "f4")}
PLACES = ("harbour", "station", "old mill", "market", "museum", "castle", "airport", "library", "theatre", "beach")


def voices() -> list[dict[str, Any]]:
    """Two espeak voices per split."""
    return [
        {"id": f"en-{split}-{variant}", "language": "en", "split": split, "origin": "espeak-ng", "licence": "GPL-3.0"}
        | {"params": {"base": "gmw/en-US", "variant": variant, "rate_wpm": 220}}
        for split, variants in VARIANTS.items()
        for variant in variants
    ]


def dialogue(number: int, turns: int = 4) -> dict[str, Any]:
    """One line of a jsonl source: up to four turns, different for every number."""
    place = PLACES[number % len(PLACES)]
    texts = (
        f"Hello, I would like to walk to the {place} on day {number}, and I do not know the way.",
        f"Go left at the bridge, because the road is closed, and take the path number {number}.",
        "All right, and how long does it take?",
        f"About {number + 3} minutes if you do not stop.",
    )
    said = [{"speaker": ("user", "assistant")[i % 2], "text": text} for i, text in enumerate(texts[:turns])]
    return {"id": f"walk-{number:04d}", "domain": "travel", "turns": said}


def write_lines(path: Path, lines: list[Any]) -> Path:
    """A jsonl file; text and bytes are written as they are."""
    raw = [line if isinstance(line, bytes | str) else json.dumps(line) for line in lines]
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in raw) + b"\n")
    return path


def recipe_keys() -> dict[str, Any]:
    """The tiny recipe; paths are those that :func:`write_recipe` uses."""
    return {
        "name": "tiny",
        "language": "en",
        "conversations": CONVERSATIONS,
        "conversations_per_shard": 4,
        "splits": {"train": 0.4, "validation": 0.3, "test": 0.3},
        "source": {"kind": "jsonl", "path": "dialogues.jsonl", "language": "en", "licence": "CC0-1.0"},
        "tts": {"kind": "espeak"},
        "voices": "voices.yaml",
        "phenomena": [{"kind": "backchannel"}, {"kind": "pause"}, {"kind": "interruption"}],
        "noise": {"kind": "synthetic", "scenes": ["wind", "rain"], "clips_per_scene": 1, "clip_seconds": 4},
    }


def write_recipe(
    folder: Path, changes: Mapping[str, Any] | None = None, lines: list[Any] | None = None, name: str = "tiny.yaml"
) -> Path:
    """The tiny recipe in a folder, with its dialogues and voices; a change to None removes the key."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {key: value for key, value in {**recipe_keys(), **(changes or {})}.items() if value is not None}
    if lines is not None or not (folder / "dialogues.jsonl").exists():
        every = [dialogue(number) for number in range(CONVERSATIONS)]
        write_lines(folder / "dialogues.jsonl", every if lines is None else lines)
    (folder / "voices.yaml").write_text(yaml.safe_dump({"voices": voices()}))
    path = folder / name
    path.write_text(yaml.safe_dump(keys))
    return path


class Silent:
    """A progress that says nothing and counts which stages worked."""

    def __init__(self) -> None:
        self.advanced: list[str] = []

    def expect(self, stage: str, shards: int) -> None:
        """Nothing is shown."""

    def advance(self, stage: str, report: ShardReport | None) -> None:
        self.advanced.append(stage)


def make_build(recipe: Path, out: Path | str, *overrides: str) -> Build:
    """A build of a recipe file in a folder or URL, not begun."""
    return Build(draw_up(load(str(recipe), overrides)), Folder(str(out)))


def build_here(
    recipe: Path, out: Path | str, *overrides: str, update: bool = False, executor: Executor | None = None
) -> dict[str, Any]:
    """Builds in this process; returns the manifest."""
    job = make_build(recipe, out, *overrides)
    job.claim(update)
    return run(job, executor or Inline(), Silent(), Stop())


def published(out: Path) -> dict[str, bytes]:
    """The Parquet files by name."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("data/*.parquet"))}


def contents(out: Path) -> dict[str, bytes]:
    """What must be the same however a run went: the Parquet files, the rejections, and every stage's records."""
    stages = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob(".work/*/*.jsonl"))}
    return {**published(out), **stages, "rejected.jsonl": (out / "rejected.jsonl").read_bytes()}


def rows(out: Path, split: str = "*") -> list[dict[str, Any]]:
    """The published rows in order, without the hash of the recipe that made them."""
    found = [row for path in sorted(out.glob(f"data/{split}-*.parquet")) for row in pq.read_table(path).to_pylist()]
    for row in found:
        del row["provenance"]["recipe_hash"]
    return found


@dataclass(frozen=True)
class Tiny:
    """A finished tiny dataset."""

    recipe: Path
    out: Path
    manifest: dict[str, Any]


@lru_cache(maxsize=1)
def _built(base: Path) -> Tiny:
    recipe = write_recipe(base / "tiny")
    out = base / "tiny" / "out"
    return Tiny(recipe, out, build_here(recipe, out))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny dataset; read it only."""
    return _built(tmp_path_factory.getbasetemp())
