"""Tasks in the order their inputs allow, with retries and a way to stop; whoever runs them is an executor.

Tasks go through the executor's window, so nothing is assigned long before it can run; the furthest stage goes first, so
intermediate results stay few. What a task returns is a small report; rows stay on disk.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from types import FrameType
from typing import Any, Protocol

from datagen.faults import is_fatal

HOPELESS = 12
"""So many tasks that fail for good, with none that succeeds between them, end the run: a server that is gone would
otherwise be asked for every shard."""
RETRIES = 2
"""Times a task is run again after an error that may pass (a lost connection, a worker that died)."""


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
    (the disk is full) ends the run after the running tasks, and so do failures without end.
    """
    queue = _Queue(tasks)
    failures: dict[str, BaseException] = {}
    attempts: dict[str, int] = {}
    running = unlucky = 0
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
            unlucky = 0
            continue
        attempts[task.key] = attempts.get(task.key, 0) + 1
        if is_fatal(result):
            failures[task.key] = result
            stop.asked = True
        elif attempts[task.key] > RETRIES:
            failures[task.key] = result
            unlucky += 1
            stop.asked = stop.asked or unlucky >= HOPELESS
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
