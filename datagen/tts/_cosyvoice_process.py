"""The worker's side of the CosyVoice process: starting it, asking it with a time limit, replacing it when it fails.

A process of its own, because the model's faults are those of native code: it hangs, it is killed for its memory, a GPU
error leaves it useless, and it may need another interpreter. Workers are daemons, which must not have multiprocessing
children; a plain subprocess is allowed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from datagen.kinds import Unspoken
from datagen.tts._cosyvoice_frames import packed, received

_BOOT = """
import sys
root = sys.argv.pop()
sys.path.insert(0, root)
from datagen.tts import _cosyvoice_child
sys.path.remove(root)
sys.path[:] = [folder for folder in sys.path if folder]
_cosyvoice_child.main()
"""
"""The child sees this project's folder only until its own modules are imported: the packages beside it belong to this
interpreter, perhaps not to the child's. The current folder (an empty name) is no place to import from either."""
_ROOT = str(Path(__file__).resolve().parents[2])
ENVIRONMENT = {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
"""Set unless it is set already. With more threads, the many short calls of the language model take 20 times longer."""
MAX_LOST = 8
"""Processes lost in a row without one utterance in between: the machine is at fault, not the texts."""
_PATIENCE_S = 5.0
"""How long a process may take to end by itself, or to die when it is killed."""


class _Gone(Exception):
    """The process has ended, or closed its pipe. Says how."""


class _Slow(Exception):
    """No answer in time."""


class Child:
    """One process and its pipes. When it fails to answer it is killed: a late answer would be taken for the next."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-c", _BOOT, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**ENVIRONMENT, **os.environ},
            start_new_session=True,  # a Ctrl-C is for the worker, which ends this process in its own time
        )
        requests, replies, errors = self._process.stdin, self._process.stdout, self._process.stderr
        assert requests is not None
        assert replies is not None
        assert errors is not None
        self._requests, self._replies = requests, replies
        self._selector = DefaultSelector()
        self._selector.register(self._replies, EVENT_READ)
        self._words: deque[str] = deque(maxlen=1)
        self._listener = threading.Thread(target=_listen, args=(errors, self._words), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether it was killed or closed."""
        return self._requests.closed

    def ask(self, message: Mapping[str, Any], timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """The answer to a message; raises _Slow or _Gone."""
        deadline = time.monotonic() + timeout_s
        try:
            self._requests.write(packed(message))
            return received(lambda size: self._exactly(size, deadline))
        except BaseException as error:
            gone = self._obituary() if isinstance(error, BrokenPipeError | EOFError) else ""
            self.kill()
            if gone:
                raise _Gone(gone) from None
            raise

    def close(self) -> None:
        """Ends the process: asks it to, waits, then kills it and what it has started."""
        self._requests.close()
        self._wait(_PATIENCE_S)
        self.kill()

    def kill(self) -> None:
        """Ends the process and what it has started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._wait(_PATIENCE_S)
        self._listener.join(_PATIENCE_S)
        self._selector.close()
        self._requests.close()
        self._replies.close()

    def _exactly(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise _Slow
            piece = self._replies.read(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _obituary(self) -> str:
        """How the process ended and the last line of what it printed."""
        code = self._wait(_PATIENCE_S)
        if code is None:
            how = "closed its pipe"
        else:
            how = f"ended with {f'code {code}' if code >= 0 else _signal_name(-code)}"
        self._listener.join(1)
        return how + (f"; its last line: {self._words[-1]}" if self._words else "")

    def _wait(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def _listen(errors: IO[bytes], words: deque[str]) -> None:
    """Reads standard error to its end, so that it never fills up, and keeps its last line."""
    with errors:
        for line in iter(lambda: errors.readline(4096), b""):
            text = " ".join(line.decode(errors="replace").split())
            if text:
                words.append(text[:300])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True)
class Plan:
    """How to run processes: the interpreter, the first message, and limits (see ``cosyvoice2.Config``)."""

    python: str
    settings: Mapping[str, Any]
    timeout_s: float
    start_timeout_s: float
    start_attempts: int
    recycle_after: int


class Speaker:
    """A process that speaks and its successors. Any thread may call; calls wait for each other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._rate = self._spoken = self._lost = 0
        self._refusal = ""

    @property
    def pid(self) -> int | None:
        """The process that speaks at present."""
        return None if self._child is None or self._child.is_over else self._child.pid

    def say(self, request: Mapping[str, Any]) -> tuple[int, npt.NDArray[np.float32]]:
        """A rate and samples at it. Raises Unspoken, or OSError when no process can be kept alive."""
        with self._lock:
            child = self._running()
            try:
                answer, payload = child.ask(request, self._plan.timeout_s)
            except _Slow:
                raise self._loss(f"took longer than timeout_s={self._plan.timeout_s:g}") from None
            except _Gone as gone:
                raise self._loss(f"the CosyVoice process {gone}") from None
            if "failed" in answer:
                if not answer["broken"]:
                    raise Unspoken(str(answer["failed"]))
                child.kill()
                raise self._loss(str(answer["failed"]))
            self._spoken, self._lost = self._spoken + 1, 0
            return self._rate, np.frombuffer(payload, "<f4").astype(np.float32, copy=False)

    def close(self) -> None:
        """Ends the process; the next request starts another."""
        with self._lock:
            if self._child is not None:
                self._child.close()

    def _loss(self, why: str) -> Exception:
        """The error to raise after an utterance that cost a process."""
        self._lost += 1
        if self._lost < MAX_LOST:
            return Unspoken(why)
        return OSError(f"cosyvoice2: {self._lost} processes in a row were lost, the last one: {why}; check the GPU")

    def _running(self) -> Child:
        """The process, a fresh one where there is none or where it has spoken enough."""
        if self._child is not None and self._spoken >= self._plan.recycle_after:
            self._child.close()
        if self._child is None or self._child.is_over:
            self._child, self._rate = self._started()
            self._spoken = 0
        return self._child

    def _started(self) -> tuple[Child, int]:
        """A process whose model is loaded, and its rate. OSError when it refuses, is too slow or dies every time."""
        if self._refusal:  # it would refuse again, after half a minute of loading
            raise OSError(self._refusal)
        why = ""
        for _ in range(self._plan.start_attempts):
            child = Child(self._plan.python)
            try:
                answer, _ = child.ask(self._plan.settings, self._plan.start_timeout_s)
            except _Gone as gone:
                why = str(gone)
                continue
            except _Slow:
                raise OSError(f"cosyvoice2: not ready after start_timeout_s={self._plan.start_timeout_s:g}") from None
            if "ready" in answer:
                return child, int(answer["ready"])
            child.kill()
            why = str(answer["refused"])
            if not answer["broken"]:
                self._refusal = f"cosyvoice2: {why}{_remedy(self._plan.python, answer['missing'])}"
                raise OSError(self._refusal)
        raise OSError(f"cosyvoice2: the process died {self._plan.start_attempts} times at its start: {why}")


def _remedy(python: str, missing: str | None) -> str:
    """What to do about a module that could not be imported, if that was it."""
    if missing is None:
        return ""
    install = "pip install 'duplexkit[cosyvoice]', or what datagen check lists"
    return f"; kind cosyvoice2 needs a package that is not installed for {python}; run: {install}"
