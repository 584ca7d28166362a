"""What the live engine costs on one CPU thread: forks, ticks, drafts, and how late a tick is while drafts run.

Alone: ``python -m tests.benchmarks.engine [FASTPATH]``; without a folder the embedded preset with random weights, whose
arithmetic is the same. What one call costs is milliseconds of the processor, which other processes do not change; a
draft and how late ticks are is wall-clock.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datagen.core.units import FRAME_MS, FRAME_SAMPLES
from tests.benchmarks.result import Result
from trainer.firing import Seen
from trainer.model.duplex import QWEN25_05B
from trainer.model.fastpath import FastPath
from trainer.presets import EMBEDDED
from trainer.runtime.engine import Engine
from trainer.runtime.engine.drafts import Drafting
from trainer.runtime.engine.rows import Rows
from trainer.runtime.engine.towers import Towers
from trainer.runtime.engine.work import Tick, Work

CONTEXT = 2_250
"""Ticks of six minutes."""
FORK_MS, LATE_MS = 0.2, 20.0
SESSIONS = (1, 4, 8)
WORDS = 5
TICKS_AT = (225, CONTEXT)
"""Lengths of the past that are timed: of a training conversation, and full."""


def engine(folder: Path) -> Iterator[Result]:
    """All of it, on one thread; the folder may hold a fast path."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _forks()
        fast = _fast(folder)
        yield from _towers(fast)
        yield from _ticks(fast)
        yield from asyncio.run(_drafts(fast))
        yield from asyncio.run(_late(fast))
    finally:
        torch.set_num_threads(threads)


def milliseconds(call: Callable[[], object], times: int = 30, warm: int = 5) -> tuple[float, float]:
    """P50 and P90 of what the calls take of the processor."""
    taken = []
    for _ in range(warm + times):
        began = time.thread_time()
        call()
        taken.append(1e3 * (time.thread_time() - began))
    found = np.percentile(taken[warm:], [50, 90])
    return float(found[0]), float(found[1])


def _fast(folder: Path) -> FastPath:
    if (folder / "model.safetensors").is_file():
        return FastPath.load(folder)
    words = [f"word{number} and{number % 97} then{number % 89}" for number in range(4_000)]
    return FastPath.begin(EMBEDDED, words).eval()


@torch.inference_mode()
def _forks() -> Iterator[Result]:
    """One copy of what a row holds, beside a plain copy of as many bytes."""
    shapes = {"embedded": EMBEDDED.llm, "Qwen2.5-0.5B": QWEN25_05B}
    for name, shape in shapes.items():
        channels = shape.hidden // shape.heads  # type: ignore[union-attr]
        for dtype in (torch.float32, torch.bfloat16):
            rows = Rows(shape.layers, shape.kv_heads, channels, 3, CONTEXT + 256, torch.zeros(1, dtype=dtype))  # type: ignore[union-attr]
            rows.lengths[0] = CONTEXT
            size = rows.nbytes // 3 * CONTEXT // rows.room
            source, target = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
            fork, late = milliseconds(lambda rows=rows: rows.fork(0, 1))
            copy, _ = milliseconds(lambda source=source, target=target: target.copy_(source))
            asked = f"{FORK_MS} ms where the memory is fast enough"
            measured = f"p50 {fork:.2f} ms, p90 {late:.2f}; a plain copy of its {size / 1e6:.1f} MB {copy:.2f}"
            # Within a third of what a copy takes, it is the memory that is slow.
            what = f"fork of {CONTEXT:,} ticks, {name} in {str(dtype).removeprefix('torch.')}"
            yield Result(what, asked, measured, fork <= FORK_MS or fork <= 4 / 3 * copy)


@torch.inference_mode()
def _towers(fast: FastPath) -> Iterator[Result]:
    """A batch of towers against one after the other."""
    towers = Towers(fast.tower.for_streaming())
    for rows in SESSIONS[1:]:
        samples_BN, states = torch.randn(rows, FRAME_SAMPLES) * 0.1, [towers.start() for _ in range(rows)]
        together, _ = milliseconds(lambda s=samples_BN, some=states: towers.step(s, some))
        apart, _ = milliseconds(lambda s=samples_BN, some=states: [towers.step(s[:1], [one]) for one in some])
        measured = f"{together:.1f} ms as one batch, {apart:.1f} one by one"
        yield Result(f"speech towers of {rows} sessions in a tick", "a gain", measured, together < apart)


@torch.inference_mode()
def _ticks(fast: FastPath) -> Iterator[Result]:
    """Of several sessions at once, against each on its own."""
    work = Work(fast, max(SESSIONS), 1, CONTEXT, "float32")
    said: list[Seen | BaseException] = []

    def tick(rows: int, together: bool, past: int) -> None:
        for row in range(rows):
            work.rows.lengths[row] = past - 1
            work.ask(Tick(row, _noise(), fast.tokens.sil, said.append))
            if not together:
                work.once()
        work.once()

    for past in TICKS_AT:
        for rows in SESSIONS:
            one, _ = milliseconds(lambda n=rows, k=past: tick(n, False, k))
            many, late = milliseconds(lambda n=rows, k=past: tick(n, True, k))
            measured = f"p50 {many:.1f} ms, p90 {late:.1f} in one batch; {one:.1f} one by one"
            what = f"a tick of {rows} sessions after {past:,} ticks"
            yield Result(what, f"{FRAME_MS} ms is a tick", measured, late < FRAME_MS and not _failed(said))


async def _drafts(fast: FastPath) -> list[Result]:
    """From the request to the last of five words."""
    made = Engine(fast, sessions=1)
    row = made.open()
    taken, tokens = [], []
    for _ in range(40):
        await made.tick(row, _noise().numpy(), fast.tokens.sil)
        began = time.perf_counter()
        found = await _last(made, row)
        taken.append(1e3 * (time.perf_counter() - began))
        tokens.append(len(found.tokens))
    made.stop()
    p50, p90 = np.percentile(taken[5:], [50, 90])
    measured = f"p50 {p50:.1f} ms, p90 {p90:.1f} for {statistics.mean(tokens):.1f} tokens"
    return [Result(f"a draft of {WORDS} words through the engine", "told, not asked", measured, True)]


async def _late(fast: FastPath, rows: int = 4, ticks: int = 60) -> list[Result]:
    """Ticks of four sessions, a quarter of the tick apart, while one of them always drafts and another transcribes."""
    found = []
    for busy in (False, True):
        made = Engine(fast, sessions=rows)
        opened = [made.open() for _ in range(rows)]
        over = asyncio.Event()
        others = [asyncio.create_task(_busy(made, opened[0], over))] if busy else []
        taken = await asyncio.gather(*(_paced(made, row, place, rows, ticks) for place, row in enumerate(opened)))
        over.set()
        await asyncio.gather(*others)
        made.stop()
        p50, p99 = np.percentile(np.concatenate(taken), [50, 99])
        beside = "while a session drafts and transcribes without a pause" if busy else "with nothing beside"
        what = f"a tick of one of {rows} sessions from due to done, {beside}"
        found.append(Result(what, f"P99 < {LATE_MS:g} ms", f"p50 {p50:.1f} ms, p99 {p99:.1f}", p99 < LATE_MS))
    return found


async def _paced(made: Engine, row: int, place: int, rows: int, ticks: int) -> list[float]:
    """Milliseconds from when each tick is due to its answer."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.05 + 1e-3 * FRAME_MS * place / rows
    taken = []
    for tick in range(ticks):
        due = begin + 1e-3 * FRAME_MS * tick
        await asyncio.sleep(max(0.0, due - loop.time()))
        await made.tick(row, _noise().numpy(), 0)
        taken.append(1e3 * (loop.time() - due))
    return taken


async def _busy(made: Engine, row: int, over: asyncio.Event) -> None:
    while not over.is_set():
        await asyncio.gather(_last(made, row), made.transcribe(row, 0, 60))


async def _last(made: Engine, row: int) -> Drafting:
    return [one async for one in made.draft(row, "bos", WORDS)][-1]


def _noise() -> Tensor:
    return torch.randn(FRAME_SAMPLES).clamp(-3, 3) * 0.05


def _failed(said: list[Seen | BaseException]) -> bool:
    return any(isinstance(one, BaseException) for one in said)


def main() -> int:
    """Prints every line; 1 when something is missed."""
    missed = 0
    for r in engine(Path(sys.argv[1] if len(sys.argv) > 1 else "")):
        print(f"{'ok' if r.met else 'MISSED':<7}{r.what} (asked {r.asked}): {r.measured}", flush=True)
        missed += not r.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
