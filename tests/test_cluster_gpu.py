"""CosyVoice2 on workers with (pretended) GPUs, Gemini on one for APIs, all else on plain ones: whole commands."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.production import World, world
from tests.tiny import published
from tests.tts.cosyvoice_standin.checkout import config

pytestmark = pytest.mark.slow
KEY = "AIza-the-secret-of-the-cluster"
HERE = [sys.executable, "-m"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, World]]:
    """A recipe that needs an API and a GPU, on servers that are there."""
    home = tmp_path_factory.mktemp("gpu")
    (home / "standin").mkdir()
    tts = config(home / "standin", {"faulty": "0.1"}, timeout_s=5).model_dump(mode="json")
    with world(home, KEY) as servers:
        yield servers.write(tts=tts, acceptance={"attempts": 6}), servers


def environment() -> dict[str, str]:
    return os.environ | {"GEMINI_API_KEY": KEY, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def built(recipe: Path, out: Path, *options: object) -> tuple[dict[str, bytes], str]:
    """The Parquet files of a build, and what it printed."""
    command = [*HERE, "datagen", "build", str(recipe), "--out", str(out), *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return published(out), done.stdout + done.stderr


def test_two_gpus_or_one_give_the_same_bytes(recipe: tuple[Path, World], tmp_path: Path) -> None:
    path, _ = recipe
    two, said = built(path, tmp_path / "two", "--gpus", 2, "--workers", 2)
    one, _ = built(path, tmp_path / "one", "--gpus", 1, "--workers", 1)
    assert two == one
    assert KEY not in said


def test_a_standing_cluster_of_three_kinds_of_workers(recipe: tuple[Path, World], tmp_path: Path) -> None:
    """The commands of the README, as they stand there."""
    path, _ = recipe
    address = tmp_path / "dask.json"
    with ExitStack() as stack:

        def start(*words: object) -> None:
            command = [*HERE, "dask", *map(str, words)]
            process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start("scheduler", "--scheduler-file", address, "--port", 0, "--dashboard-address", "127.0.0.1:0")
        worker = ("worker", "--scheduler-file", address, "--nthreads", 1, "--no-dashboard")
        start(*worker, "--nworkers", 2)
        start(*worker, "--resources", "API=1")
        start(*worker, "--resources", "GPU=1")
        deadline = time.monotonic() + 60
        while not address.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        there, said = built(path, tmp_path / "there", "--scheduler", address)
    here, _ = built(path, tmp_path / "here", "--gpus", 1, "--workers", 1)
    assert there == here
    assert KEY not in said
