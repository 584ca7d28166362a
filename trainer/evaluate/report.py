"""Everything that is measured of a run, in one go: tables 2 to 5, what they rest on, and where it was chosen.

    RUN/fastpath, RUN/kfold/verifier, RUN/kfold/prefixes/test   (the last two where ``kfold`` has been run)
    dataset   validation ─► thresholds of the control tokens            test ─► every figure

Nothing is chosen on test. The same run, data and settings give the same figures, measured latencies apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from datagen.core.types import Split, whole_of
from trainer.data.index import Index, open_index
from trainer.evaluate.evaluation import Evaluation, Options, Part, Subject
from trainer.evaluate.grading import Grader
from trainer.evaluate.report_job import NO_VERIFIER, Gate, Job, spread
from trainer.evaluate.telling import Telling
from trainer.model.fastpath import FastPath
from trainer.model.verifier import CARD, WEIGHTS
from trainer.model.verifier import load as load_verifier

NOT_ASKED = "not asked for (--tables)"


class Opened(NamedTuple):
    """A split, with what the limit left of it."""

    rows: Index
    part: Part


def evaluate(run: Path, options: Options, grader: Grader, telling: Telling | None = None) -> Evaluation:
    """Measures a run.

    Args:
        run: the folder that ``trainer fit`` and ``kfold`` wrote.
        options: what to measure.
        grader: says what is good.
        telling: hears how far it is; see ``plan``.

    ValueError where the run has no fast path, a dataset lacks a split, or verifier and fast path do not fit.
    """
    fast = FastPath.load(run / "fastpath", options.device)
    gate = load_gate(run / "kfold/verifier", fast)
    asked = set(options.tables)
    validation = opened(options.data, "validation", options.limit) if 3 in asked else None
    test = opened(options.data, "test", options.limit)
    paper = opened(options.paper, "test", options.limit) if options.paper else None
    job = Job(fast, gate, options, grader, telling or Telling(plan(options), write=lambda _: None))
    found: dict[str, Any] = {}
    absent = {str(table): NOT_ASKED for table in (2, 3, 4, 5) if table not in asked}
    heard = job.heard("hear", test.rows) if {2, 3, 5} & asked else []
    if validation is not None:
        found |= job.turn_taking(validation.rows, test.rows, paper and paper.rows, heard)
    if 4 in asked:
        with job.telling.step("verifier"):
            found["verifier"], absent["4"] = job.verified(run / "kfold/prefixes/test")
    if {2, 5} & asked:
        made = job.answers(test.rows, heard)
        found |= {name: value for name, value in made.items() if name == "costs" or _TABLE[name] in asked}
        absent |= silent(found, asked, gate)
    job.telling.finished()
    return Evaluation(
        subject=Subject(
            preset=fast.preset.name,
            weights=_digest(run / "fastpath/model.safetensors"),
            verifier=gate and gate.digest,
        ),
        validation=validation and validation.part,
        test=test.part,
        paper=paper and paper.part,
        judge=grader.scale,
        card=gate and gate.card,
        absent={table: why for table, why in absent.items() if why},
        seed=options.seed,
        **found,
    )


def plan(options: Options) -> dict[str, float]:
    """The steps to come and their rough lengths: hearing the test split is 1."""
    asked = set(options.tables)
    steps: dict[str, float] = {"hear": 1.0} if {2, 3, 5} & asked else {}
    if 3 in asked:
        steps |= {"hear validation": 0.2, "calibrate": 4.0, "turn-taking": 1.0, "openings": 1.0}
        steps |= {"hear the paper's profile": 1.0, "the paper's profile": 1.0} if options.paper else {}
        steps |= {"noise floors": 2.5} if options.floors else {}
    steps |= {"verifier": 0.05} if 4 in asked else {}
    return steps | ({"draft": 0.5, "judge": 0.2, "time": 0.2} if {2, 5} & asked else {})


def opened(data: str, split: Split, limit: int | None) -> Opened:
    """A split, or as many of its conversations as the limit allows, evenly spread. ValueError without the split."""
    try:
        index = open_index(data, split)
    except ValueError as error:
        raise ValueError(f"evaluate needs the {split} split of {data}: {error}") from error
    size = len(index)
    index = index.select(spread(range(size), limit or size))
    part = Part(
        data=data,
        split=split,
        fingerprint=index.folder.fingerprint[:16],
        conversations=len(index),
        of=size,
        dialogues=len({whole_of(name) for name in index.ids}),
        hours=round(index.hours, 3),
    )
    return Opened(index, part)


def load_gate(folder: Path, fast: FastPath) -> Gate | None:
    """The verifier in a folder; None where there is none. ValueError where it belongs to a fast path of other width."""
    if not (folder / CARD).is_file():
        return None
    verifier, card = load_verifier(folder)
    if card.shape.hidden_size != fast.duplex.width:
        raise ValueError(
            f"{folder}: a verifier of hidden states of {card.shape.hidden_size}, the fast path has {fast.duplex.width}"
            "; run `python -m trainer kfold` again"
        )
    return Gate(verifier, card, _digest(folder / WEIGHTS))


_TABLE = {"systems": 2, "lengths": 5}


def silent(found: dict[str, Any], asked: Collection[int], gate: Gate | None) -> dict[str, str]:
    """Why rows or tables about answers are not there."""
    if found.get("systems") is None and found.get("lengths") is None:
        nothing = "not measured: the assistant has no turn in these conversations that is not cut"
        return {str(table): nothing for table in (2, 5) if table in asked}
    return {"relay": NO_VERIFIER} if gate is None else {}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
