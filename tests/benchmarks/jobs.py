"""Whole builds as a user runs them: speed, scaling, memory, same bytes, conservation, real input."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import psutil

from tests.benchmarks.process import (
    Watched,
    audio_seconds,
    build,
    digests,
    done_shards,
    kill_everything,
    manifest,
    wait_for,
    workers_of,
)
from tests.benchmarks.result import Result
from tests.helpers import ROOT

RECIPE = ROOT / "recipes" / "assistant.yaml"
SMALL = 200
"""Conversations of the smaller run whose memory is compared; the larger has ten times as many."""


def speed_scaling_bytes(folder: Path) -> list[Result]:
    """The main job with one worker, with two, and killed halfway: three runs, four answers."""
    one = _checked(build(RECIPE, folder / "one", "--workers", "1"))
    two = _checked(build(RECIPE, folder / "two", "--workers", "2"))
    _killed_and_resumed(folder / "killed")
    seconds = audio_seconds(folder / "two")
    speed = seconds / two.seconds / 2
    scaling = one.seconds / two.seconds
    same = [digests(folder / name) for name in ("one", "two", "killed")]
    equal = same[0] == same[1] == same[2]
    return [
        Result("main job, end to end", "< 240 s", f"{two.seconds:.0f} s for {seconds / 3600:.1f} h", two.seconds < 240),
        Result("main job per core", ">= 300x real time", f"{speed:.0f}x", speed >= 300),
        Result("two workers against one", ">= 1.85x", f"{scaling:.2f}x ({one.seconds:.0f} s)", scaling >= 1.85),
        Result("same bytes: 1 worker, 2 workers, killed", "equal", f"{len(same[0])} files compared", equal),
    ]


def memory(folder: Path) -> list[Result]:
    """Peak resident memory of the driver and of the larger worker, at ten times the conversations."""
    sizes = (SMALL, 10 * SMALL)
    small, large = (
        _checked(build(RECIPE, folder / str(n), "--workers", "2", "--set", f"conversations={n}")) for n in sizes
    )
    growth = max(large.driver_mb / small.driver_mb, large.worker_mb / small.worker_mb)
    measured = (
        f"{growth:.2f}x (driver {small.driver_mb:.0f} -> {large.driver_mb:.0f} MB, "
        f"worker {small.worker_mb:.0f} -> {large.worker_mb:.0f} MB)"
    )
    return [Result(f"peak memory, {sizes[0]} -> {sizes[1]} conversations", "<= 1.1x", measured, growth <= 1.1)]


def _checked(run: Watched) -> Watched:
    if run.code:
        raise RuntimeError(f"a build ended with {run.code}:\n{run.output[-2000:]}")
    return run


def _killed_and_resumed(out: Path) -> None:
    """A worker is killed in mid-run, later the driver with everything; then the same command goes on."""

    def disturb(driver: psutil.Process) -> None:
        wait_for(lambda: done_shards(out) >= 20)
        workers_of(driver)[0].kill()
        wait_for(lambda: done_shards(out) >= 90)
        kill_everything(driver)

    if build(RECIPE, out, "--workers", "2", after=disturb).code == 0:
        raise RuntimeError("the driver was not killed")
    _checked(build(RECIPE, out, "--workers", "2"))


def conservation(folder: Path) -> list[Result]:
    """in = out + rejected at every stage when 5 % of the dialogues are poison."""
    source = folder / "dialogues.jsonl"
    with source.open("w") as lines:
        for number in range(400):
            bad = number % 20 == 7
            user = ("word " * 900, None, 7, ["a list"])[number // 20 % 4] if bad else "What is the weather like today?"
            turns = [
                {"speaker": "user", "text": user},
                {"speaker": "assistant", "text": f"It is sunny, and number {number} will stay so until the evening."},
            ]
            lines.write(json.dumps({"id": f"d{number}", "turns": turns}) + "\n")
    recipe = folder / "poison.yaml"
    recipe.write_text(
        f"base: {os.path.relpath(RECIPE, folder)}\nname: poison\nconversations: 400\n"
        "source: {kind: jsonl, path: dialogues.jsonl, language: en, licence: CC0-1.0}\n"
    )
    _checked(build(recipe, folder / "out", "--workers", "2"))
    counts = manifest(folder / "out")["counts"]
    balanced = all(c["in"] == c["out"] + c["rejected"] for c in counts.values())
    stages = list(counts)
    chained = all(counts[b]["in"] == counts[a]["out"] for a, b in pairwise(stages[1:]))
    rejected = sum(c["rejected"] for c in counts.values())
    listed = len((folder / "out" / "rejected.jsonl").read_text().splitlines())
    met = balanced and chained and rejected == listed == 20
    return [
        Result(
            "in = out + rejected with 5 % poison", "20 of 400, every stage", f"{rejected} of 400, {listed} listed", met
        )
    ]


def real_input(folder: Path) -> list[Result]:
    """Topical-Chat and Taskmaster samples with recorded noise."""
    samples = ROOT.parent / "shared" / "samples"
    if not samples.is_dir():
        return [Result("real dialogues with recorded noise", "builds", "skipped: no shared/samples here", True)]
    recipe = folder / "real.yaml"
    recipe.write_text(
        f"base: {os.path.relpath(RECIPE, folder)}\nname: real\nconversations: 200\n"
        "source:\n  kind: mixture\n  parts:\n"
        f"    - {{weight: 1, source: {{kind: topical_chat, path: {samples}/dialogues/topical_chat}}}}\n"
        f"    - {{weight: 1, source: {{kind: taskmaster, path: {samples}/dialogues/taskmaster}}}}\n"
        f"noise: {{kind: folder, path: {samples}/noise, licence: CC-BY-3.0}}\n"
    )
    run = _checked(build(recipe, folder / "out", "--workers", "2"))
    made = manifest(folder / "out")
    hours = sum(s["hours"] for s in made["splits"].values())
    rows = sum(s["conversations"] for s in made["splits"].values())
    rate = hours * 3600 / run.seconds / 2
    return [
        Result(
            "real dialogues with recorded noise",
            "builds",
            f"{rows} of 200, {hours:.1f} h, {rate:.0f}x per core",
            rows > 150,
        )
    ]
