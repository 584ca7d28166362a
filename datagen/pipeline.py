"""The only module that knows Dask: an executor on worker processes here or on a standing cluster."""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import Any

from datagen.tasks import Executor, Task

GPU = "GPU"
"""The resource of a worker with a GPU of its own."""
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
STEALING = "distributed.scheduler.work-stealing"
"""Whether idle workers take tasks of busy ones: one with a GPU would take those that prefer a plain one."""


class Cluster:
    """Runs tasks on a Dask cluster, two per thread at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._run = uuid.uuid4().hex[:8]  # keys must differ from those of any other run on the same scheduler
        self._tasks: dict[str, Task] = {}
        self._done: Queue[Any] = Queue()
        self._count = 0
        workers = client.scheduler_info(n_workers=-1)["workers"]
        self._mixed = any(w.get("resources") for w in workers.values())
        self.window = max(2 * sum(w["nthreads"] for w in workers.values()), 2)

    def submit(self, task: Task) -> None:
        """See Executor. The key is new in every run, so that two runs on one scheduler never share a result.

        Tasks that need nothing special prefer the workers that offer nothing: a GPU should not wait for a core that
        renders. It is a preference, so that they go on when those workers die.
        """
        self._count += 1
        plain = self._plain() if self._mixed and not task.resources else []
        future = self._client.submit(
            task.call,
            *task.args,
            key=f"{task.key}-{self._run}-{self._count}",
            pure=False,
            resources=dict(task.resources) or None,
            workers=plain or None,
            allow_other_workers=bool(plain),
            priority=-task.rank[0],
        )
        self._tasks[future.key] = task
        future.add_done_callback(self._done.put)

    def _plain(self) -> list[str]:
        """The workers that offer nothing special, as they are now: one that died comes back elsewhere."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return [address for address, w in workers.items() if not w.get("resources")]

    def next(self) -> tuple[Task, Any]:
        """See Executor. ConnectionError when the scheduler is gone, which would never give an answer."""
        future = None
        while future is None:
            with suppress(Empty):
                future = self._done.get(timeout=1)
            if self._client.status != "running":
                raise ConnectionError("the scheduler cannot be reached any more")
        task = self._tasks.pop(future.key)
        try:
            result = future.result()
        except Exception as error:  # the shard boundary, as in Inline
            result = error
        future.release()
        return task, result


@contextmanager
def cluster(workers: int, gpus: int, scheduler: str | None, needs: Mapping[str, float]) -> Iterator[Executor]:
    """An executor on local processes, or on the cluster a scheduler address or file names.

    Locally there are ``workers`` plain processes, one for each of ``gpus`` GPUs that sees that GPU alone, and one for
    every other resource the recipe ``needs`` (waiting for an API takes no core). ValueError when the cluster cannot be
    reached, has no worker, or none that offers what is needed.
    """
    from dask import config  # type: ignore[reportPrivateImportUsage]
    from dask.distributed import Client, Scheduler, SpecCluster

    with config.set(SETTINGS | {STEALING: not needs}):
        if scheduler is not None:
            with _connected(scheduler) as client:
                yield _ready(client, needs)
            return
        local = SpecCluster(
            workers=specification(workers, gpus, needs),
            scheduler={"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}},
            silence_logs=logging.CRITICAL,  # type: ignore[arg-type]  (a level, whatever its annotation says)
        )
        with local, Client(local) as client:
            client.wait_for_workers(len(local.worker_spec))
            yield _ready(client, needs, patience_s=0)


def specification(workers: int, gpus: int, needs: Mapping[str, float]) -> dict[str, Any]:
    """The local processes, as Dask's SpecCluster takes them."""
    from dask.distributed import Nanny

    def process(**more: Any) -> dict[str, Any]:
        return {"cls": Nanny, "options": {"nthreads": 1, "host": "127.0.0.1", "silence_logs": logging.CRITICAL, **more}}

    hidden = {"CUDA_VISIBLE_DEVICES": ""} if gpus else {}
    found = {f"cpu-{number}": process(env=hidden) for number in range(workers)}
    for number in range(gpus if GPU in needs else 0):
        own = {"CUDA_VISIBLE_DEVICES": visible_gpu(number)}
        found[f"gpu-{number}"] = process(resources={GPU: needs[GPU]}, env=own)
    others = {name: amount for name, amount in needs.items() if name != GPU}
    return found | {name.lower(): process(resources={name: amount}) for name, amount in others.items()}


def visible_gpu(number: int) -> str:
    """The name of the n-th GPU this process may use."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible[number] if number < len(visible) else str(number)


def _connected(scheduler: str) -> Any:
    """A client of a running scheduler; ValueError when there is none."""
    from dask.distributed import Client

    for name in ("distributed", "distributed.client"):  # what they would print is said in one line instead
        logging.getLogger(name).setLevel(logging.CRITICAL)
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


def _ready(client: Any, needs: Mapping[str, float], patience_s: float = FIRST_WORKER_TIMEOUT_S) -> Cluster:
    """The executor of a client whose workers leave Ctrl-C to the driver, once there are workers for what it needs."""
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_TIMEOUT_S)
    except TimeoutError:
        message = f"the cluster has had no worker for {FIRST_WORKER_TIMEOUT_S} s; start some with `dask worker`"
        raise ValueError(message) from None
    deadline = time.monotonic() + patience_s
    while (lacking := _lacking(client, needs)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for need in lacking:
        start = f'`dask worker ADDRESS --nthreads 1 --resources "{need}={needs[need]:g}"`'
        here = "give --gpus N for the GPUs of this machine, or " if need == GPU else ""
        raise ValueError(f"no worker offers the resource {need}; {here}start one with {start} and use --scheduler")
    client.register_plugin(_leave_interrupts())
    return Cluster(client)


def _lacking(client: Any, needs: Mapping[str, float]) -> list[str]:
    """The resources no worker offers enough of."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return [n for n, amount in needs.items() if not any(w.get("resources", {}).get(n, 0) >= amount for w in workers)]


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
