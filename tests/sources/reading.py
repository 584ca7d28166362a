"""What the tests of the text sources share: making a source from a recipe's mapping, and reading all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from datagen import kinds
from datagen.core.types import Dialogue, Unreadable
from tests.helpers import ROOT

Item = Dialogue | Unreadable


def source(kind: str, path: Path | str, **more: Any) -> kinds.Source:
    """The source a recipe would get."""
    return kinds.make("sources", kinds.parse("sources", {"kind": kind, "path": str(path), **more}))


def everything(found: kinds.Source) -> list[Item]:
    """All items; there are as many as ``size`` says."""
    size = found.size()
    assert size is not None
    items = list(found.read(0, size, seed=0))
    assert len(items) == size
    return items


def sorted_out(found: kinds.Source) -> tuple[list[Dialogue], list[Unreadable]]:
    """Dialogues and unreadable records. Every id is there once; every reason is one line."""
    items = everything(found)
    good = [item for item in items if isinstance(item, Dialogue)]
    bad = [item for item in items if isinstance(item, Unreadable)]
    assert len({item.id for item in good}) == len(good)
    assert all(item.reason and "\n" not in item.reason for item in bad)
    return good, bad


def write(path: Path, document: Any) -> Path:
    """A JSON file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def manifest_licence(name: str) -> str:
    """What manifests/sources.yaml says of a corpus."""
    listed = yaml.safe_load((ROOT / "manifests" / "sources.yaml").read_text(encoding="utf-8"))["sources"]
    return next(entry["licence"] for entry in listed if entry["name"] == name)


def whole(part: str) -> str:
    """The id of the record a part was cut from."""
    head, _, tail = part.rpartition("-p")
    return head if tail.isdigit() else part
