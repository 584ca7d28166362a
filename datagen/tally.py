"""What the stages did, summed over shards, and the law that no record vanishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from datagen.store import ShardReport


@dataclass
class Tally:
    """A few numbers per stage however large the run."""

    counts: dict[str, Counter[str]]
    reasons: dict[str, Counter[str]]
    seconds: dict[str, float]

    @classmethod
    def begin(cls, stages: Iterable[str]) -> Self:
        """Nothing yet; the stages keep this order whichever works first."""
        names = list(stages)
        return cls({n: Counter() for n in names}, {n: Counter() for n in names}, dict.fromkeys(names, 0.0))

    def add(self, report: ShardReport) -> None:
        figures = {"in": report.taken, "out": report.given, "rejected": report.rejected}
        self.counts[report.stage].update(figures)
        self.reasons[report.stage].update(report.reasons)
        self.took(report.stage, report.seconds)

    def took(self, stage: str, seconds: float) -> None:
        """Worker seconds spent on a stage."""
        self.seconds[stage] += seconds

    def leak(self, taken_from: Mapping[str, str]) -> str:
        """Where records vanished or appeared, in one line; empty when none did.

        ``taken_from`` names the stage whose records each stage takes.
        """
        for stage, count in self.counts.items():
            if count["in"] != count["out"] + count["rejected"]:
                return f"{stage}: {count['in']} in, but {count['out']} out and {count['rejected']} rejected"
            before = taken_from.get(stage)
            if before is not None and count["in"] != self.counts[before]["out"]:
                return f"{stage}: {count['in']} in, but {self.counts[before]['out']} out of {before}"
        return ""

    def for_manifest(self) -> dict[str, Any]:
        """Counts and reasons per stage."""
        return {
            "counts": {stage: dict(count) for stage, count in self.counts.items()},
            "rejected_reasons": {stage: dict(reason.most_common()) for stage, reason in self.reasons.items() if reason},
        }
