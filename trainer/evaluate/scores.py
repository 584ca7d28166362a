"""Counts of conversations as tables: every figure with its interval and its ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from datagen.core.ceiling import wilson
from datagen.core.types import Strict, whole_of
from trainer.evaluate.ceilings import Ceiling
from trainer.evaluate.intervals import Estimate, GroupedBootstrap
from trainer.evaluate.matching import Counts

LABELS: Mapping[str, str] = {
    "bos": "[BOS]",
    "sil": "[SIL]",
    "stp": "[STP]",
    "begun": "[STP], turn begun",
    "boc": "[BOC]",
    "audible": "audible ticks",
}
"""What a table's rows are called, in their order."""
_FIGURES = ("precision", "recall", "f1")


class Scored(Strict):
    """What was counted in one conversation."""

    id: str
    counts: dict[str, Counts]
    """By what was counted (``LABELS``)."""


class Line(Strict):
    """One row of a table."""

    kind: str
    counts: Counts
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    """None where it is undefined: nothing was predicted, or there was nothing to predict."""
    ceiling: Ceiling | None = None

    def cells(self) -> list[str]:
        """For Markdown."""
        figures = [e.percent() if e else "-" for e in (self.precision, self.recall, self.f1)]
        ceiling = self.ceiling.percent() if self.ceiling else "-"
        return [LABELS.get(self.kind, self.kind), *figures, ceiling, str(self.counts.truths)]


class Table(Strict):
    """Table 3 in one way of running the model."""

    name: str
    conversations: int
    dialogues: int
    lines: tuple[Line, ...]

    def line(self, kind: str) -> Line:
        """The row of a kind; KeyError where there is none."""
        return {line.kind: line for line in self.lines}[kind]

    def markdown(self, notes: bool = True) -> str:
        """``notes``: what the ceilings know, a line each below the table."""
        head = ["", "P %", "R %", "F1 %", "ceiling F1 %", "events"]
        known = [f"* {LABELS[x.kind]} ceiling: {x.ceiling.note}" for x in self.lines if x.ceiling]
        return "\n".join(
            [
                f"**{self.name}** ({self.conversations} conversations of {self.dialogues} dialogues; in brackets 95 % "
                "intervals, dialogues drawn again)",
                "",
                *grid(head, [line.cells() for line in self.lines]),
                *(["", *known] if known and notes else []),
            ]
        )


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, a line each; all columns but the first are aligned to the right."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, marks, *rows)]


def table(name: str, scored: Sequence[Scored], ceilings: Mapping[str, Ceiling] | None = None, seed: int = 0) -> Table:
    """Sums with intervals. ValueError without conversations."""
    draws = GroupedBootstrap([whole_of(s.id) for s in scored], seed)
    kinds = [kind for kind in LABELS if kind in scored[0].counts]
    cells = np.array([[_cells(s.counts[kind]) for kind in kinds] for s in scored], np.float64)
    found = _estimates(cells, draws, [whole_of(s.id) for s in scored])
    lines: list[Line] = []
    for place, kind in enumerate(kinds):
        total = sum((s.counts[kind] for s in scored), Counts())
        figures = {figure: found.get((place, n)) for n, figure in enumerate(_FIGURES)}
        lines.append(Line(kind=kind, counts=total, ceiling=(ceilings or {}).get(kind), **figures))
    return Table(name=name, conversations=len(scored), dialogues=draws.num_groups, lines=tuple(lines))


class Recalls(Strict):
    """[BOS] recall in several conditions, over the same conversations."""

    kind: str
    recall: dict[str, Estimate]
    """By condition."""
    spread: Estimate
    """The best condition's minus the worst one's; never below 0, so its interval leans upwards."""

    def markdown(self) -> str:
        """A row per condition."""
        rows = [[name, estimate.percent()] for name, estimate in self.recall.items()]
        return "\n".join(
            [
                *grid(["noise floor", f"{LABELS[self.kind]} recall %"], rows),
                "",
                f"Largest difference: {self.spread.percent()} points.",
            ]
        )


def recalls(conditions: Mapping[str, Sequence[Scored]], kind: str = "bos", seed: int = 0) -> Recalls:
    """Recall per condition and how far they lie apart. ValueError where the conditions have other conversations."""
    ids = [[s.id for s in scored] for scored in conditions.values()]
    if not ids or any(other != ids[0] for other in ids):
        raise ValueError("conditions: score the same conversations in the same order under each of them")
    draws = GroupedBootstrap([whole_of(name) for name in ids[0]], seed)
    hit = np.array([[s.counts[kind].tp for s in scored] for scored in conditions.values()], np.float64)
    due = np.array([[s.counts[kind].truths for s in scored] for scored in conditions.values()], np.float64)

    def statistic(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = hit @ weights / (due @ weights)
        return np.append(recall, np.ptp(recall))

    *found, spread = draws.estimates(statistic)
    return Recalls(kind=kind, recall=dict(zip(conditions, found, strict=True)), spread=spread)


def _cells(counts: Counts) -> tuple[int, int, int]:
    return counts.tp, counts.fp, counts.fn


def _estimates(
    cells: npt.NDArray[np.float64], draws: GroupedBootstrap, dialogues: Sequence[str]
) -> dict[tuple[int, int], Estimate]:
    """(kind, figure) -> estimate, for the figures that are defined. ``cells``: conversations x kinds x (tp, fp, fn)."""

    def figures(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        tp, fp, fn = np.moveaxis(np.tensordot(weights, cells, axes=1), -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([tp / (tp + fp), tp / (tp + fn), 2 * tp / (2 * tp + fp + fn)], axis=1)

    values = figures(np.ones(len(cells)))
    known = np.isfinite(values)
    found = draws.estimates(lambda weights: figures(weights)[known]) if known.any() else []
    estimates: dict[tuple[int, int], Estimate] = {}
    for (kind, figure), estimate in zip(np.argwhere(known).tolist(), found, strict=True):
        # Where it is 0 or 1 all draws agree, and the number of dialogues that have such events says how sure it is.
        if estimate.value in (0.0, 1.0):
            trials = len({d for d, c in zip(dialogues, cells[:, kind], strict=True) if c.any()})
            low, high = wilson(estimate.value * trials, trials)
            estimate = Estimate(value=estimate.value, low=low, high=high)
        estimates[kind, figure] = estimate
    return estimates
