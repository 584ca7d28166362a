"""The verifier's report as a page of Markdown and as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from trainer.evaluate.verifier import SweepRow, VerifierReport

_PAPER = (
    "The paper (6,401 prefixes, 8.5 % bad, judged by Gemini): AUROC 0.90, AP of bad 0.60; at 0.25 / 0.50 / 0.75 it "
    "commits 81.0 / 45.7 / 11.8 % of the bad and 99.8 / 96.3 / 72.8 % of the good prefixes and falls back on "
    "1.8 / 8.0 / 32.3 %."
)


def write(report: VerifierReport, folder: Path) -> tuple[Path, Path, Path]:
    """``verifier.json``, ``verifier.md`` and ``verifier.png`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data, page, picture = (folder / f"verifier.{suffix}" for suffix in ("json", "md", "png"))
    data.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    page.write_text(markdown(report), encoding="utf-8")
    draw(report, picture)
    return data, page, picture


def markdown(report: VerifierReport) -> str:
    """Table 4 with everything needed to read it."""
    left_out = f"{report.unlabelled} without a label and {report.empty} empty ones are left out"
    lines = [
        "# The prefix verifier",
        "",
        f"{report.prefixes} drafted prefixes of {report.dialogues} dialogues, {report.bad_share.percent()} % bad "
        f"(judge: {report.judge}; {left_out}). In brackets: 95 % intervals from drawing whole dialogues again.",
        "",
        "| threshold | calibrated | score | bad commit % | good commit % | fallback % |",
        "|---|---|---|---|---|---|",
        *(_sweep_line(row) for row in report.sweep),
        "",
        "Threshold and calibration were fitted on validation drafts. The oracle commits what the judge calls good: "
        "nothing falls back less without saying something bad.",
        "",
        "| ranking | AUROC | AP of bad |",
        "|---|---|---|",
        f"| verifier | {report.auroc.plain()} | {report.ap_bad.plain()} |",
        *(f"| {name} alone | {estimate.plain()} | |" for name, estimate in report.baselines.items()),
        _ceiling_line(report),
        "",
        f"Calibration error {report.calibration_error:.3f}, before calibration {report.calibration_error_before:.3f}.",
    ]
    if report.auroc_by_fold:
        folds = ", ".join(f"{fold}: {value:.3f}" for fold, value in report.auroc_by_fold.items())
        lines.append(f"AUROC within each fold: {folds}.")
    return "\n".join([*lines, "", _PAPER, ""])


def draw(report: VerifierReport, path: Path) -> None:
    """Reliability diagram, and what is said at every threshold."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    bars, trade = figure.subplots(1, 2)
    filled = [b for b in report.reliability if b.observed is not None]
    bars.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    bars.plot([b.predicted for b in filled], [b.observed or 0.0 for b in filled], "o-")
    for b in filled:
        bars.annotate(f"{b.count}", (b.predicted, b.observed or 0.0), (4, -10), textcoords="offset points", fontsize=7)
    bars.set(xlabel="predicted share of good", ylabel="share the judge calls good", xlim=(0, 1), ylim=(0, 1.02))
    bars.set_title(f"reliability (error {report.calibration_error:.3f})", fontsize=10)
    points = report.curve
    trade.plot([100 * p.bad_commit for p in points], [100 * p.good_commit for p in points])
    for row in report.sweep:
        if row.score is not None:
            place = (100 * row.bad_commit.value, 100 * row.good_commit.value)
            marker = "s" if row.name.startswith("chosen") else "o"
            trade.plot(*place, marker, color="black", markersize=5)
            trade.annotate(f"{row.score:.2f}", place, (6, -10), textcoords="offset points", fontsize=8)
    trade.set(xlabel="bad prefixes committed, %", ylabel="good prefixes committed, %", xlim=(0, 100), ylim=(0, 101))
    trade.set_title(f"AUROC {report.auroc.value:.3f}; dots: score, square: chosen", fontsize=10)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _sweep_line(row: SweepRow) -> str:
    numbers = ["" if number is None else f"{number:.2f}" for number in (row.threshold, row.score)]
    shares = [estimate.percent() for estimate in (row.bad_commit, row.good_commit, row.fallback)]
    return f"| {' | '.join([row.name, *numbers, *shares])} |"


def _ceiling_line(report: VerifierReport) -> str:
    if report.ceiling_auroc is None:
        return "| ceiling (the judge itself) | 1 where it always says the same; not measured | |"
    return f"| ceiling: a second judgement ({report.second_judge}) | {report.ceiling_auroc.plain()} | |"
