"""The whole export: a dataset becomes a folder in a consumer's format.

Parts of the dataset are written by as many processes as there are; what a part writes follows from the dataset alone.
The folder is complete with ``export.json``, which is written last (see ``staging``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from datagen import kinds
from datagen.build import BuildError, Progress
from datagen.core.types import Split
from datagen.core.units import SAMPLE_RATE
from datagen.exporters._base import ExportConfig
from datagen.files import Folder
from datagen.identity import code_version
from datagen.published import Dataset, Part, open_dataset, parts, rows
from datagen.schema import SCHEMA_VERSION
from datagen.sink import Exporter, Sink
from datagen.staging import Staging, Workers, carry_out
from datagen.tasks import Stop, Task

MANIFEST = "export.json"
REJECTED = "rejected.jsonl"


class Export:
    """One export into one folder, not begun."""

    def __init__(
        self, url: str, config: ExportConfig, out: str, split: Split | None = None, limit: int | None = None
    ) -> None:
        """ValueError when the dataset cannot be read or has no such split."""
        self.config, self.dataset = config, open_dataset(url)
        self.exporter: Exporter = kinds.make("exporters", config)
        self.splits = self._splits(split)
        self.limit = limit
        plan = {
            "what": f"export to {config.kind}",
            "format": config.model_dump(mode="json"),
            "dataset": self.dataset.fingerprint,
            "splits": self.splits,
            "limit": limit,
            "schema_version": SCHEMA_VERSION,
            "version": code_version(),
        }
        self.staging = Staging(Folder(out), MANIFEST, json.loads(json.dumps(plan)))

    def _splits(self, split: Split | None) -> Sequence[Split]:
        there = self.dataset.splits
        if split is not None and split not in there:
            raise ValueError(f"split: {self.dataset.url} has no {split!r}; there are: {', '.join(there)}")
        wanted: list[Split] = [name for name in self.exporter.splits if name in there] if split is None else [split]
        if not wanted:
            names = ", ".join(self.exporter.splits)
            raise ValueError(f"split: {self.config.kind} is made of {names}, which the dataset has not; name a --split")
        return wanted


def run(job: Export, workers: Workers, progress: Progress, stop: Stop, replace: bool = False) -> dict[str, Any]:
    """Writes everything that is not done yet and returns the manifest; ``workers`` starts the processes.

    Taken when the folder is another's, Interrupted when the user stopped it, BuildError when parts failed for good.
    """
    staging = job.staging
    staging.claim(replace)
    if staging.moving():  # everything was made before the last run ended
        return staging.publish()
    found = parts(job.dataset, job.splits, job.limit, job.exporter.part_rows)
    reports = carry_out(staging, "export", [_task(job, part) for part in found], workers, progress, stop)
    manifest = manifest_of(job, reports, staging.gather(reports))
    if not manifest["counts"]["out"]:
        raise BuildError(f"no conversation could be written: {'; '.join(manifest['reasons'])}")
    return staging.publish(manifest)


def _task(job: Export, part: Part) -> Task:
    args = (job.dataset.url, job.staging.out.url, part, job.config)
    return Task(key=f"part {part.index}", stage="export", call=write_part, args=args, rank=(part.index,))


def write_part(url: str, out_url: str, part: Part, config: ExportConfig) -> dict[str, Any]:
    """Writes one part, whole or not at all; a row that does not fit is refused with its reason."""
    exporter: Exporter = kinds.make("exporters", config)
    sink = Sink(out_url, part.index)
    counts: Counter[str] = Counter()
    with exporter.writer(part, sink) as put:
        for row in rows(url, part, sorted({"id", "num_samples", *exporter.columns})):
            counts["in"] += 1
            try:
                put(row)
            except ValueError as error:
                reason = " ".join(str(error).split())
                sink.json(REJECTED, {"stage": "export", "id": row["id"], "reason": reason})
                counts["rejected"] += 1
                sink.about["reason"] = reason
            else:
                counts["out"] += 1
                counts["samples"] += row["num_samples"]
    sink.about["counts"] = dict(counts)
    return sink.commit()


def manifest_of(job: Export, reports: Sequence[dict[str, Any]], listings: Mapping[str, int]) -> dict[str, Any]:
    """What the export holds, what it could not hold, and where it comes from."""
    counts, figures = Counter[str](), Counter[str]()
    for report in reports:
        counts.update(report["about"]["counts"])
        figures.update(report["figures"])
    dataset: Dataset = job.dataset
    return {
        "format": job.config.kind,
        "settings": job.config.model_dump(mode="json"),
        "version": code_version(),
        "dataset": {"recipe": dataset.recipe, "fingerprint": dataset.fingerprint, "schema_version": SCHEMA_VERSION},
        "splits": list(job.splits),
        "counts": {name: counts[name] for name in ("in", "out", "rejected")},
        "hours": round(counts["samples"] / SAMPLE_RATE / 3600, 4),
        "figures": dict(sorted(figures.items())),
        "files": sum(len(report["files"]) for report in reports) + len(listings),
        "bytes": sum(sum(report["files"].values()) for report in reports) + sum(listings.values()),
        "licences": list(dataset.licences),
        "lost": list(job.exporter.lost),
        "notes": list(job.exporter.notes),
        "reasons": sorted({report["about"]["reason"] for report in reports if "reason" in report["about"]})[:5],
    }
