"""What the tests of publishing share: quick options, what must be on the Hub, and datasets that differ a little."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from datagen.card import write_card
from datagen.publishing import Options, Patience, Published, publish
from datagen.publishing.release import Item, read_release
from datagen.report.data import collect
from datagen.stages.package import write_rows
from tests.publish.hub_server import HubServer

REPO = "acme/walks"
QUICK = Options(patience=Patience(attempts=4, first_s=0.0, most_s=0.0))
PAGE = b"https://hub.example/walks"
AS_BUILT = ("report.html", "statistics.json")


def silent(line: str) -> None:
    """Nobody listens."""


def release(folder: str, **options: Any) -> Published:
    """Publishes to ``REPO`` without waiting between attempts."""
    return publish(folder, REPO, replace(QUICK, **options), silent)


def expected(folder: str, hub: HubServer) -> dict[str, bytes]:
    """Every file that the repository must hold, byte for byte; what the build left is read from its folder."""
    page = f"{hub.url}/datasets/{REPO}".encode()
    return {name: content.replace(PAGE, page) for name, content in _expected(folder).items()}


@lru_cache(maxsize=4)
def _expected(folder: str) -> dict[str, bytes]:
    found = {item.name: _content(item) for item in read_release(folder, REPO, PAGE.decode()).items}
    root = Path(folder)
    for name in (*AS_BUILT, *(p.relative_to(root).as_posix() for p in root.glob("data/*.parquet"))):
        assert found[name] == (root / name).read_bytes()
    return found


def _content(item: Item) -> bytes:
    return item.source if isinstance(item.source, bytes) else item.source.read_bytes()


def held(hub: HubServer, repo: str = REPO, revision: str = "main") -> dict[str, bytes]:
    """What the repository holds, without the file the Hub made itself."""
    return {name: content for name, content in hub.content(repo, revision).items() if name != ".gitattributes"}


def variant(folder: str, to: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """A copy of a dataset with another manifest."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".work"))
    manifest = json.loads((to / "manifest.json").read_text())
    change(manifest)
    (to / "manifest.json").write_text(json.dumps(manifest))
    return str(to)


def shorter(folder: str, to: Path) -> str:
    """A copy in which the training split has lost its first conversation and has become two files."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".work"))
    manifest = json.loads((to / "manifest.json").read_text())
    old = next(name for name in manifest["files"] if name.startswith("data/train-"))
    rows = pq.read_table(to / old).to_pylist()[1:]
    (to / old).unlink()
    figures = manifest["files"].pop(old)
    for index, part in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        path = to / f"data/train-{index:05d}-of-00002.parquet"
        list(write_rows(str(path), part, 1 << 24))
        stated = {**figures, "rows": len(part), "bytes": path.stat().st_size, "sha256": _sha256(path)}
        manifest["files"][path.relative_to(to).as_posix()] = stated
    manifest["splits"]["train"]["conversations"] -= 1
    statistics = collect(str(to))
    (to / "statistics.json").write_text(statistics.model_dump_json(indent=1))
    (to / "README.md").write_text(write_card(manifest, statistics.model_dump(mode="json")))
    (to / "manifest.json").write_text(json.dumps(manifest))
    return str(to)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
