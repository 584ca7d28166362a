"""Export and import as a user runs them, one process: how fast in every format, and memory at ten times the rows.

Alone: ``python -m tests.benchmarks.exporting [DATASET]``. Without a dataset a small one is built. Speed is seconds of
conversation per second of the whole command, its start and its last file included; processor seconds stand beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from datagen import kinds
from datagen.schema import SCHEMA_VERSION
from datagen.stages.package import write_rows
from tests.benchmarks.process import SAMPLE_S, build
from tests.benchmarks.result import Result
from tests.helpers import ROOT

RECIPE = ROOT / "recipes" / "assistant.yaml"
CONVERSATIONS = 100
TIMES = 10
ASKED = 500
GROWTH = 1.1
IMPORTS = ("relays2s", "moshi", "stereo")
TOLD = ("--set", "licence=CC0-1.0", "--set", "language=en")


@dataclass(frozen=True)
class Run:
    """One command."""

    wall: float
    cpu: float
    peak_mb: float


def command(*arguments: object) -> Run:
    """Runs ``datagen`` with one worker and waits; RuntimeError when it fails."""
    line = [sys.executable, "-m", "datagen", *map(str, arguments), "--workers", "1"]
    began = time.perf_counter()
    process = psutil.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cpu = peak = 0.0
    while process.poll() is None:
        with suppress(psutil.Error):
            times = process.cpu_times()
            cpu, peak = times.user + times.system, max(peak, process.memory_info().rss / 1e6)
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise RuntimeError(f"{' '.join(line)} ended with {process.returncode}")
    return Run(time.perf_counter() - began, cpu, peak)


def every_format(folder: Path, dataset: Path | None = None) -> Iterator[Result]:
    """Speed and memory of every format, then of every import."""
    if dataset is None:
        dataset = folder / "set"
        made = build(RECIPE, dataset, "--workers", "2", "--set", f"conversations={CONVERSATIONS}")
        if made.code:
            raise RuntimeError(f"the build ended with {made.code}: {made.output[-500:]}")
    small, large = folder / "small", folder / "large"
    seconds = repeated(dataset, small, 1)
    repeated(dataset, large, TIMES)
    for kind in kinds.names("exporters"):
        yield from _export(kind, folder, small, large, seconds)
    for kind in IMPORTS:
        yield from _import(kind, folder, small, seconds)


def _export(kind: str, folder: Path, small: Path, large: Path, seconds: float) -> Iterator[Result]:
    out = folder / "out"
    more = ("--split", "train") if kind == "fdb" else ()
    one, ten = Run(0, 0, 0), Run(0, 0, 0)
    for source in (small, large):
        shutil.rmtree(out, ignore_errors=True)
        one, ten = ten, command("export", source, "--format", kind, "--out", out, *more)
    shutil.rmtree(out)
    yield _speed(f"export {kind}, per core", TIMES * seconds, ten)
    growth = ten.peak_mb / one.peak_mb
    measured = f"{growth:.2f}x ({one.peak_mb:.0f} -> {ten.peak_mb:.0f} MB)"
    yield Result(f"export {kind}, memory at {TIMES} times the rows", f"<= {GROWTH}x", measured, growth <= GROWTH)


def _import(kind: str, folder: Path, small: Path, seconds: float) -> Iterator[Result]:
    there, back = folder / "there", folder / "back"
    command("export", small, "--format", kind, "--out", there)
    run = command("import", there, "--format", kind, "--out", back, *TOLD)
    for path in (there, back):
        shutil.rmtree(path)
    yield _speed(f"import {kind}, per core (with its report)", seconds, run, asked=0)


def _speed(what: str, seconds: float, run: Run, asked: int = ASKED) -> Result:
    rate = seconds / run.wall
    measured = f"{rate:,.0f}x ({seconds / 3600:.1f} h in {run.wall:.1f} s; {seconds / run.cpu:,.0f}x by processor time)"
    return Result(what, f">= {asked}x real time" if asked else "no figure", measured, rate >= asked)


def repeated(dataset: Path, out: Path, times: int) -> float:
    """The training split, so many times over, its ids numbered; returns its seconds."""
    (out / "data").mkdir(parents=True)
    files: dict[str, Any] = {}
    for turn in range(times):
        name = f"data/train-{turn:05d}-of-{times:05d}.parquet"
        with open(out / name, "wb") as sink:
            found = list(map(_length, write_rows(sink, _rows(dataset, turn), 16 << 20)))
        content = out / name
        figures = {"split": "train", "rows": len(found), "seconds": sum(found), "bytes": content.stat().st_size}
        with open(content, "rb") as data:
            figures["sha256"] = _digest(data)
        files[name] = figures
    manifest = {"schema_version": SCHEMA_VERSION, "files": files, "licences": [], "recipe": {"name": "bench"}}
    (out / "manifest.json").write_text(json.dumps(manifest))
    return sum(f["seconds"] for f in files.values())


def _length(row: dict[str, Any]) -> float:
    return row["duration"]


def _rows(dataset: Path, turn: int) -> Iterator[dict[str, Any]]:
    for path in sorted(dataset.glob("data/train-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1):
                row = batch.to_pylist()[0]
                yield {**row, "id": f"{row['id']}-r{turn}"}


def _digest(data: Any) -> str:
    found = sha256()
    while content := data.read(1 << 20):
        found.update(content)
    return found.hexdigest()


def main() -> int:
    """Prints every line; 1 when something is missed."""
    missed = 0
    dataset = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(prefix="datagen-bench-") as folder:
        for r in every_format(Path(folder), dataset):
            print(f"{'ok' if r.met else 'MISSED':<7}{r.what} (asked {r.asked}): {r.measured}", flush=True)
            missed += not r.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
