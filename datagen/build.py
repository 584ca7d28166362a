"""The whole job: a recipe becomes a dataset folder.

OUT/data/*.parquet  README.md (card)  report.html  statistics.json  recipe.yaml  rejected.jsonl
    manifest.json   written last: with it the dataset is complete
    .work/          stage results a later run can reuse
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from datagen.answers import Answers, Entry
from datagen.blueprint import UPSTREAM, Blueprint
from datagen.faults import Halt, told
from datagen.files import Folder
from datagen.manifest import manifest_of
from datagen.recipe import dump
from datagen.stages import RECORD_STAGES, run_shard
from datagen.stages.inputs import ANSWERS
from datagen.stages.package import FilePlan, plan_files, write_file
from datagen.store import ShardReport, StageFolder
from datagen.tally import Tally
from datagen.tasks import Executor, Stop, Task, drive

PUBLISHED = ("manifest.json", "data", "README.md", "report.html", "statistics.json", "rejected.jsonl")
"""What a build leaves for its user besides the resolved recipe; the manifest goes first and comes last."""


class BuildError(RuntimeError):
    """The run could not finish; one line with what to do."""


class Taken(BuildError):
    """The folder belongs to something else."""


class Interrupted(BuildError):
    """Stopped by the user; the same command continues."""


class Progress(Protocol):
    """Is told how far each stage is."""

    def expect(self, stage: str, shards: int) -> None: ...

    def advance(self, stage: str, report: ShardReport | None) -> None: ...


@dataclass(frozen=True)
class Build:
    """One run in one folder."""

    blueprint: Blueprint
    out: Folder

    @property
    def work(self) -> Folder:
        return self.out.sub(".work")

    def stage(self, name: str) -> StageFolder:
        return StageFolder(self.work, name, self.blueprint.identities[name])

    def complete(self) -> bool:
        """Whether the folder holds this very dataset already, with all its data files."""
        manifest = read_manifest(self.out)
        if manifest is None or manifest["recipe"]["hash"] != self.blueprint.identity:
            return False
        return all(self.out.size(name) == figures["bytes"] for name, figures in manifest["files"].items())

    def begun_otherwise(self) -> str:
        """The first stage in which the plan that the folder was begun with differs; empty where none does."""
        found = read_plan(self.out)
        if found is None or found["identities"] == self.blueprint.identities:
            return ""
        mine = self.blueprint.identities
        return next((s for s in UPSTREAM if found["identities"].get(s) != mine.get(s)), "ingest")

    def claim(self, update: bool) -> None:
        """Makes the folder this build's own; Taken when it belongs to another plan or to something else.

        With ``update`` the folder is taken over: finished stages of equal identity and paid answers
        are kept, the rest goes.
        """
        url, found = self.out.url, read_plan(self.out)
        strange = [name for name in (*PUBLISHED, "recipe.yaml") if found is None and self.out.exists(name)]
        if strange:
            what = "a dataset without its work folder" if "manifest.json" in strange else f"another {strange[0]}"
            raise Taken(f"{url} holds {what}; choose another folder with --out")
        if found is not None and (other := self.begun_otherwise()):
            if not update:
                raise Taken(
                    f"{url} was begun with another plan (recipe {found['recipe']!r}, different from stage "
                    f"{other} on); choose another folder with --out, or take this one over with --update"
                )
            self._remove_other()
        for folder in (self.out, self.out.sub("data"), *(self.stage(s).folder for s in self.blueprint.configs)):
            folder.sweep()
        self.out.write(".work/plan.json", json.dumps(self._plan()))
        self.out.write("recipe.yaml", f"# Resolved: every default written out.\n{dump(self.blueprint.recipe)}")

    def _plan(self) -> dict[str, Any]:
        blueprint = self.blueprint
        shards = {stage: blueprint.num_shards(stage) for stage in blueprint.configs if stage != "package"}
        return {"recipe": blueprint.recipe.name, "identities": blueprint.identities, "shards": shards}

    def _remove_other(self) -> None:
        for name in PUBLISHED:
            self.out.remove(name)
        mine = {f"{stage}-{identity[:12]}" for stage, identity in self.blueprint.identities.items()}
        for name in self.work.names():
            if name not in {*mine, "plan.json", ANSWERS}:
                self.work.remove(name)


def read_plan(out: Folder) -> dict[str, Any] | None:
    """What the folder was begun with: the recipe's name, and the stages' identities and shards."""
    return json.loads(out.read(".work/plan.json")) if out.exists(".work/plan.json") else None


def read_manifest(out: Folder) -> dict[str, Any] | None:
    """The manifest of a complete dataset; Taken when the file is another program's."""
    if not out.exists("manifest.json"):
        return None
    try:
        manifest = json.loads(out.read("manifest.json"))
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not {"recipe", "files", "splits", "counts"} <= set(manifest):
        raise Taken(f"{out.url}/manifest.json is not the manifest of a dataset; choose another folder with --out")
    return manifest


def run(build: Build, executor: Executor, progress: Progress, stop: Stop) -> dict[str, Any]:
    """Runs everything that is not done yet and returns the manifest.

    Interrupted when the user stopped it, BuildError when shards failed for good; what is finished stays finished.
    """
    started = time.perf_counter()
    tally = Tally.begin(s for s in UPSTREAM if s in build.blueprint.configs)
    run_stages(build, executor, progress, stop, tally, RECORD_STAGES)
    rejected = [line for s in RECORD_STAGES if s in build.blueprint.configs for line in _rejected(build, s)]
    build.out.write("rejected.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rejected))
    files = _run_package(build, executor, progress, stop, tally)
    taken_from = {stage: names[0] for stage in build.blueprint.configs if (names := build.blueprint.upstream(stage))}
    if leak := tally.leak(taken_from):
        raise BuildError(f"{leak}: this is a fault of the program, please report it")
    if not files:
        raise BuildError(f"every conversation was rejected; see {build.out.url}/rejected.jsonl")
    manifest = manifest_of(build.blueprint, files, tally, entries(build))
    _publish(build, manifest, started)
    return manifest


def run_stages(
    build: Build, executor: Executor, progress: Progress, stop: Stop, tally: Tally, wanted: Sequence[str]
) -> None:
    """The wanted record stages, as far as the recipe has them, on every shard."""
    stages = [s for s in wanted if s in build.blueprint.configs]
    tasks: list[Task] = []
    for depth, stage in enumerate(stages):
        shards = build.blueprint.num_shards(stage)
        progress.expect(stage, shards)
        for shard in range(shards):
            done = build.stage(stage).report(shard)
            if done is not None:
                tally.add(done)
                progress.advance(stage, done)
            else:
                tasks.append(_task(build, stage, shard, rank=-depth if stage != "noise" else -len(stages)))

    def on_done(task: Task, report: ShardReport) -> None:
        tally.add(report)
        progress.advance(task.stage, report)

    finish(drive(tasks, executor, on_done, stop), stop)


def _task(build: Build, stage: str, shard: int, rank: int) -> Task:
    """One shard through one stage. The noise bank goes first, then the furthest stage, then the earliest shard."""
    blueprint = build.blueprint
    needs: set[str] = set()
    for name in blueprint.upstream(stage):
        if name == "noise":
            needs |= {f"noise/{n}" for n in range(blueprint.num_shards("noise"))}
        else:
            needs.add(f"{name}/{shard}")
    return Task(
        key=f"{stage}/{shard}",
        stage=stage,
        call=run_shard,
        args=(build.work.url, stage, blueprint.configs[stage], blueprint.identities, shard),
        after=frozenset(needs),
        rank=(rank, shard),
        resources=tuple(sorted(blueprint.resources(stage).items())),
    )


def _run_package(
    build: Build, executor: Executor, progress: Progress, stop: Stop, tally: Tally
) -> dict[str, dict[str, Any]]:
    """The Parquet files, and their figures by name."""
    reports = [r for n in range(build.blueprint.num_shards("check")) if (r := build.stage("check").report(n))]
    plans = plan_files(reports, build.blueprint.package.file_mb)
    progress.expect("package", len(plans))
    figures: dict[str, dict[str, Any]] = {}

    def on_done(task: Task, result: dict[str, Any]) -> None:
        figures[task.key] = result
        tally.took("package", result.pop("took_s"))
        progress.advance("package", None)

    tasks = [_file_task(build, plan) for plan in plans]
    finish(drive(tasks, executor, on_done, stop), stop)
    rows = sum(f["rows"] for f in figures.values())
    tally.counts["package"] = Counter({"in": sum(r.given for r in reports), "out": rows, "rejected": 0})
    return dict(sorted(figures.items()))


def _file_task(build: Build, plan: FilePlan) -> Task:
    blueprint = build.blueprint
    args = (build.out.url, build.work.url, blueprint.identities, plan, blueprint.package, blueprint.identity)
    return Task(key=plan.name, stage="package", call=_timed_write_file, args=args)


def _timed_write_file(*args: Any) -> dict[str, Any]:
    started = time.perf_counter()
    return {**write_file(*args), "took_s": time.perf_counter() - started}


def entries(build: Build) -> list[Entry]:
    """What the folder's run has paid for so far."""
    return Answers(build.work.sub(ANSWERS)).entries()


def finish(failures: Mapping[str, BaseException], stop: Stop) -> None:
    """Raises what ended a part of the run."""
    for key, error in failures.items():
        if isinstance(error, Halt):
            raise BuildError(f"{error}; what is done is kept") from error
        if isinstance(error, OSError):
            raise BuildError(f"{key}: {told(error)} and run the same command again") from error
    if failures:
        key, error = next(iter(failures.items()))
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        raise BuildError(f"{key}{more} failed: {type(error).__name__}: {error}; run the same command to try again")
    if stop.asked:
        raise Interrupted("stopped; the same command goes on from here")


def _publish(build: Build, manifest: dict[str, Any], started: float) -> None:
    """Everything around the Parquet files, the manifest last; then what only the run needed goes."""
    from datagen.card import write_card
    from datagen.report import collect, write_report

    began = time.perf_counter()
    statistics = collect(build.out.url)
    build.out.write("statistics.json", statistics.model_dump_json(indent=1))
    build.out.write("README.md", write_card(manifest, statistics.model_dump(mode="json"), manifest["splits"]))
    manifest["seconds_per_stage"]["report"] = round(time.perf_counter() - began, 1)
    manifest["wall_seconds"] = round(time.perf_counter() - started, 1)
    write_report(build.out.url, f"{build.out.url}/report.html", manifest=manifest, statistics=statistics)
    build.out.write("manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
    build.stage("render").drop_packs()


def _rejected(build: Build, stage: str) -> list[dict[str, Any]]:
    folder = build.stage(stage)
    return [line for shard in range(build.blueprint.num_shards(stage)) for line in folder.rejected(shard)]
