"""A thousand questions to a service that fails a fifth of the time: nothing lost, nothing paid twice, no idle slots.

The service is a process of its own (``tests.llm.faulty_gemini``), the backend the real one with Google's client. Slots
stay empty only at the end, when the last questions go through their faults one after another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from datagen.answers import Answers
from datagen.core.asking import Ask, Reply
from datagen.files import Folder
from datagen.llm import gemini
from datagen.llm._asking import Line, Request, Wire
from tests.benchmarks.process import wait_for
from tests.benchmarks.result import Result
from tests.helpers import ROOT
from tests.llm.fake_gemini import MODEL
from tests.llm.questions import KEY, Said, questions, read

QUESTIONS = 1_000
CONCURRENCY = 16
TIMEOUT_S = 2.0
SETTLED_S = 1.5
"""After a kill: longer than any answer takes, so that what was on its way has come out at the server."""


class Timed:
    """A wire whose requests are timed at the client: from the call of Google's client to its answer, its error or its
    cancellation after ``timeout_s``. Waiting for a slot, backing off, keeping and reading answers count as idle."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.occupied_s = wire, 0.0

    def body(self, ask: Ask) -> dict[str, Any]:
        return self.wire.body(ask)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TimedLine]:
        async with self.wire.open() as line:
            yield TimedLine(self, line)


class TimedLine:
    """See Timed."""

    def __init__(self, timed: Timed, line: Line) -> None:
        self._timed, self._line = timed, line

    async def ahead(self, requests: Sequence[Request], answers: Answers) -> None:
        await self._line.ahead(requests, answers)

    async def send(self, body: dict[str, Any]) -> Reply:
        started = time.perf_counter()
        try:
            return await self._line.send(body)
        finally:
            self._timed.occupied_s += time.perf_counter() - started


def ask_everything(url: str, folder: str) -> dict[str, Any]:
    """One task: all questions, in this process."""
    import google.genai  # noqa: F401  (loading it is no part of asking)

    asker = gemini.make(
        gemini.Config(model=MODEL, base_url=url, concurrency=CONCURRENCY, timeout_s=TIMEOUT_S, first_wait_s=0.2)
    )
    asker.wire = timed = Timed(asker.wire)
    with Answers(Folder(folder)) as answers:
        started = time.perf_counter()
        found = asker.ask(questions(QUESTIONS), read, answers)
        wall = time.perf_counter() - started
    out = [(n, f) for n, f in enumerate(found) if isinstance(f, Said)]
    return {
        "in": len(found),
        "out": len(out),
        "right": all(said.index == n for n, said in out),
        "rejected": Counter(str(f) for f in found if isinstance(f, ValueError)),
        "wall_s": wall,
        "occupied_s": timed.occupied_s,
    }


@contextmanager
def service() -> Iterator[str]:
    """The address of a fresh service."""
    command = [sys.executable, "-m", "tests.llm.faulty_gemini"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def stats(url: str) -> dict[str, Any]:
    """What a service was asked and what it delivered."""
    with urllib.request.urlopen(f"{url}/stats") as page:
        return json.load(page)


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    """``ask_everything`` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.asking", url, str(folder)]
    environment = {**os.environ, "GEMINI_API_KEY": KEY}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it printed."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"asking ended with {process.returncode}")
    return json.loads(output)


def faulty_service(folder: Path) -> Iterator[Result]:
    """Conservation and use of the slots; then the same with a kill halfway: what was paid twice."""
    with service() as url:
        ran = finished(start(url, folder / "whole"))
        told = stats(url)
    yield balance("1,000 questions, a fifth of the answers faulty", ran, told)
    used = ran["occupied_s"] / (CONCURRENCY * ran["wall_s"])
    measured = f"{used:.1%} of {CONCURRENCY} slots over {ran['wall_s']:.0f} s, at most {told['busiest']} at once"
    yield Result(
        "slots occupied, timed at the client", ">= 90 %", measured, used >= 0.9 and told["busiest"] <= CONCURRENCY
    )
    yield from killed_halfway(folder / "killed")


def balance(what: str, ran: dict[str, Any], told: dict[str, Any]) -> Result:
    """in = out + rejected, with the faults that were met."""
    rejected = sum(ran["rejected"].values())
    faults = sum(told["faults"].values())
    measured = f"{ran['in']} = {ran['out']} + {rejected}; {faults} faults in {told['requests']} requests"
    met = ran["in"] == QUESTIONS == ran["out"] + rejected and ran["right"] and ran["out"] > 0.98 * QUESTIONS
    return Result(what, "in = out + rejected", measured, met)


def killed_halfway(folder: Path) -> Iterator[Result]:
    """SIGKILL when half of the questions have an answer, then the same again."""
    with service() as url:
        first = start(url, folder)
        wait_for(lambda: len(stats(url)["delivered"]) >= QUESTIONS // 2)
        first.kill()
        first.communicate()
        time.sleep(SETTLED_S)
        kept = {path.stem for path in folder.glob("??/*.json")}
        on_the_way = set(stats(url)["delivered"]) - kept
        ran = finished(start(url, folder))
        told = stats(url)
    yield balance("the same, killed halfway and resumed", ran, told)
    twice = {key for key, times in Counter(told["delivered"]).items() if times > 1}
    measured = (
        f"{len(twice - on_the_way)} of {len(kept)} kept; {len(on_the_way)} were on their way at the kill, "
        f"{len(twice & on_the_way)} of them delivered again"
    )
    met = not twice - on_the_way and len(on_the_way) <= CONCURRENCY
    yield Result("answers delivered twice", f"0 (<= {CONCURRENCY} on their way)", measured, met)
    with Answers(Folder(str(folder))) as answers:
        paid, wanted = len(answers.entries()), len(set(told["delivered"]))
    yield Result(
        "ledger after kill and resumption", "every delivered answer once", f"{paid} of {wanted}", paid == wanted
    )


if __name__ == "__main__":
    print(json.dumps(ask_everything(sys.argv[1], sys.argv[2])))
