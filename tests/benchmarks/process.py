"""Running the command line as a user does, and watching its processes."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.helpers import ROOT

SAMPLE_S = 0.05


@dataclass
class Watched:
    """What one run of ``datagen build`` did."""

    seconds: float = 0.0
    driver_mb: float = 0.0
    worker_mb: float = 0.0
    """Largest peak of any worker."""
    code: int = 0
    output: str = ""
    processes: set[int] = field(default_factory=set)


def build(recipe: Path, out: Path, *options: str, after: Callable[[psutil.Process], None] | None = None) -> Watched:
    """Runs a build; ``after`` may watch or disturb its process tree while it runs."""
    command = [sys.executable, "-m", "datagen", "build", str(recipe), "--out", str(out), *options]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    watched = Watched()
    watcher = threading.Thread(target=_watch, args=(process, watched), daemon=True)
    watcher.start()
    if after is not None:
        after(psutil.Process(process.pid))
    watched.output, _ = process.communicate()
    watched.seconds = time.perf_counter() - started
    watched.code = process.returncode
    watcher.join()
    return watched


def _watch(process: subprocess.Popen[str], watched: Watched) -> None:
    """Largest resident memory of the driver and of any other process of its tree."""
    while process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            watched.driver_mb = max(watched.driver_mb, _resident_mb(root))
            for child in root.children(recursive=True):
                watched.processes.add(child.pid)
                watched.worker_mb = max(watched.worker_mb, _resident_mb(child))
        except psutil.Error:
            pass
        time.sleep(SAMPLE_S)


def _resident_mb(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def workers_of(driver: psutil.Process) -> list[psutil.Process]:
    """The Dask worker processes of a driver."""
    found: list[psutil.Process] = []
    for child in driver.children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def done_shards(out: Path) -> int:
    """Finished shards of all stages."""
    return len(list((out / ".work").glob("*/*.done.json")))


def kill_everything(driver: psutil.Process) -> None:
    """SIGKILL to the driver and, since nobody is left to stop them, to its children."""
    children = driver.children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    for child in children:
        try:
            child.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Waits until something holds; TimeoutError when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark waited in vain")
        time.sleep(0.02)


def manifest(out: Path) -> dict[str, Any]:
    """The manifest of a finished build."""
    return json.loads((out / "manifest.json").read_text())


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every published data file and of every stage's shard files."""
    paths = [*(out / "data").glob("*.parquet"), *(out / ".work").glob("*/*.jsonl"), *(out / ".work").glob("*/*.bin")]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(paths)}


def audio_seconds(out: Path) -> float:
    """Length of all conversations."""
    return sum(f["seconds"] for f in manifest(out)["files"].values())
