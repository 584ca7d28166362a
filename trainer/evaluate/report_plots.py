"""Plots of an evaluation, as PNG; one function per picture, each drawn from the figures alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.evaluate import verifier_page
from trainer.evaluate.evaluation import Evaluation
from trainer.evaluate.latency import onset_ms
from trainer.evaluate.matching import EVENTS
from trainer.evaluate.scores import LABELS, Recalls
from trainer.evaluate.systems import Systems
from trainer.evaluate.thresholds import Calibrated
from trainer.evaluate.verifier import VerifierReport

_COLOURS = ("#1f6fb4", "#d1622b", "#3a8f4f", "#8a5fa8", "#767676")
_DPI = 120


def draw(found: Evaluation, folder: Path) -> list[str]:
    """Every picture there are figures for, into a folder; their names."""
    names: list[str] = []

    def add(name: str, figure: Figure) -> None:
        figure.savefig(folder / name, dpi=_DPI, metadata={"Software": None})
        names.append(name)

    if found.turn_taking is not None and found.turn_taking.points is not None:
        add("thresholds.png", thresholds(found.turn_taking.points.free))
    if found.floors is not None:
        add("floors.png", floors(found.floors))
    if found.systems is not None and found.systems.times:
        add("onset.png", onset(found.systems))
    if found.verifier is not None:
        verifier_page.draw(found.verifier, folder / "verifier.png")
        names.append("verifier.png")
        add("verifier_pr.png", precision_recall(found.verifier))
    return names


def thresholds(chosen: Calibrated) -> Figure:
    """F1 on validation at every point of the free-running search, and the one that was chosen."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, len(EVENTS), sharey=True)
    for kind, axis, colour in zip(EVENTS, axes, _COLOURS, strict=False):
        points = sorted({(getattr(at, kind), f1[kind]) for at, f1 in chosen.tried if f1.get(kind) is not None})
        if points:
            axis.plot(*zip(*points, strict=True), "o", color=colour, markersize=5)
        place, best = getattr(chosen.thresholds, kind), chosen.f1.get(kind)
        axis.axvline(place, color="0.75", linewidth=1, zorder=0)
        if best is not None:
            axis.plot(place, best, "o", markerfacecolor="none", markeredgecolor="black", markersize=10)
        axis.set_xscale("logit", one_half="0.5")
        axis.set(xlim=(0.008, 0.992), ylim=(0, 1.02), xticks=[0.01, 0.1, 0.5, 0.9, 0.99])
        axis.set_xticklabels(["0.01", "0.1", "0.5", "0.9", "0.99"])
        axis.minorticks_off()
        axis.set_title(f"{LABELS[kind]}: {place:.3g}" if best is not None else f"{LABELS[kind]}: none due", fontsize=10)
        axis.set_xlabel("threshold")
        _plain(axis)
    axes[0].set_ylabel(f"F1, {chosen.conversations} validation conversations")
    figure.suptitle("Free-running F1 at every point tried (dots), and the one chosen (circle)", fontsize=10)
    return figure


def floors(recalls: Recalls) -> Figure:
    """[BOS] recall in every condition, with intervals."""
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axis = figure.subplots()
    values = [100 * e.value for e in recalls.recall.values()]
    below = [100 * (e.value - e.low) for e in recalls.recall.values()]
    above = [100 * (e.high - e.value) for e in recalls.recall.values()]
    axis.errorbar(range(len(values)), values, yerr=[below, above], fmt="o", color=_COLOURS[0], capsize=4)
    for place, value in enumerate(values):
        axis.annotate(f"{value:.1f}", (place, value), (8, -3), textcoords="offset points", fontsize=9)
    axis.set_xticks(range(len(values)), list(recalls.recall))
    lowest = min(e.low for e in recalls.recall.values())
    axis.set(ylim=(max(0.0, 100 * lowest - 10), 101), xlim=(-0.4, len(values) - 0.4))
    axis.set(xlabel="noise under the user's channel", ylabel=f"{LABELS[recalls.kind]} recall, %")
    _plain(axis)
    return figure


def onset(systems: Systems) -> Figure:
    """Share of turns that have begun to be answered by a time; the fast path measured, the slow path simulated."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axis = figure.subplots()
    alone = [t.words_ms for t in systems.times if t.words_ms is not None]
    if alone:
        _steps(axis, alone, "S2S only", "black", "-")
    gated = any(t.commit is not None for t in systems.times)
    for place, back_end in enumerate(systems.back_ends):
        colour = _COLOURS[place % len(_COLOURS)]
        _steps(axis, [1000 * back_end.seconds], f"cascaded, {back_end.name} (simulated)", colour, ":")
        if gated:
            # Where it commits the relay is the same at every back-end: the lines lie on one another.
            width = 1.5 * (len(systems.back_ends) - place)
            each = [onset_ms(t, back_end) for t in systems.times]
            _steps(axis, each, f"relay, {back_end.name}", colour, "-", width)
    axis.set_xscale("log")
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if _inside(t, axis)]
    axis.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axis.minorticks_off()
    axis.set(ylim=(0, 101), xlabel=f"ms from the decision to the first {systems.words} words", ylabel="turns begun, %")
    axis.set_title(f"Onset latency of {systems.timed} turns", fontsize=10)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False)
    _plain(axis)
    return figure


def precision_recall(report: VerifierReport) -> Figure:
    """Precision and recall of bad as the class to be found, and the same as rates (ROC)."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    bad = report.bad_share.value
    caught = np.array([1 - p.bad_commit for p in report.curve])
    alarm = np.array([1 - p.good_commit for p in report.curve])
    flagged = caught * bad + alarm * (1 - bad)
    some = flagged > 0
    left.plot(100 * caught[some], 100 * caught[some] * bad / flagged[some], color=_COLOURS[0])
    left.axhline(100 * bad, color="0.7", linewidth=1)
    left.annotate("chance", (0, 100 * bad), (4, -10), textcoords="offset points", fontsize=8, color="0.4")
    left.set(xlabel="bad prefixes held back (recall), %", ylabel="of those held back bad (precision), %")
    left.set_title(f"bad as the class to find: AP {report.ap_bad.value:.3f}", fontsize=10)
    right.plot(100 * alarm, 100 * caught, color=_COLOURS[0])
    right.plot([0, 100], [0, 100], color="0.7", linewidth=1)
    right.set(xlabel="good prefixes held back, %", ylabel="bad prefixes held back, %")
    right.set_title(f"ROC: AUROC {report.auroc.value:.3f}", fontsize=10)
    chosen = next(row for row in report.sweep if row.name.startswith("chosen"))
    place = (100 * (1 - chosen.good_commit.value), 100 * (1 - chosen.bad_commit.value))
    right.plot(*place, "ks", markersize=6)
    right.annotate(chosen.name, place, (8, -4), textcoords="offset points", fontsize=8)
    for axis in (left, right):
        axis.set(xlim=(0, 101), ylim=(0, 101))
        _plain(axis)
    return figure


def _steps(axis: Axes, values: list[float], name: str, colour: str, style: str, width: float = 1.5) -> None:
    """The share of values up to each, from the first on."""
    ordered = np.sort(values)
    shares = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
    axis.plot([ordered[0], *ordered], [0, *shares], style, drawstyle="steps-post", color=colour, label=name, lw=width)


def _inside(value: float, axis: Axes) -> bool:
    low, high = axis.get_xlim()
    return low <= value <= high


def _plain(axis: Axes) -> None:
    axis.grid(color="0.92", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
