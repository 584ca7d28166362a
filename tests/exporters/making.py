"""Datasets to export, and exports and imports run in this process."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from datagen import exporting, importing, kinds
from datagen.core.types import SPLITS, Split
from datagen.schema import SCHEMA_VERSION
from datagen.stages.package import write_rows
from datagen.tasks import Executor, Inline, Stop
from tests import tiny_dataset
from tests.tiny import Silent

RATE = 16_000


def dataset(folder: Path, count: int = 8, group_bytes: int = 1 << 18) -> Path:
    """Hummed conversations with every phenomenon, in three splits, with a manifest; several row groups in a file."""
    found: dict[Split, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for index in range(count):
        split: Split = SPLITS[max(0, index % 4 - 1)]
        found[split].append(tiny_dataset.row(index, turns=4, split=split))
    return write(folder, found, group_bytes)


def write(folder: Path, rows: dict[Split, list[dict[str, Any]]], group_bytes: int = 1 << 18) -> Path:
    """A complete dataset of rows."""
    (folder / "data").mkdir(parents=True)
    files: dict[str, Any] = {}
    for split, items in rows.items():
        name = f"data/{split}-00000-of-00001.parquet"
        with open(folder / name, "wb") as out:
            list(write_rows(out, items, group_bytes))
        content = (folder / name).read_bytes()
        figures = {"split": split, "rows": len(items), "bytes": len(content), "voices": [], "licences": ["CC0-1.0"]}
        files[name] = {**figures, "seconds": sum(r["duration"] for r in items)}
        files[name]["sha256"] = hashlib.sha256(content).hexdigest()
    manifest = {"schema_version": SCHEMA_VERSION, "files": files, "licences": ["CC0-1.0"], "recipe": {"name": "hummed"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def hummed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight conversations; read them only."""
    return dataset(tmp_path_factory.mktemp("hummed") / "set")


class Exports(Protocol):
    """The folder of an export of the hummed conversations; read it only."""

    def __call__(self, kind: str, **settings: Any) -> Path: ...


@pytest.fixture(scope="session")
def exports(hummed: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Every export is made once."""
    made: dict[str, Path] = {}

    def exported(kind: str, **settings: Any) -> Path:
        asked = repr((kind, settings))
        if asked not in made:
            folder = tmp_path_factory.mktemp(kind)
            export(hummed, kind, folder, **settings)
            made[asked] = folder
        return made[asked]

    return exported


def told(folder: Path) -> dict[str, Any]:
    """The manifest of an export."""
    return json.loads((folder / exporting.MANIFEST).read_text())


def rows(folder: Path, split: str = "*") -> list[dict[str, Any]]:
    """Rows of a dataset, splits in their order."""
    names = [split] if split != "*" else list(SPLITS)
    paths = [path for name in names for path in sorted(folder.glob(f"data/{name}-*.parquet"))]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def samples(row: dict[str, Any], speaker: str) -> np.ndarray:
    """A channel of a row, by soundfile alone."""
    return soundfile.read(io.BytesIO(row[f"{speaker}_audio"]["bytes"]), dtype="int16")[0]


def export_job(
    folder: Path | str,
    kind: str,
    out: Path | str,
    split: Split | None = None,
    limit: int | None = None,
    **settings: Any,
) -> exporting.Export:
    """An export that is not begun; parts of two conversations."""
    config: Any = kinds.parse("exporters", {"kind": kind, "part_rows": 2, **settings})
    return exporting.Export(str(folder), config, str(out), split, limit)


def export(folder: Path | str, kind: str, out: Path | str, **more: Any) -> dict[str, Any]:
    """An export; its manifest."""
    return run(export_job(folder, kind, out, **more))


def run(
    job: exporting.Export | importing.Import, executor: Executor | None = None, replace: bool = False
) -> dict[str, Any]:
    """Runs a job in this process."""

    def workers() -> Any:
        return nullcontext(executor or Inline())

    if isinstance(job, exporting.Export):
        return exporting.run(job, workers, Silent(), Stop(), replace)
    return importing.run(job, workers, Silent(), Stop(), replace)


def take_in(source: Path, kind: str, out: Path, limit: int | None = None, **settings: Any) -> dict[str, Any]:
    """An import; its manifest."""
    told = {"licence": "CC-BY-4.0", "language": "en"} if kind != "stereo" else {}
    config: Any = kinds.parse("importers", {"kind": kind, "path": str(source), **told, **settings})
    return run(importing.Import(config, str(out), limit))


def recording(folder: Path, name: str, rate: int, seconds: float = 4.0, **about: Any) -> None:
    """A tone of the user on channel 0 from 0.5 to 1.5 s, one of the assistant on channel 1 from 2 to 3.5 s."""
    t = np.arange(round(seconds * rate)) / rate
    user = 0.3 * np.sin(2 * np.pi * 300 * t) * ((t >= 0.5) & (t < 1.5))
    agent = 0.3 * np.sin(2 * np.pi * 500 * t) * ((t >= 2) & (t < 3.5))
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", np.stack([user, agent], axis=1), rate, subtype="PCM_24")
    told = [
        {"speaker": "user", "start": 0.5, "end": 1.5, "text": "where is it"},
        {"speaker": "assistant", "start": 2.0, "end": 3.5, "text": "right behind you"},
    ]
    (folder / f"{name}.json").write_text(json.dumps({"segments": told, **about}))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def words(row: dict[str, Any], *speakers: str) -> list[tuple[str, int, int]]:
    """Words of some speakers with their samples, in order of start."""
    found: Sequence[Any] = [w for s in row["segments"] if s["speaker"] in speakers for w in s["words"]]
    return sorted(((w["word"], at(w["start"]), at(w["end"])) for w in found), key=lambda w: (w[1], w[2]))


def at(seconds: float) -> int:
    """The sample of a time; the time must stand for one within a microsecond."""
    sample = round(seconds * RATE)
    assert abs(seconds - sample / RATE) < 1e-6
    return sample
