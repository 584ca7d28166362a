"""Builds with things going wrong: a full disk, an engine that is gone, an interruption, a sudden death."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.build import BuildError, Interrupted, run
from datagen.files import Aside
from datagen.stages import module_of
from datagen.tasks import Inline, Stop, Task
from tests.building import Spy, clean, litter, no_pictures, small
from tests.tiny import Silent, build_here, contents, make_build

__all__ = ["clean", "no_pictures", "small"]
pytestmark = pytest.mark.slow


# -- errors of the machine -------------------------------------------------------------------------------------------


def _full_for(part: str) -> Callable[[Aside, bytes], None]:
    write = Aside.write

    def refuse(self: Aside, content: bytes) -> None:
        if part in self._path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, content)

    return refuse


@pytest.mark.parametrize("part", ["ingest-", "synthesize-", "render-", "00001.done.json", "data/", "rejected.jsonl"])
def test_a_full_disk_ends_in_one_line_and_can_be_resumed(
    small: Path, clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Aside, "write", _full_for(part))
        with pytest.raises((BuildError, OSError), match="No space left on device") as caught:
            build_here(small, out)
    if isinstance(caught.value, BuildError):
        assert str(caught.value).endswith("No space left on device; make room and run the same command again")
    assert litter(out) == []
    assert not (out / "manifest.json").exists()
    build_here(small, out)
    assert contents(out) == clean


def test_a_folder_that_may_not_be_written_ends_in_one_line(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Aside, content: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/mnt/x")

    job = make_build(small, tmp_path / "out")
    job.claim(False)
    monkeypatch.setattr(Aside, "write", closed)
    with pytest.raises(
        BuildError, match=r"ingest/0: /mnt/x: Permission denied; check who may read and write there and"
    ):
        run(job, Inline(), Silent(), Stop())


def test_an_engine_that_cannot_be_reached_is_asked_again(
    small: Path, clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize = module_of("synthesize")
    process, calls = synthesize.process, []

    def unsteady(record: Any, *args: Any) -> Any:
        calls.append(record.id)
        if len(calls) <= 2:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return process(record, *args)

    monkeypatch.setattr(synthesize, "process", unsteady)
    build_here(small, tmp_path / "out")
    assert calls[:3] == ["walk-0000"] * 3
    assert contents(tmp_path / "out") == clean


def test_an_engine_that_is_gone_for_good_blames_no_record(
    small: Path, clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record in hand is the same every time; it must not be taken for one that kills its process."""
    out = tmp_path / "out"

    def gone(*_: Any) -> Any:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(module_of("synthesize"), "process", gone)
        for _ in range(3):
            with pytest.raises(BuildError, match="synthesize/0: Connection refused; check the path and the connection"):
                build_here(small, out)
    build_here(small, out)
    assert contents(out) == clean


def test_a_shard_that_fails_for_good_holds_up_only_itself(
    small: Path, clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = module_of("ingest")
    records, calls = ingest.records, []

    def unreadable(config: Any, shard: int, inputs: Any) -> Iterator[Any]:
        if shard == 1:
            calls.append(shard)
            raise RuntimeError("the corpus\nis damaged")
        return records(config, shard, inputs)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "records", unreadable)
        with pytest.raises(BuildError, match=r"ingest/1 failed: RuntimeError: the corpus\nis damaged; run the same"):
            build_here(small, out)
    assert len(calls) == 3
    done = {path.name for path in (out / ".work").glob("check-*/*.done.json")}
    assert done == {"00000.done.json", "00002.done.json"}
    assert not list((out / ".work").glob("*/00001.done.json"))
    build_here(small, out)
    assert contents(out) == clean


def test_out_of_memory_is_not_the_records_fault(
    small: Path, clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: Any) -> Any:
        raise MemoryError

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(module_of("render"), "process", greedy)
        with pytest.raises(BuildError, match="render/0 and 2 more failed: MemoryError"):
            build_here(small, out)
    build_here(small, out)
    assert contents(out) == clean


# -- interruption ----------------------------------------------------------------------------------------------------


class StopAfter(Inline):
    """Asks for a stop after some tasks, as Ctrl-C does."""

    def __init__(self, tasks: int, stop: Stop) -> None:
        super().__init__()
        self._left, self._stop = tasks, stop

    def next(self) -> tuple[Task, Any]:
        self._left -= 1
        if self._left <= 0:
            self._stop.asked = True
        return super().next()


@pytest.mark.parametrize("tasks", [1, 2, 7, 17, 18, 19])
def test_an_interrupted_run_goes_on_where_it_stopped(
    small: Path, clean: dict[str, bytes], tmp_path: Path, tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three shards through six stages are 18 tasks; the file is the 19th."""
    out = tmp_path / "out"
    job = make_build(small, out)
    job.claim(False)
    stop = Stop()
    with pytest.raises(Interrupted, match="stopped; the same command goes on from here"):
        run(job, StopAfter(tasks, stop), Silent(), stop)
    assert not job.complete()
    assert len(list((out / ".work").glob("*/*.done.json"))) == min(tasks, 18)
    spy = Spy(monkeypatch)
    build_here(small, out)
    assert sum(spy.worked.values()) == 36 - 2 * min(tasks, 18)
    assert contents(out) == clean


def test_a_process_that_dies_anywhere_leaves_a_folder_that_can_be_resumed(
    small: Path, clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every move of a finished file into its place is the last thing that happens once."""

    class Death(BaseException):
        pass

    fs, _ = make_build(small, tmp_path).out.path("x")
    move, left = type(fs).mv, [0]

    def dying(self: Any, source: str, to: str, **options: Any) -> None:
        move(self, source, to, **options)
        left[0] -= 1
        if left[0] == 0:
            raise Death

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(type(fs), "mv", dying)
        for moves in range(1, 60, 4):
            left[0] = moves
            try:
                build_here(small, out)
                break
            except Death:
                continue
    assert make_build(small, out).complete()
    assert contents(out) == clean


def test_what_a_killed_process_left_is_swept(small: Path, tmp_path: Path, clean: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    job = make_build(small, out)
    job.claim(False)
    for folder in (job.out, job.out.sub("data"), job.stage("synthesize").folder):
        folder.write(f".x.{uuid.uuid4().hex}.tmp", b"half")
    build_here(small, out)
    assert litter(out) == []
    assert contents(out) == clean
