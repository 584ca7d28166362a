"""The whole import: a foreign set becomes a dataset like those that are built here.

OUT/data/*.parquet  README.md (card)  statistics.json  report.html  rejected.jsonl (where something was)
    manifest.json   written last
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from datagen import kinds
from datagen.build import BuildError, Progress
from datagen.card import write_card
from datagen.core.types import SPEAKERS, SPLITS
from datagen.files import Folder
from datagen.identity import code_version, digest
from datagen.importers._base import ImportConfig, Importer, Item, dataset_name
from datagen.importers._rows import row_of
from datagen.manifest import splits
from datagen.report import collect, write_report
from datagen.schema import SCHEMA_VERSION
from datagen.sink import Sink
from datagen.stages.package import FilePlan, write_rows
from datagen.staging import Staging, Workers, carry_out
from datagen.tasks import Stop, Task

MANIFEST = "manifest.json"
REJECTED = "rejected.jsonl"
SEVERAL = "mul"
"""The code (ISO 639-2) where the conversations are not all of one language."""
ROW_GROUP_BYTES = 16 << 20


class Import:
    """One import into one folder, not begun."""

    def __init__(self, config: ImportConfig, out: str, limit: int | None = None) -> None:
        """ValueError when the set cannot be read."""
        self.config = config
        self.importer: Importer = kinds.make("importers", config)
        items = sorted(self.importer.items(), key=lambda item: SPLITS.index(item.split))[:limit]
        self.files = list(_files(items, config.per_file))
        plan = {
            "what": f"import of {config.kind}",
            "format": config.model_dump(mode="json", exclude={"path"}),
            "items": digest([[item.split, item.file.rsplit("/", 1)[-1], item.start, item.size] for item in items]),
            "limit": limit,
            "schema_version": SCHEMA_VERSION,
            "version": code_version(),
        }
        self.staging = Staging(Folder(out), MANIFEST, json.loads(json.dumps(plan)))

    @property
    def identity(self) -> str:
        """Names the result; the rows' ``recipe_hash``."""
        return digest(self.staging.plan)


def _files(items: Sequence[Item], per_file: int) -> Iterator[tuple[str, tuple[Item, ...]]]:
    """Names of the Parquet files and what goes into them."""
    for split in SPLITS:
        own = [item for item in items if item.split == split]
        groups = [tuple(own[k : k + per_file]) for k in range(0, len(own), per_file)]
        for index, group in enumerate(groups):
            yield FilePlan(split=split, index=index, count=len(groups), shards=()).name, group


def run(job: Import, workers: Workers, progress: Progress, stop: Stop, replace: bool = False) -> dict[str, Any]:
    """Reads everything that is not done yet and returns the manifest; ``workers`` starts the processes.

    Taken when the folder is another's, Interrupted when the user stopped it, BuildError when files failed for good.
    """
    staging = job.staging
    staging.claim(replace)
    if staging.moving():
        return staging.publish()
    tasks = [_task(job, number, name, items) for number, (name, items) in enumerate(job.files)]
    reports = carry_out(staging, "import", tasks, workers, progress, stop)
    manifest = manifest_of(job, reports)
    if not manifest["counts"]["import"]["out"]:
        reasons = "; ".join(list(manifest["rejected_reasons"].get("import", {}))[:3])
        raise BuildError(f"{job.config.path}: no conversation could be read: {reasons}")
    staging.gather(reports)
    made = staging.work.sub("made")
    _once(made, manifest["files"])
    statistics = collect(made.url)
    made.write("statistics.json", statistics.model_dump_json(indent=1))
    made.write("README.md", write_card(manifest, statistics.model_dump(mode="json")))
    write_report(made.url, f"{made.url}/report.html", manifest=manifest, statistics=statistics)
    return staging.publish(manifest)


def _once(made: Folder, files: Iterable[str]) -> None:
    """BuildError when two files hold the same id; within a file that has been seen already."""
    where: dict[str, str] = {}
    for name in files:
        fs, path = made.path(name)
        for identifier in pq.read_table(path, columns=["id"], filesystem=fs)["id"].to_pylist():
            if where.setdefault(identifier, name) != name:
                raise BuildError(f"id {identifier} is used in {where[identifier]} and in {name}; rename one")


def _task(job: Import, number: int, name: str, items: Sequence[Item]) -> Task:
    args = (job.staging.out.url, number, name, items, job.config, job.identity)
    return Task(key=name, stage="import", call=write_file, args=args, rank=(number,))


def write_file(
    out_url: str, number: int, name: str, items: Sequence[Item], config: ImportConfig, identity: str
) -> dict[str, Any]:
    """Writes one Parquet file, whole or not at all; a conversation that cannot be used is refused with its reason."""
    sink = Sink(out_url, number)
    counts: Counter[str] = Counter({"in": len(items)})
    seconds, voices, licences, languages = 0.0, set[str](), set[str](), set[str]()
    with sink.open(name, durable=True) as out:
        found = _rows(items, config, identity, sink)
        for row in write_rows(pa.PythonFile(out, mode="w"), found, ROW_GROUP_BYTES):
            counts["out"] += 1
            seconds += row["duration"]
            voices |= {row["voices"][role]["id"] for role in SPEAKERS}
            licences |= set(row["licences"])
            languages.add(row["language"])
    sink.about |= {
        "name": name,
        "languages": sorted(languages),
        "counts": {**counts, "rejected": counts["in"] - counts["out"]},
    }
    sink.about["file"] = {
        "split": items[0].split,
        "rows": counts["out"],
        "seconds": round(seconds, 3),
        "voices": sorted(voices),
        "licences": sorted(licences),
        "bytes": out.size,
        "sha256": out.sha256,
    }
    return sink.commit()


def _rows(items: Sequence[Item], config: ImportConfig, identity: str, sink: Sink) -> Iterator[dict[str, Any]]:
    """The rows of the items that can be used; ids are used once."""
    importer: Importer = kinds.make("importers", config)
    used: set[str] = set()
    for item in items:
        try:
            row = row_of(importer.read(item), config, identity)
            if row["id"] in used:
                raise ValueError(f"id {row['id']} is used twice; rename one")
        except (ValueError, ValidationError) as error:
            where = f"{item.file.rsplit('/', 1)[-1]}:{item.start}"
            reason = " ".join(str(error).split())
            sink.json(REJECTED, {"stage": "import", "id": where, "reason": reason})
            sink.about.setdefault("reasons", {})
            sink.about["reasons"][reason] = sink.about["reasons"].get(reason, 0) + 1
            continue
        used.add(row["id"])
        yield row


def manifest_of(job: Import, reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``datagen build`` writes of a dataset, as far as an import knows it."""
    counts, reasons = Counter[str](), Counter[str]()
    for report in reports:
        counts.update(report["about"]["counts"])
        reasons.update(report["about"].get("reasons", {}))
    files = {report["about"]["name"]: report["about"]["file"] for report in reports}
    languages = sorted({language for report in reports for language in report["about"]["languages"]})
    config = job.config
    return {
        "schema_version": SCHEMA_VERSION,
        "version": code_version(),
        "recipe": {
            "name": dataset_name(config),
            "seed": 0,
            "language": languages[0] if len(languages) == 1 else SEVERAL,
            "profile": "imported",
            "hash": job.identity,
        },
        "languages": languages,
        "identities": {"import": job.identity},
        "engines": [{"role": "import", "name": config.kind, "revision": code_version()}],
        "files": files,
        "splits": splits(files),
        "licences": sorted({licence for file in files.values() for licence in file["licences"]}),
        "counts": {"import": {name: counts[name] for name in ("in", "out", "rejected")}},
        "rejected_reasons": {"import": dict(reasons.most_common(20))} if reasons else {},
        "seconds_per_stage": {},
        "settings": config.model_dump(mode="json", exclude={"path"}),
        "lost": list(job.importer.lost),
        "notes": list(job.importer.notes),
    }
