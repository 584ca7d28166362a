"""What the commands print."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from datagen.answers import Answers, totals
from datagen.blueprint import Blueprint, draw_up
from datagen.build import Build, Interrupted, read_manifest, read_plan, run
from datagen.core.summary import Summary
from datagen.core.turntaking import from_timeline
from datagen.core.types import Unreadable
from datagen.files import Folder
from datagen.kinds import Need
from datagen.pipeline import cluster
from datagen.preflight import check_voices
from datagen.recipe import Recipe, dump
from datagen.stages.inputs import ANSWERS
from datagen.store import ShardReport, StageFolder
from datagen.tasks import Stop

console = Console(highlight=False)


class Bars:
    """A bar per stage on a terminal; a line per finished stage elsewhere."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._records: dict[str, list[int]] = {}
        self._left: dict[str, int] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expect(self, stage: str, shards: int) -> None:
        unit = "files" if stage == "package" else "shards"
        self._tasks[stage] = self._progress.add_task(stage, total=shards, note="", unit=unit)
        self._left[stage] = shards
        self._records[stage] = [0, 0]

    def advance(self, stage: str, report: ShardReport | None) -> None:
        """One more shard of a stage is done; a package file comes without a report."""
        given, rejected = self._records[stage]
        if report is not None:
            given, rejected = given + report.given, rejected + report.rejected
            self._records[stage] = [given, rejected]
        note = f"{given:,} out" + (f", {rejected:,} rejected" if rejected else "") if report is not None else ""
        self._progress.update(self._tasks[stage], advance=1, note=note)
        self._left[stage] -= 1
        if not self._left[stage] and not console.is_terminal:
            say(f"{stage}: {note or 'done'}")


def build(recipe: Recipe, out: str, workers: int | None, gpus: int, scheduler: str | None, update: bool) -> None:
    """Runs a build and prints its summary."""
    job = Build(draw_up(recipe), Folder(out))
    if job.complete():
        say(f"{out} is complete already; nothing to do.")
        return summary(out, read_manifest(job.out) or {})
    if not job.blueprint.resources("synthesize"):  # an engine that needs a special worker is not loaded here
        check_voices(recipe)
    job.claim(update)
    stop = Stop(lambda: say("finishing what is running; Ctrl-C again stops at once"))
    needs = job.blueprint.needs()
    try:
        with (
            stop.listening(),
            cluster(workers or os.cpu_count() or 1, gpus, scheduler, needs) as executor,
            stop.minding(),
            Bars() as bars,
        ):
            manifest = run(job, executor, bars, stop)
    except KeyboardInterrupt:
        raise Interrupted("stopped at once; the same command goes on from the last finished shards") from None
    summary(out, manifest)
    return None


def say(text: str = "") -> None:
    """A line as it is: paths stay whole and brackets are brackets."""
    console.print(text, markup=False, soft_wrap=True)


def grid(first: str, *numbers: str) -> Table:
    """A table without lines, names to the left and numbers to the right."""
    table = Table(first, box=None, pad_edge=False)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def summary(out: str, manifest: dict[str, Any]) -> None:
    """Conversations and hours per split, rejected with reasons, seconds per stage, where to look."""
    splits = grid("split", "conversations", "hours", "voices", "MB")
    for name, s in manifest["splits"].items():
        splits.add_row(
            name, f"{s['conversations']:,}", f"{s['hours']:.2f}", str(s["voices"]), f"{s['bytes'] / 1e6:,.0f}"
        )
    say()
    console.print(splits)
    say()
    _rejections(manifest)
    spent(manifest.get("usage", {}))
    seconds = "  ".join(f"{stage} {s:.1f}" for stage, s in manifest["seconds_per_stage"].items())
    console.print(f"worker seconds: {seconds}", markup=False)
    if "wall_seconds" in manifest:
        hours = sum(s["hours"] for s in manifest["splits"].values())
        say(f"{hours:.2f} hours of conversation in {manifest['wall_seconds']:.0f} s")
    say(f"\nlook and listen: {out}/report.html")
    say(f'load:            datasets.load_dataset("{out}")')


def spent(usage: dict[str, dict[str, Any]]) -> None:
    """What language models answered, and what it cost where a price table is given."""
    for name, figures in usage.items():
        cost = f", ${figures['usd']:,.{2 if figures['usd'] >= 1 else 4}f}" if "usd" in figures else ""
        tokens = f"{figures['prompt_tokens']:,} tokens in, {figures['output_tokens']:,} out"
        say(f"{name}: {figures['answers']:,} answers, {tokens}{cost}")


def _rejections(manifest: dict[str, Any]) -> None:
    for stage, count in manifest["counts"].items():
        if count["rejected"]:
            say(f"{stage}: {count['in']} in = {count['out']} out + {count['rejected']} rejected")
            for reason, number in list(manifest["rejected_reasons"].get(stage, {}).items())[:5]:
                say(f"  {number:>6} x {reason}")
    if not any(count["rejected"] for count in manifest["counts"].values()):
        say("nothing was rejected")


def plan(recipe: Recipe) -> None:
    """Statistics of planned timelines."""
    from datagen.preview import plans

    total, refused, reasons = Summary(), 0, []
    for item in plans(draw_up(recipe)):
        if isinstance(item, Unreadable):
            refused += 1
            reasons.append(f"{item.id} ({item.where}): {item.reason}")
        else:
            total.add(from_timeline(item.timeline))
    say(f"{total.conversations} conversations planned, {refused} refused")
    for reason in reasons[:5]:
        say(f"  {reason}")
    if total.conversations:
        table = Table("figure", "value", box=None, pad_edge=False)
        for name, value in total.rates().model_dump().items():
            table.add_row(name.replace("_", " "), _figure(value))
        console.print(table)


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_figure(item)}" for key, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def checks(found: Iterable[Need]) -> bool:
    """Prints a line per need and counts what is missing; whether nothing is."""
    missing = 0
    for item in found:
        if item.found:
            console.print(f"[green]ok[/]       {item.name:<28} ", end="")
            say(item.found)
        else:
            console.print(f"[red]missing[/]  {item.name}")
            say(f"         {item.remedy}")
        missing += not item.found
    say(f"\n{missing} missing" if missing else "\neverything is here")
    return not missing


def explain(recipe: Recipe, out: str) -> None:
    """The resolved recipe and what a build in ``out`` would run."""
    blueprint = draw_up(recipe)
    say(dump(recipe))
    table = grid("stage", "identity", "shards", "done")
    complete = Build(blueprint, Folder(out)).complete()
    for stage in blueprint.configs:
        done, shards = _progress(blueprint, Folder(out), stage, complete)
        table.add_row(stage, blueprint.identities[stage][:12], str(shards), str(done))
    console.print(table)
    if complete:
        say(f"{out}: complete, nothing would run")
    elif other := Build(blueprint, Folder(out)).begun_otherwise():
        say(f"{out}: begun with another plan, different from stage {other} on; a build there needs --update")
    else:
        say(f"{out}: a build runs what is not done")


def _progress(blueprint: Blueprint, out: Folder, stage: str, complete: bool) -> tuple[int | str, int | str]:
    """Shards done and shards in all; of a complete build the last render packs are gone, but nothing is left to do."""
    if stage == "package":
        return ("yes" if complete else "no"), "-"
    shards = blueprint.num_shards(stage)
    if complete:
        return shards, shards
    folder = StageFolder(out.sub(".work"), stage, blueprint.identities[stage])
    return sum(folder.report(shard) is not None for shard in range(shards)), shards


def status(url: str) -> None:
    """How far the build in a folder is, from its files alone."""
    out = Folder(url)
    manifest = read_manifest(out)
    if manifest is not None:
        say(f"recipe {manifest['recipe']['name']}: complete")
        return summary(url, manifest)
    plan_file = read_plan(out)
    if plan_file is None:
        raise ValueError(f"{url}: no build was begun here; start one with `datagen build RECIPE --out {url}`")
    table = grid("stage", "shards done", "records", "rejected")
    for stage, identity in plan_file["identities"].items():
        folder = out.sub(f".work/{stage}-{identity[:12]}")
        reports = [json.loads(folder.read(n)) for n in folder.names() if n.endswith(".done.json")]
        if stage != "package":
            given, rejected = (sum(r[key] for r in reports) for key in ("given", "rejected"))
            done = f"{len(reports)} of {plan_file['shards'][stage]}"
            table.add_row(stage, done, str(given), str(rejected))
    say(f"recipe {plan_file['recipe']}: not complete")
    console.print(table)
    spent(totals(Answers(out.sub(f".work/{ANSWERS}")).entries(), None))
    say("run the same build command again to go on")
    return None


def show(identifier: str, data: str, to: Path) -> None:
    """One conversation as text, picture and wav."""
    from datagen import show as conversation

    conversation.show(data, identifier, to, console=console)
