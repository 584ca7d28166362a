"""What a tick of the speech tower takes on one core at the published size, form by form, and how far each is off.

Alone: ``python -m tests.benchmarks.tick``. Times are wall-clock milliseconds. Weights are random,
with a stream of size one: as they are at the start, the blocks and their rounding would hardly weigh.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tests.benchmarks.result import Result
from tests.trainer.tiny_tower import PUBLISHED, sound, streamed, tiny, whole
from trainer import features
from trainer.model.encoder import PAST
from trainer.model.tower import Tower
from trainer.presets import EMBEDDED

WARM, TICKS = 25, 60
"""The window of 16 chunks is full after 17 ticks."""
PUBLIC_HOURS, PUBLIC_MS = 2_594, 249.8
"""The public implementation on a core like this one, idle: audio hours of features per hour, and a tick."""
BUDGET_MS = 60
TOLERANCE = {"bfloat16": 0.05, "float16": 1e-3, "int8": 5e-3}
"""Length of the error over the length of the vectors of float32."""
FORMS: tuple[Literal["float32", "bfloat16", "float16", "int8"], ...] = ("float32", "bfloat16", "float16", "int8")


def milliseconds(call: Callable[[], object], times: int) -> list[float]:
    """Of each call, sorted, after as many that are not counted."""
    taken = []
    for _ in range(2 * times):
        began = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - began))
    return sorted(taken[times:])


def feature_rate() -> Result:
    """Features of ten minutes."""
    samples = sound(600 * 16_000)
    hours = 600 / (statistics.median(milliseconds(lambda: features.features(samples), 5)) / 1e3)
    asked = f"{PUBLIC_HOURS:,}, the public rate"
    return Result("features: audio hours per core-hour", asked, f"{hours:,.0f}", hours >= PUBLIC_HOURS)


def ten_minutes() -> Result:
    """A stream of the embedded preset's tower against the whole."""
    tower = tiny(EMBEDDED.tower)
    samples_BN = sound(1, 3_750 * features.TICK)
    offline = whole(tower, samples_BN)
    with torch.inference_mode():
        off = (streamed(tower, samples_BN) - offline).abs().max().item()
    size = offline.square().mean().sqrt().item()
    measured = f"max abs {off:.1e} with vectors of RMS {size:.3f}: {off / size:.1e} of it"
    return Result("stream of ten minutes = offline, embedded size", "1e-4 of the RMS", measured, off <= 1e-4 * size)


def vectors_and_times(tower: Tower) -> tuple[Tensor, list[float]]:
    """Vectors of all ticks; sorted times of those after the warm-up."""
    state, vectors, taken = tower.start(), [], []
    for tick in sound(1, (WARM + TICKS) * features.TICK, seed=1).split(features.TICK, dim=1):
        began = time.perf_counter()
        vector, state = tower.step(tick, state)
        taken.append(1e3 * (time.perf_counter() - began))
        vectors.append(vector.float())
    return torch.stack(vectors, dim=1), sorted(taken[WARM:])


def parts(tower: Tower) -> str:
    """Medians of the tick's parts."""
    encoder, adapter = tower.encoder, tower.adapter
    samples = sound(1, features.TICK)
    feats = features.features(samples)
    normal = encoder.cmvn(torch.nn.functional.pad(feats, (0, 0, PAST, 0)))
    frames, state = encoder.step(feats, encoder.start())
    for _ in range(WARM):
        frames, state = encoder.step(feats, state)
    calls: dict[str, Callable[[], object]] = {
        "features": lambda: features.step(samples, features.start()),
        "front end": lambda: encoder.front(normal),
        "encoder": lambda: encoder.step(feats, state),
        "adapter": lambda: adapter.step(frames, adapter.start()),
    }
    return ", ".join(f"{name} {statistics.median(milliseconds(call, 10)):.1f}" for name, call in calls.items())


def cached_positions(tower: Tower) -> Result:
    """What projecting every key's position at every tick would take, in place of the new ones'."""
    keys, new = (torch.randn(count, tower.config.encoder.width) for count in (68, 4))
    layers = [block.get_submodule("attention.pos") for block in tower.encoder.blocks]
    every, few = (
        statistics.median(milliseconds(lambda rows=rows: [layer(rows) for layer in layers], 10)) for rows in (keys, new)
    )
    return Result("positions cached in the keys", "a gain", f"{every - few:.1f} ms of {every:.1f}", every > few)


@torch.inference_mode()
def tick(_: Path | None = None) -> Iterator[Result]:
    """All of it, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield feature_rate()
        yield ten_minutes()
        tower = tiny(PUBLISHED)
        yield cached_positions(tower)
        expected = None
        for form in FORMS:
            fast = tower if form == "float32" else tower.for_streaming(form)
            vectors, taken = vectors_and_times(fast)
            expected = vectors if expected is None else expected
            off = ((vectors - expected).norm() / expected.norm()).item()
            middle, late = (taken[int(share * len(taken))] for share in (0.5, 0.9))
            met = off <= TOLERANCE.get(form, 0) and (form != "int8" or middle <= BUDGET_MS)
            asked = f"{BUDGET_MS} ms, off by {TOLERANCE[form]}" if form == "int8" else f"public: {PUBLIC_MS} ms"
            measured = f"p50 {middle:.1f} ms, p90 {late:.1f} ms ({parts(fast)}); off by {off:.1e}"
            yield Result(f"tick with {form} weights", asked, measured, met)
    finally:
        torch.set_num_threads(threads)


def main() -> int:
    """Prints every line; 1 when something is missed."""
    missed = 0
    for r in tick():
        print(f"{'ok' if r.met else 'MISSED':<7}{r.what} (asked {r.asked}): {r.measured}", flush=True)
        missed += not r.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
