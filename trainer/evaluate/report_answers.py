"""Tables 2 and 5 as Markdown."""

from __future__ import annotations

from trainer.evaluate.evaluation import Evaluation
from trainer.evaluate.grading import Scale
from trainer.evaluate.intervals import Estimate
from trainer.evaluate.scores import grid
from trainer.evaluate.systems import Quality, System, Systems

_PAPER_TABLE_2 = (
    "The paper (P90 ms, average of 5, low %): S2S 71, 3.04, 59.3; cascaded 420, 3.34, 51.8 (0.5B), 513, 4.38, 21.3 "
    "(7B), 1091, 4.83, 5.5 (GPT-4o); RelayS2S 81 with each, 3.36, 51.4; 4.35, 22.3; 4.78, 7.4."
)
_PAPER_TABLE_5 = (
    "The paper (GPT-4o; average of 5 and low %, without and with its verifier): 3 words 4.74, 8.6 and 4.80, 6.7; "
    "5 words 4.69, 10.3 and 4.78, 7.4; 7 words 4.66, 11.5 and 4.76, 8.0."
)


def ms(estimate: Estimate) -> str:
    """Milliseconds and their interval, where they vary at all."""
    if estimate.low == estimate.high:
        return f"{estimate.value:.0f}"
    digits = 0 if estimate.high >= 100 else 1
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def table_2(found: Evaluation) -> str:
    """Table 2, or why it is not there."""
    title = "## Table 2: how soon and how well three systems answer"
    made = found.systems
    if made is None:
        return f"{title}\n\n{sentence(found.absent.get('2', 'not measured'))}"
    rows = [_system(one, found.judge) for one in made.systems]
    head = ["system", "slow path", "onset P50 ms", "onset P90 ms", *_quality_head(found.judge)]
    lines = [title, "", _caption(made, found.judge), "", *grid(head, rows), "", _onset_meaning(made)]
    if "relay" in found.absent:
        lines += ["", f"**Relay:** {found.absent['relay']}."]
    elif made.fallback is not None and found.card is not None:
        lines += [
            "",
            f"The relay falls back at {made.fallback.percent()} % of the turns. The verifier's threshold, "
            f"{found.card.threshold:.3f} of a calibrated probability, was chosen on validation "
            f"(rule: {found.card.rule}). Where more than a tenth falls back, the relay's P90 is the slow path's.",
        ]
    return "\n".join([*lines, "", *_costs(found), "", _PAPER_TABLE_2, "", "![Onset latency](onset.png)"])


def _caption(made: Systems, scale: Scale) -> str:
    return (
        f"{made.turns:,} turns of {made.dialogues:,} dialogues (turns that are cut left out), each drafted at the "
        "recorded [BOS] with the true history. **The slow path's text is the recorded reply at every back-end**, what "
        "a perfect slow path would say: the cascade is the quality's ceiling, and every difference from it is the fast "
        "path's doing. A committed prefix is followed by the recorded reply, words repeated at the seam said once. "
        f"Judge: {scale.judge}; quality is {scale.meaning}."
    )


def _onset_meaning(made: Systems) -> str:
    back_ends = ", ".join(f"{b.name} {b.seconds * 1000:.0f} ms" for b in made.back_ends)
    return (
        f"Onset latency as the paper defines it: from the decision to answer to the first {made.words} words; turn "
        "detection, network and synthesis left out. S2S and verifier are **measured here**, on "
        f"{made.timed} turns one by one; the slow path is **simulated** by a constant ({back_ends}; the paper's P90s "
        f"by default). At {made.speechless} turns the fast path drafts no word: S2S has no latency there, the relay "
        "falls back."
    )


def _costs(found: Evaluation) -> list[str]:
    spent = found.costs
    if spent is None:
        return []
    pairs = [
        ("a tick of 160 ms: features, encoder, adapter", spent.tick_tower),
        ("a tick of 160 ms: language model", spent.tick_model),
        (f"draft of {found.systems.words if found.systems else 5} words", spent.draft),
        ("verifier's decision, tokenising and scalars included", spent.decide),
    ]
    rows = [[name, f"{pair[0]:.2f}", f"{pair[1]:.2f}"] for name, pair in pairs if pair]
    where = f"measured on {spent.machine}, {spent.device}, {spent.threads} threads"
    return grid([where, "P50 ms", "P90 ms"], rows)


def _system(one: System, scale: Scale) -> list[str]:
    onset = [ms(one.onset.p50), ms(one.onset.p90)] if one.onset else ["-", "-"]
    slow = f"{one.back_end} (simulated)" if one.back_end else "none"
    return [one.name, slow, *onset, *(_quality(one.quality, scale) if one.quality else ["same text", "same text", ""])]


def _quality_head(scale: Scale) -> list[str]:
    return [f"average quality (best {scale.best:g})", f"low-quality (<= {scale.low:g}) %", "judged"]


def _quality(one: Quality, scale: Scale) -> list[str]:
    digits = 2 if scale.best > 1 else 3
    average = one.average
    shown = "-"
    if average is not None:
        shown = f"{average.value:.{digits}f} ({average.low:.{digits}f} to {average.high:.{digits}f})"
    judged = f"{one.judged:,}" + (f" ({one.unjudged:,} not)" if one.unjudged else "")
    return [shown, one.low.percent() if one.low else "-", judged]


def table_5(found: Evaluation) -> str:
    """Table 5, or why it is not there."""
    title = "## Table 5: prefix length and verifier"
    made = found.lengths
    if made is None:
        return f"{title}\n\n{sentence(found.absent.get('5', 'not measured'))}"
    rows = [
        [str(row.words), "yes" if row.gated else "no", row.fallback.percent(), *_quality(row.quality, found.judge)]
        for row in made.rows
    ]
    rows.append(["0", "slow path alone (ceiling)", "100", *_quality(made.ceiling, found.judge)])
    lines = [
        title,
        "",
        f"The relay at {made.turns:,} turns by the words of its prefix; texts and judge as in table 2.",
        "",
        *grid(["prefix words", "verifier", "fallback %", *_quality_head(found.judge)], rows),
    ]
    if made.trained is None:
        lines += ["", f"**Rows with the verifier:** {found.absent.get('relay', 'not measured')}."]
    else:
        lines += [
            "",
            f"The verifier was trained on prefixes of {made.trained} words and has one threshold, from validation; at "
            "other lengths it is used as it is.",
        ]
    return "\n".join([*lines, "", _PAPER_TABLE_5])
