"""Workers with a GPU or for an API beside plain ones: every task runs where it may, and nowhere else for long."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from datagen.pipeline import cluster, specification, visible_gpu
from datagen.tasks import Stop, Task, drive

pytestmark = pytest.mark.slow


def where(pause_s: float) -> tuple[str, str]:
    """The worker this runs on, and the GPUs it sees."""
    from dask.distributed import get_worker

    time.sleep(pause_s)
    return str(get_worker().name), os.environ.get("CUDA_VISIBLE_DEVICES", "")


def tasks(count: int, resource: str = "", pause_s: float = 0.05) -> list[Task]:
    needs = ((resource, 1.0),) if resource else ()
    return [
        Task(f"{resource or 'plain'}/{n}", resource or "plain", where, (pause_s,), resources=needs)
        for n in range(count)
    ]


@contextmanager
def ran(every: list[Task], *arguments: Any) -> Iterator[dict[str, Counter[tuple[str, str]]]]:
    """Where the tasks of each kind ran."""
    found: dict[str, Counter[tuple[str, str]]] = {}

    def on_done(task: Task, result: Any) -> None:
        found.setdefault(task.stage, Counter())[result] += 1

    with cluster(*arguments) as executor:
        assert drive(every, executor, on_done, Stop()) == {}
        yield found


def test_each_kind_of_task_has_workers_of_its_own() -> None:
    needs = {"GPU": 1.0, "API": 1.0}
    # The plain ones last longer than Dask waits before idle workers steal (1 s).
    every = [*tasks(12, "GPU"), *tasks(6, "API"), *tasks(16, pause_s=0.2)]
    with ran(every, 2, 2, None, needs) as found:
        assert set(found["GPU"]) == {("gpu-0", "0"), ("gpu-1", "1")}
        assert {name for name, _ in found["API"]} == {"api"}
        assert set(found["plain"]) == {("cpu-0", ""), ("cpu-1", "")}


def test_a_gpu_worker_runs_one_task_at_a_time() -> None:
    began = time.monotonic()
    with ran(tasks(4, "GPU", pause_s=0.3), 1, 1, None, {"GPU": 1.0}):
        assert time.monotonic() - began > 4 * 0.3


def test_without_a_gpu_the_run_is_refused_with_the_remedy() -> None:
    with (
        pytest.raises(ValueError, match="no worker offers the resource GPU; give --gpus N"),
        ran([], 1, 0, None, {"GPU": 1.0}),
    ):
        pass


def test_gpus_are_not_started_for_a_recipe_that_needs_none() -> None:
    assert set(specification(2, 4, {})) == {"cpu-0", "cpu-1"}
    assert set(specification(1, 2, {"GPU": 1.0, "API": 1.0})) == {"cpu-0", "gpu-0", "gpu-1", "api"}


def test_a_gpu_is_one_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [visible_gpu(n) for n in range(3)] == ["5", "7", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [visible_gpu(n) for n in range(2)] == ["0", "1"]
