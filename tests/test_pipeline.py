"""Tasks run when their inputs are there, again when they fail, and never behind a failed one."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.pipeline import Cluster, _ready, cluster
from datagen.tasks import HOPELESS, RETRIES, Executor, Inline, Stop, Task, drive


class Flaky:
    """A call that fails a number of times before it succeeds."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures, self.calls = failures, 0
        self.error = error or RuntimeError("no")

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return self.calls


class Watched:
    """Runs tasks at once but hands them over as late as the window allows, in a chosen order."""

    def __init__(self, window: int, order: Sequence[int] = ()) -> None:
        self.window = window
        self.most = 0
        self.submitted: list[str] = []
        self._order, self._running = list(order), list[Task]()

    def submit(self, task: Task) -> None:
        self.submitted.append(task.key)
        self._running.append(task)
        self.most = max(self.most, len(self._running))

    def next(self) -> tuple[Task, Any]:
        pick = self._order.pop() % len(self._running) if self._order else 0
        task = self._running.pop(pick)
        try:
            return task, task.call(*task.args)
        except Exception as error:
            return task, error


def task(key: str, call: Any = None, after: Sequence[str] = (), rank: tuple[int, ...] = (0,)) -> Task:
    return Task(key=key, stage="s", call=call or Flaky(0), args=(), after=frozenset(after), rank=rank)


def run(tasks: Sequence[Task], executor: Executor | None = None) -> tuple[list[str], dict[str, BaseException], Stop]:
    """Drives tasks; keys in the order they ended well, the failures, and the stop."""
    done: list[str] = []
    stop = Stop()
    return done, drive(tasks, executor or Inline(), lambda task, result: done.append(task.key), stop), stop


Graph = list[tuple[set[int], int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Tasks as (the earlier tasks they need, times they fail)."""
    size = draw(st.integers(0, 10))
    return [
        (
            draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set(),
            draw(st.sampled_from([0, 0, 0, 1, RETRIES, RETRIES + 1, 99])),
        )
        for n in range(size)
    ]


@given(graphs(), st.integers(1, 4), st.lists(st.integers(0, 5), max_size=30), st.randoms(use_true_random=False))
def test_what_can_run_runs_in_order_and_nothing_else(graph: Graph, window: int, order: list[int], random: Any) -> None:
    calls = [Flaky(failures) for _, failures in graph]
    tasks = [task(str(n), calls[n], [str(k) for k in needs]) for n, (needs, _) in enumerate(graph)]
    random.shuffle(tasks)
    executor = Watched(window, order)
    done, failures, stop = run(tasks, executor)

    doomed: set[int] = set()
    for n, (needs, fails) in enumerate(graph):
        if fails > RETRIES or needs & doomed:
            doomed.add(n)
    assert sorted(done) == sorted(str(n) for n in range(len(graph)) if n not in doomed)
    for n, (needs, fails) in enumerate(graph):
        behind = bool(needs & doomed)
        assert calls[n].calls == (0 if behind else min(fails, RETRIES) + 1)
        assert (str(n) in failures) == (not behind and fails > RETRIES)
        if str(n) in done:
            assert all(done.index(str(k)) < done.index(str(n)) for k in needs)
    assert executor.most <= window
    assert not stop.asked


def test_tasks_that_fail_without_end_end_the_run() -> None:
    calls = [Flaky(99) for _ in range(40)]
    done, failures, stop = run([task(f"{n:02d}", call) for n, call in enumerate(calls)])
    assert (done, len(failures), stop.asked) == ([], HOPELESS, True)
    assert sum(call.calls for call in calls) == HOPELESS * (RETRIES + 1)
    some = [Flaky(0 if n % 10 == 9 else 99) for n in range(40)]
    done, failures, stop = run([task(f"{n:02d}", call) for n, call in enumerate(some)])
    assert (len(done), len(failures), stop.asked) == (4, 36, False)


def test_a_task_may_fail_twice() -> None:
    flaky = Flaky(2)
    done, failures, _ = run([task("a", flaky), task("b", after=["a"])])
    assert done == ["a", "b"]
    assert failures == {}
    assert flaky.calls == 3


def test_a_task_that_fails_for_good_is_named_and_holds_up_only_its_readers() -> None:
    reader = Flaky(0)
    done, failures, _ = run([task("a", Flaky(99)), task("b", reader, ["a"]), task("c"), task("d", after=["c"])])
    assert list(failures) == ["a"]
    assert str(failures["a"]) == "no"
    assert sorted(done) == ["c", "d"]
    assert reader.calls == 0


def test_what_is_not_part_of_the_run_counts_as_done() -> None:
    done, _, _ = run([task("b", after=["a"])])
    assert done == ["b"]


def test_lower_ranks_go_first_so_that_shards_leave_early() -> None:
    stages = ["ingest", "plan", "render"]
    tasks = [
        task(f"{name}/{shard}", after=[f"{stages[depth - 1]}/{shard}"] if depth else [], rank=(-depth, shard))
        for depth, name in enumerate(stages)
        for shard in range(3)
    ]
    done, _, _ = run(tasks)
    assert done == [f"{name}/{shard}" for shard in range(3) for name in stages]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_full_or_closed_disk_ends_the_run_after_what_is_running(number: int) -> None:
    full = Flaky(99, OSError(number, "no"))
    executor = Watched(2)
    done, failures, stop = run([task("a", full, rank=(0,)), task("b", rank=(1,)), task("c", rank=(2,))], executor)
    assert list(failures) == ["a"]
    assert full.calls == 1
    assert done == ["b"]
    assert executor.submitted == ["a", "b"]
    assert stop.asked


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "gone"), TimeoutError("slow")])
def test_a_lost_connection_is_tried_again(error: OSError) -> None:
    done, failures, _ = run([task("a", Flaky(2, error)), task("b")])
    assert sorted(done) == ["a", "b"]
    assert failures == {}


def test_nothing_starts_after_a_stop_and_what_runs_is_finished() -> None:
    stop, done = Stop(), []
    executor = Watched(3)

    def on_done(finished: Task, result: Any) -> None:
        done.append(finished.key)
        stop.asked = True

    failures = drive([task(str(n)) for n in range(9)], executor, on_done, stop)
    assert failures == {}
    assert done == executor.submitted == ["0", "1", "2"]


def test_a_failure_during_a_stop_is_not_tried_again() -> None:
    stop = Stop()
    flaky = Flaky(1)
    failures = drive([task("a", lambda: stop(2, None)), task("b", flaky)], Watched(2), lambda *_: None, stop)
    assert failures == {}
    assert flaky.calls == 1


def test_the_first_interrupt_asks_and_the_second_insists() -> None:
    heard: list[str] = []
    stop = Stop(lambda: heard.append("told"))
    with stop.listening():
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert heard == ["told"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_nobody_listens() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []

    def elsewhere() -> None:
        with Stop().listening():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


# -- Dask ------------------------------------------------------------------------------------------------------------


class FakeClient:
    """A client of a cluster with given workers."""

    def __init__(self, *workers: dict[str, float]) -> None:
        self._workers = {str(n): {"nthreads": 2, "resources": offers} for n, offers in enumerate(workers)}

    def wait_for_workers(self, number: int, timeout: float) -> None:
        if len(self._workers) < number:
            raise TimeoutError

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1, "by default Dask names five workers only"
        return {"workers": self._workers}

    def register_plugin(self, plugin: object) -> None:
        """Nothing to do."""


def test_a_cluster_that_cannot_do_the_work_is_refused() -> None:
    with pytest.raises(ValueError, match="has had no worker for 30 s; start some with"):
        _ready(FakeClient(), {}, 0)
    with pytest.raises(ValueError, match=r'no worker offers the resource GPU; give --gpus N .*--resources "GPU=2"'):
        _ready(FakeClient({}, {"TPU": 1, "GPU": 1}), {"GPU": 2}, 0)


def test_a_scheduler_file_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with (
        pytest.raises(
            ValueError, match=r"--scheduler .*s\.json: cannot be reached \(there is no such file\); start it"
        ),
        cluster(1, 0, str(tmp_path / "s.json"), {}),
    ):
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A scheduler and one worker as threads of this process."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        yield client


def _broken(text: str) -> None:
    raise ValueError(text)


def test_the_window_is_two_tasks_for_every_thread(client: Any) -> None:
    assert _ready(client, {}, 0).window == 4


def test_results_and_errors_come_back_with_their_tasks(client: Any) -> None:
    executor = Cluster(client)
    tasks = [task("good", lambda: 7), task("bad", lambda: _broken("why"))]
    for one in tasks:
        executor.submit(one)
    found = {done.key: result for done, result in (executor.next() for _ in tasks)}
    assert found["good"] == 7
    assert isinstance(found["bad"], ValueError)
    assert str(found["bad"]) == "why"


def test_two_runs_on_one_scheduler_do_not_mix(client: Any) -> None:
    one, two = Cluster(client), Cluster(client)
    one.submit(task("ingest/0", lambda: "mine"))
    two.submit(task("ingest/0", lambda: "yours"))
    assert one.next()[1] == "mine"
    assert two.next()[1] == "yours"


def test_a_run_on_dask_is_a_run(client: Any) -> None:
    tasks = [task(f"{n}", after=[str(n - 1)] if n else []) for n in range(8)]
    done, failures, _ = run([*tasks, task("bad", lambda: _broken("why"))], Cluster(client))
    assert done == [str(n) for n in range(8)]
    assert list(failures) == ["bad"]
