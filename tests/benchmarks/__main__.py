"""Runs every benchmark and prints what was asked and what was measured; exit code 1 when something is missed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from shutil import rmtree

from tests.benchmarks import asking, clips, engine, exporting, jobs, live, rendering, stepping, tick, verifying
from tests.benchmarks.result import Result

RECIPE = "recipes/assistant.yaml"


def main() -> int:
    """All benchmarks; arguments name a selection."""
    wanted = set(sys.argv[1:])
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="datagen-bench-") as folder:
        for name, benchmark in {
            "render": rendering.render_ratio,
            "jobs": jobs.speed_scaling_bytes,
            "memory": jobs.memory,
            "failures": jobs.conservation,
            "asking": asking.faulty_service,
            "real": jobs.real_input,
            "clips": clips.all_routes,
            "verifier": verifying.decision,
            "tick": tick.tick,
            "exporting": exporting.every_format,
            "step": stepping.step,
            "engine": engine.engine,
            "live": live.live,
        }.items():
            if wanted and name not in wanted:
                continue
            (Path(folder) / name).mkdir()
            for r in benchmark(Path(folder) / name):
                print(f"{'ok' if r.met else 'MISSED':<7}{r.what} (asked {r.asked}): {r.measured}", flush=True)
                results.append(r)
            rmtree(Path(folder) / name)
    return 0 if all(r.met for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
