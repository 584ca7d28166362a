"""Whole runs on worker processes: the same bytes, and what happens when processes are stopped, killed or die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from datagen.pipeline import Cluster
from datagen.tasks import Task
from tests.helpers import ROOT
from tests.tiny import build_here, contents, dialogue, write_recipe

pytestmark = pytest.mark.slow

CHANGES: dict[str, Any] = {"conversations": 48, "conversations_per_shard": 3}
PATIENCE_S = 120
DEADLY = '''
"""A voice that takes its process down at some words."""
import os
from typing import Literal

from datagen.kinds import KindConfig
from datagen.tts import espeak


class Config(KindConfig):
    kind: Literal["deadly"]
    words: tuple[str, ...]
    diary: str


class Deadly:
    def __init__(self, config):
        self._config, self._voice = config, espeak.make(espeak.Config(kind="espeak"))

    def check_voice(self, voice):
        self._voice.check_voice(voice)

    def synthesize(self, text, voice, seed):
        if any(words in text for words in self._config.words):
            with open(self._config.diary, "a") as diary:
                diary.write(text + "\\n")
            os._exit(9)
        return self._voice.synthesize(text, voice, seed)


def make(config):
    return Deadly(config)
'''
GREEDY = DEADLY.replace("deadly", "greedy") + '\n\nRESOURCES = {"GPU": 1}\n'


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose run takes some seconds."""
    return write_recipe(tmp_path_factory.mktemp("cluster"), CHANGES, [dialogue(n) for n in range(48)])


@pytest.fixture(scope="module")
def clean(recipe: Path) -> dict[str, bytes]:
    """What a run in this process alone makes."""
    out = recipe.parent / "clean"
    build_here(recipe, out)
    return contents(out)


@contextmanager
def building(recipe: Path, out: Path, *options: str, kinds: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A build in processes of its own, as a group, like one started in a terminal. None of them is left over."""
    command = [sys.executable, "-m", "datagen", "build", str(recipe), "--out", str(out), *options]
    path = [str(ROOT)] if kinds is None else [str(kinds), str(ROOT)]
    with subprocess.Popen(
        command,
        cwd=recipe.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for one in _family(process.pid):
                one.kill()


def _family(group: int) -> list[psutil.Process]:
    """The processes of a group, workers included."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def _wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _done(out: Path) -> int:
    return len(list(out.glob(".work/*/*.done.json")))


def _finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def _resumed(recipe: Path, out: Path) -> dict[str, bytes]:
    with building(recipe, out, "--workers", "2") as process:
        code, _, err = _finished(process)
    assert (code, err) == (0, "")
    return contents(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_makes_the_same_bytes(
    recipe: Path, clean: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    with building(recipe, tmp_path / "out", "--workers", str(workers)) as process:
        code, out, err = _finished(process)
        _wait_for(lambda: not _family(process.pid))
    assert (code, err) == (0, "")
    assert "check: 48 out" in out
    assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_the_run_and_the_same_command_goes_on(
    recipe: Path, clean: dict[str, bytes], tmp_path: Path, presses: int
) -> None:
    out = tmp_path / "out"
    with building(recipe, out, "--workers", "2") as process:
        _wait_for(lambda: _done(out) >= 12)
        for _ in range(presses):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        code, said, err = _finished(process)
        _wait_for(lambda: not _family(process.pid))
    assert code == 130
    assert err.startswith("error: stopped")
    assert err.count("\n") == 1
    assert "Traceback" not in said
    assert 12 <= _done(out) < 96
    assert _resumed(recipe, out) == clean


def test_a_killed_run_leaves_no_process_and_goes_on(recipe: Path, clean: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with building(recipe, out, "--workers", "2") as process:
        _wait_for(lambda: _done(out) >= 12)
        process.kill()
        process.wait()
        _wait_for(lambda: not _family(process.pid))
    assert not (out / "manifest.json").exists()
    assert _resumed(recipe, out) == clean


def test_a_killed_worker_is_replaced(recipe: Path, clean: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with building(recipe, out, "--workers", "2") as process:
        _wait_for(lambda: _done(out) >= 12)
        workers = [p for p in _family(process.pid) if "spawn_main" in " ".join(p.cmdline())]
        workers[0].kill()
        code, _, err = _finished(process)
    assert (code, err) == (0, "")
    assert contents(out) == clean


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 2 MB; the test is skipped where none can be made."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_the_run_and_more_room_lets_it_go_on(
    recipe: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    with _small_disk(tmp_path / "disk") as disk:
        with building(recipe, disk / "out", "--workers", "2") as process:
            code, _, err = _finished(process)
        assert code == 1
        assert err.endswith(": No space left on device; make room and run the same command again\n")
        assert err.count("\n") == 1
        assert not list(disk.rglob(".*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        assert _resumed(recipe, disk / "out") == clean


def test_a_disk_that_may_only_be_read_is_one_line(recipe: Path, tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with building(recipe, disk / "out") as process:
            code, out, err = _finished(process)
    assert (code, out) == (1, "")
    assert err == f"error: {disk / 'out'}: Read-only file system; choose a folder that can be written to\n"


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    """A folder that gives every Python process two more text-to-speech kinds."""
    folder = tmp_path / "kinds"
    (folder / "tts").mkdir(parents=True)
    (folder / "tts" / "deadly.py").write_text(DEADLY)
    (folder / "tts" / "greedy.py").write_text(GREEDY)
    (folder / "sitecustomize.py").write_text(
        f"import datagen.tts\ndatagen.tts.__path__.append({str(folder / 'tts')!r})\n"
    )
    return folder


def test_records_that_kill_their_process_are_rejected_and_the_rest_is_made(tmp_path: Path, kinds: Path) -> None:
    diary = tmp_path / "diary.txt"
    tts = {"kind": "deadly", "words": ["path number 4.", "path number 5.", "path number 9."], "diary": str(diary)}
    changes = {"conversations": 12, "noise": None, "conversations_per_shard": 6, "tts": tts}
    path = write_recipe(tmp_path / "recipe", changes)
    with building(path, tmp_path / "out", "--workers", "2", kinds=kinds) as process:
        code, out, err = _finished(process)
    assert (code, err) == (0, "")
    assert "synthesize: 12 in = 9 out + 3 rejected" in out
    assert "3 x it killed its process N times" in out
    assert len(diary.read_text().splitlines()) == 9
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert [f"walk-000{n}" in rejected for n in (4, 5, 9)] == [True] * 3
    assert not list((tmp_path / "out").glob(".work/*/*.journal"))


def test_work_that_no_worker_can_do_is_refused(tmp_path: Path, kinds: Path) -> None:
    path = write_recipe(tmp_path / "recipe", {"tts": {"kind": "greedy", "words": [], "diary": ""}})
    with building(path, tmp_path / "out", "--workers", "1", kinds=kinds) as process:
        code, out, err = _finished(process)
    assert (code, out) == (2, "")
    assert err.startswith("error: no worker offers the resource GPU; give --gpus N for the GPUs of this machine, or ")
    assert err.count("\n") == 1


@contextmanager
def _running(*command: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "dask", *command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for one in _family(process.pid):
                one.kill()


@contextmanager
def standing_cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler with one worker, both in a folder of their own: its address and its process."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    options = ("--host", "127.0.0.1", "--port", port, "--no-dashboard", "--scheduler-file", "scheduler.json")
    with (
        _running("scheduler", *options, cwd=folder) as scheduler,
        _running("worker", address, "--nthreads", "1", "--no-dashboard", cwd=folder),
    ):
        _wait_for((folder / "scheduler.json").exists)
        yield address, scheduler


def test_a_standing_cluster_works_in_the_folder_of_the_user(
    recipe: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    with standing_cluster(tmp_path / "there"):
        out = Path(os.path.relpath(tmp_path / "out", recipe.parent))
        with building(recipe, out, "--scheduler", str(tmp_path / "there" / "scheduler.json")) as process:
            code, _, err = _finished(process)
    assert (code, err) == (0, "")
    assert contents(tmp_path / "out") == clean


def test_a_scheduler_that_dies_is_not_waited_for(tmp_path: Path) -> None:
    from dask.distributed import Client

    with (
        standing_cluster(tmp_path / "there") as (address, scheduler),
        Client(address, timeout="2s") as client,
    ):
        client.wait_for_workers(1)
        executor = Cluster(client)
        executor.submit(Task(key="long", stage="s", call=time.sleep, args=(PATIENCE_S,)))
        scheduler.kill()
        with pytest.raises(ConnectionError, match="the scheduler cannot be reached any more"):
            executor.next()
