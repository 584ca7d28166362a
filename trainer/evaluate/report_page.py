"""An evaluation as a page of Markdown. Every figure is one of ``evaluation.json``'s; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator

from datagen.core.units import FRAME_MS
from trainer.evaluate import verifier_page
from trainer.evaluate.evaluation import Evaluation, Part
from trainer.evaluate.intervals import Estimate
from trainer.evaluate.openings import markdown as openings_table
from trainer.evaluate.report_answers import ms, sentence, table_2, table_5
from trainer.evaluate.scores import LABELS, Line, grid
from trainer.evaluate.turntaking import OperatingPoints, TurnTaking

PAPER_TABLE_3 = {"bos": "82.5 / 95.4 / 88.5", "sil": "99.9 / 99.7 / 99.8", "stp": "95.0 / 98.4 / 96.7"} | {
    "boc": "40.4 / 68.2 / 50.8"
}
"""RelayS2S table 3: precision, recall, F1 in %, teacher-forced on its own data."""
_PLACES = {
    "recorded": "at the recorded [BOS], true history (as the paper)",
    "own": "at the model's own [BOS], its own history (as live)",
    "reference": "the recorded replies' own first words: the ceiling",
}


def markdown(found: Evaluation) -> str:
    """The page."""
    parts = [_head(found), _glance(found), table_2(found), _turn_taking(found), _floors(found), _openings(found)]
    parts += [_verifier(found), table_5(found), _small_print(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(found: Evaluation) -> str:
    test = found.test
    return (
        f"# Evaluation of a fast path (preset {found.subject.preset})\n\n"
        f"On {test.conversations:,} of {test.of:,} conversations of the test split ({test.dialogues:,} dialogues, "
        f"{test.hours:.2f} h of audio). In brackets stand 95 % intervals, from drawing whole dialogues again; a "
        "*ceiling* is what an oracle reaches given the data's own randomness. Nothing was chosen on test."
    )


def _glance(found: Evaluation) -> str:
    rows = [*_glance_turns(found), *_glance_answers(found)]
    if not rows:
        return ""
    return "\n".join(["## At a glance", "", *grid(["figure", "here", "ceiling", "events"], rows)])


def _glance_turns(found: Evaluation) -> Iterator[list[str]]:
    made = found.turn_taking
    if made is None:
        return
    for kind in ("bos", "stp", "boc"):
        yield _glance_line(f"{LABELS[kind]} F1 %, free-running", made.free.line(kind))
    for kind in ("stp", "sil"):
        yield _glance_line(f"{LABELS[kind]} F1 %, teacher-forced", made.forced.line(kind))
    stops = made.stops
    if stops is not None and stops.median is not None and stops.p90 is not None:
        here = f"P50 {_ticks(stops.median)}; P90 {_ticks(stops.p90)}"
        theirs = f"recorded: P50 {stops.recorded[0] * FRAME_MS:.0f}; P90 {stops.recorded[1] * FRAME_MS:.0f}"
        yield ["barge-in: user's onset to [STP], ms", here, theirs, str(stops.talking)]
    if found.floors is not None:
        here = f"{found.floors.spread.percent()} points apart"
        yield ["[BOS] recall over noise floors", here, "0", str(found.floor_events)]


def _glance_line(name: str, line: Line) -> list[str]:
    return [
        name,
        line.f1.percent() if line.f1 else "-",
        line.ceiling.percent() if line.ceiling else "-",
        str(line.counts.truths),
    ]


def _glance_answers(found: Evaluation) -> Iterator[list[str]]:
    top = next((v.valid for v in found.openings if v.at == "reference"), None)
    for one in found.openings:
        if one.at != "reference":
            here = one.valid.percent() if one.valid else "could not be judged"
            yield [f"valid openings %, {one.at} [BOS]", here, top.percent() if top else "-", str(one.judged)]
    if found.verifier is not None:
        made = found.verifier
        yield ["verifier AUROC", made.auroc.plain(), "1", f"{made.prefixes} prefixes"]
        chosen = next(row for row in made.sweep if row.name.startswith("chosen"))
        here = f"{chosen.good_commit.percent()} at a fallback of {chosen.fallback.percent()}"
        yield ["good prefixes committed %", here, "100", f"{made.prefixes} prefixes"]
    if found.systems is None:
        return
    for one in found.systems.systems:
        if one.onset is not None and one.back_end in ("", found.systems.back_ends[-1].name):
            name = f"onset latency ms, {one.name}" + (f", {one.back_end} (simulated)" if one.back_end else "")
            yield [name, f"P50 {ms(one.onset.p50)}; P90 {ms(one.onset.p90)}", "-", f"{one.onset.turns} turns"]


def _turn_taking(found: Evaluation) -> str:
    made = found.turn_taking
    if made is None:
        return f"## Table 3: turn-taking\n\n{sentence(found.absent.get('3', 'not measured'))}"
    lines = ["## Table 3: turn-taking", "", _operating_point(found, made.points), "", made.markdown()]
    lines += ["", "![F1 over thresholds](thresholds.png)"] if made.points else []
    lines += ["", "### Beside the paper", "", *_beside(found, made)]
    if found.paper_turn_taking is not None:
        lines += ["", "### On the paper's profile, in full", "", found.paper_turn_taking.markdown()]
    return "\n".join(lines)


def _operating_point(found: Evaluation, points: OperatingPoints | None) -> str:
    if points is None or found.validation is None:
        return "Every token is the likeliest one: no thresholds."
    parts: list[str] = []
    for name, chosen in (("free-running", points.free), ("teacher-forced", points.forced)):
        each = chosen.thresholds
        levels = ", ".join(f"{LABELS[kind]} {getattr(each, kind):.3g}" for kind in ("bos", "stp", "boc"))
        parts.append(f"{name} {levels}")
    return (
        f"**Operating point.** A control token fires from these probabilities on: {'; '.join(parts)}. They have the "
        f"best F1 on {found.validation.conversations} validation conversations, and no test conversation took part."
    )


def _beside(found: Evaluation, made: TurnTaking) -> list[str]:
    """P / R / F1 in one line per event: this dataset, the paper's profile, the paper."""
    head = ["P / R / F1 %", "free-running", "teacher-forced"]
    columns = [made.free, made.forced]
    other = found.paper_turn_taking
    if other is not None:
        head += ["paper's profile, free-running", "paper's profile, teacher-forced"]
        columns += [other.free, other.forced]
    rows = [
        [LABELS[kind], *(_short(table.line(kind)) for table in columns), PAPER_TABLE_3[kind]] for kind in PAPER_TABLE_3
    ]
    notes = (
        "The paper's figures are teacher-forced, on its own data, with every gap 200 ms long. F1 ceilings of the data "
        f"here: {_ceilings(made)}" + (f"; of the paper's profile: {_ceilings(other)}" if other else "") + "."
    )
    return [*grid([*head, "the paper"], rows), "", notes]


def _ceilings(made: TurnTaking) -> str:
    known = [(kind, made.free.line(kind).ceiling) for kind in ("bos", "stp", "boc")]
    return ", ".join(f"{LABELS[kind]} {ceiling.percent()}" for kind, ceiling in known if ceiling)


def _short(line: Line) -> str:
    return " / ".join(f"{e.value * 100:.1f}" if e else "-" for e in (line.precision, line.recall, line.f1))


def _floors(found: Evaluation) -> str:
    if found.floors is None:
        return ""
    return (
        f"## [BOS] recall over noise floors\n\nFree-running over {found.floor_conversations} test conversations with "
        f"{found.floor_events} [BOS] due, at the thresholds above. RMS 0 is digital silence between the user's "
        "words; full scale is 1.\n\n"
        f"{found.floors.markdown()}\n\n![Recall over noise floors](floors.png)"
    )


def _openings(found: Evaluation) -> str:
    if not found.openings:
        return ""
    named = [one.model_copy(update={"at": _PLACES.get(one.at, one.at)}) for one in found.openings]
    return (
        f"## Valid openings\n\nAre the first words that the fast path drafts a possible beginning of the answer? "
        f"Judge: {found.judge.judge}. What false starts say is not asked.\n\n{openings_table(named)}"
    )


def _verifier(found: Evaluation) -> str:
    if found.verifier is None:
        return f"## Table 4: the verifier\n\n{sentence(found.absent.get('4', 'not measured'))}"
    page = verifier_page.markdown(found.verifier).partition("\n")[2].strip()
    return f"## Table 4: the verifier\n\n{page}\n\n![Trade-off and calibration](verifier.png)\n\n![PR](verifier_pr.png)"


def _small_print(found: Evaluation) -> str:
    parts = [part for part in (found.validation, found.test, found.paper) if part]
    rows = [_part(part) for part in parts]
    subject = found.subject
    lines = [
        "## What was measured",
        "",
        f"Weights {subject.weights}, verifier {subject.verifier or 'none'}; judge {found.judge.judge}: "
        f"{found.judge.meaning}. Seed of the intervals: {found.seed}.",
        "",
        *grid(["split", "dataset", "fingerprint", "conversations", "of", "hours"], rows),
    ]
    return "\n".join(lines)


def _part(part: Part) -> list[str]:
    numbers = [f"{part.conversations:,}", f"{part.of:,}", f"{part.hours:.2f}"]
    return [part.split, part.data, part.fingerprint, *numbers]


def _ticks(estimate: Estimate) -> str:
    return ms(Estimate(**{name: getattr(estimate, name) * FRAME_MS for name in type(estimate).model_fields}))
