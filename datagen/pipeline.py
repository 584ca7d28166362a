"""The only module that knows Dask: runs tasks in the order their inputs allow, here or on a cluster.

Tasks go through a window of two per worker thread, so nothing is assigned long before it can run; the furthest stage
goes first, so intermediate results stay few. What a task returns is a small report; rows stay on disk.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from types import FrameType
from typing import Any, Protocol

from datagen.faults import is_fatal

RETRIES = 2
"""Times a task is run again after an error that may pass (a lost connection, a worker that died)."""
NO_WORKERS_TIMEOUT_S = 120
FIRST_WORKER_TIMEOUT_S = 30
"""Schedulers are often there before their workers."""
KEPT_BYTES = 256 << 20
"""Freed memory a worker keeps for its next record."""
SETTINGS = {
    "distributed.scheduler.allowed-failures": 4,  # one more than the journal needs to find a deadly record
    "distributed.scheduler.no-workers-timeout": f"{NO_WORKERS_TIMEOUT_S}s",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.logging": {"distributed": "critical"},
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        # Signals of some megabytes come and go with every record: keeping their pages halves the system time.
        "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES,
        "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES,
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    },
}
"""Of Dask, for the run."""


@dataclass(frozen=True)
class Task:
    """One call on one shard."""

    key: str
    stage: str
    call: Callable[..., Any] = field(compare=False)
    args: tuple[Any, ...] = field(compare=False)
    after: frozenset[str] = frozenset()
    """Keys of the tasks whose output it reads."""
    rank: tuple[int, ...] = (0,)
    """Lower goes first among the tasks that could run."""
    resources: tuple[tuple[str, float], ...] = ()


class Executor(Protocol):
    """Runs tasks somewhere."""

    window: int

    def submit(self, task: Task) -> None: ...

    def next(self) -> tuple[Task, Any]:
        """The next finished task with its result, or with the exception it ended in."""
        ...


class Stop:
    """The two-stage Ctrl-C: the first lets running tasks finish, the second ends at once, more do not disturb that."""

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        """``told`` is called when the first comes."""
        self.asked = False
        self._told, self._over = told, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._over:
            return
        if self.asked:
            self._over = True
            raise KeyboardInterrupt
        self.asked = True
        self._told()

    @contextmanager
    def minding(self) -> Iterator[None]:
        """Where an interrupt counts; after it the processes are being closed, which must not stop halfway."""
        try:
            yield
        finally:
            self._over = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes over SIGINT for a while; does nothing outside the main thread."""
        try:
            before = signal.signal(signal.SIGINT, self)
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def drive(
    tasks: Sequence[Task],
    executor: Executor,
    on_done: Callable[[Task, Any], None],
    stop: Stop,
) -> dict[str, BaseException]:
    """Runs all tasks; returns the errors of those that failed for good.

    A failed task is run again ``RETRIES`` times; what depends on it is not run, everything else is. A fatal error
    (the disk is full) ends the run after the running tasks.
    """
    queue = _Queue(tasks)
    failures: dict[str, BaseException] = {}
    attempts: dict[str, int] = {}
    running = 0
    while True:
        while running < executor.window and not stop.asked and (task := queue.pop()):
            executor.submit(task)
            running += 1
        if not running:
            return failures
        task, result = executor.next()
        running -= 1
        if not isinstance(result, BaseException):
            on_done(task, result)
            queue.finished(task)
            continue
        attempts[task.key] = attempts.get(task.key, 0) + 1
        if is_fatal(result):
            failures[task.key] = result
            stop.asked = True
        elif attempts[task.key] > RETRIES:
            failures[task.key] = result
        else:
            queue.push(task)


class _Queue:
    """Tasks whose inputs are ready, best rank first."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._ready: list[tuple[tuple[int, ...], str]] = []
        self._tasks = {task.key: task for task in tasks}
        self._waiting = {key: set(task.after) & set(self._tasks) for key, task in self._tasks.items()}
        self._readers: dict[str, list[str]] = {}
        for key, needs in self._waiting.items():
            for need in needs:
                self._readers.setdefault(need, []).append(key)
            if not needs:
                self.push(self._tasks[key])

    def push(self, task: Task) -> None:
        heappush(self._ready, (task.rank, task.key))

    def pop(self) -> Task | None:
        return self._tasks[heappop(self._ready)[1]] if self._ready else None

    def finished(self, task: Task) -> None:
        for reader in self._readers.get(task.key, ()):
            self._waiting[reader].discard(task.key)
            if not self._waiting[reader]:
                self.push(self._tasks[reader])


class Inline:
    """Runs tasks in this process, one after the other: for tests, profiling and small things."""

    window = 1

    def __init__(self) -> None:
        self._tasks: list[Task] = []

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def next(self) -> tuple[Task, Any]:
        task = self._tasks.pop(0)
        try:
            return task, task.call(*task.args)
        except Exception as error:  # the shard boundary: the driver decides what becomes of it
            return task, error


class Cluster:
    """Runs tasks on a Dask cluster."""

    def __init__(self, client: Any) -> None:
        from dask.distributed import as_completed

        self._client = client
        self._run = uuid.uuid4().hex[:8]  # keys must differ from those of any other run on the same scheduler
        self._futures: Any = as_completed([], loop=client.loop, raise_errors=False)
        self._tasks: dict[str, Task] = {}
        self._count = 0
        threads = sum(w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values())
        self.window = max(2 * threads, 2)

    def submit(self, task: Task) -> None:
        self._count += 1
        future = self._client.submit(
            task.call,
            *task.args,
            key=f"{task.key}-{self._run}-{self._count}",
            pure=False,
            resources=dict(task.resources) or None,
            priority=-task.rank[0],
        )
        self._tasks[future.key] = task
        self._futures.add(future)

    def next(self) -> tuple[Task, Any]:
        future = next(self._futures)
        task = self._tasks.pop(future.key)
        error = future.exception() if future.status == "error" else None
        result = future.result() if future.status == "finished" else error or RuntimeError(f"{task.key}: lost")
        future.release()
        return task, result


@contextmanager
def cluster(workers: int, scheduler: str | None, needs: Iterable[str] = ()) -> Iterator[Executor]:
    """An executor on ``workers`` local processes, or on the cluster a scheduler address or file names.

    ValueError when the cluster cannot be reached, has no worker, or offers none of the ``needs`` (resources).
    """
    import logging

    from dask import config  # type: ignore[reportPrivateImportUsage]
    from dask.distributed import Client, LocalCluster

    with config.set(SETTINGS):
        if scheduler is not None:
            with _connected(scheduler) as client:
                yield _ready(client, needs)
            return
        local = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
        with local, Client(local) as client:
            yield _ready(client, needs)


def _connected(scheduler: str) -> Any:
    """A client of a running scheduler; ValueError when there is none."""
    from dask.distributed import Client

    try:
        if "://" in scheduler:
            return Client(scheduler, timeout="20s")
        if not os.path.isfile(scheduler):  # the client would wait for it for ever
            raise ValueError("there is no such file")
        return Client(scheduler_file=scheduler, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(
            f"--scheduler {scheduler}: cannot be reached ({error}); start it with `dask scheduler`"
        ) from None


def _ready(client: Any, needs: Iterable[str]) -> Cluster:
    """The executor of a client whose workers leave Ctrl-C to the driver."""
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_TIMEOUT_S)
    except TimeoutError:
        message = f"the cluster has had no worker for {FIRST_WORKER_TIMEOUT_S} s; start some with `dask worker`"
        raise ValueError(message) from None
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for need in needs:
        if not any(need in w.get("resources", {}) for w in workers.values()):
            start = f'`dask worker ADDRESS --resources "{need}=1"`'
            raise ValueError(f"no worker offers the resource {need}; start one with {start} and use --scheduler")
    client.register_plugin(_leave_interrupts())
    return Cluster(client)


def _leave_interrupts() -> Any:
    """A worker plugin: Ctrl-C in the terminal reaches the whole process group, but only the driver acts on it."""
    from dask.distributed import WorkerPlugin

    class LeaveInterrupts(WorkerPlugin):
        name = "leave-interrupts"

        def setup(self, worker: Any) -> None:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            except ValueError:  # a worker outside the main thread gets no signal of the terminal
                return

    return LeaveInterrupts()
