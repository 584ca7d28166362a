"""From the command line's words to an evaluation on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainer.evaluate.evaluation import TABLES, Options, Table
from trainer.evaluate.grading import grader, judge_config
from trainer.evaluate.latency import BACK_ENDS, BackEnd
from trainer.evaluate.report import evaluate, plan
from trainer.evaluate.report_files import ANSWERS, write
from trainer.evaluate.telling import Telling


def options_of(data: str, tables: str, back_ends: Iterable[str], **others: Any) -> Options:
    """Settings of an evaluation. ValueError names the word that stands for none.

    Args:
        data: the dataset.
        tables: numbers with commas between.
        back_ends: ``NAME=SECONDS`` each; none: the paper's.
        others: fields of ``Options``.
    """
    numbers = [word.strip() for word in tables.split(",") if word.strip()]
    known: dict[str, Table] = {str(table): table for table in TABLES}
    unknown = [word for word in numbers if word not in known]
    if unknown or not numbers:
        raise ValueError(f"tables: {tables!r}; give some of {', '.join(known)} with commas between")
    chosen: tuple[Table, ...] = tuple(known[number] for number in sorted(set(numbers)))
    slow = tuple(map(_back_end, back_ends)) or BACK_ENDS
    try:
        return Options(data=data, tables=chosen, back_ends=slow, **others)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(where + first["msg"].removeprefix("Value error, ")) from None


def run_all(run: Path, options: Options, judge: str, out: Path) -> Path:
    """Evaluates a run and writes it down; returns the page. Progress goes to standard error."""
    telling = Telling(plan(options))
    with grader(judge_config(judge), out / ANSWERS, telling.say) as judging:
        found = evaluate(run, options, judging, telling)
    return write(found, out)


def _back_end(text: str) -> BackEnd:
    name, _, seconds = text.rpartition("=")
    try:
        return BackEnd(name=name or "slow path", seconds=float(seconds))
    except (ValueError, ValidationError):
        raise ValueError(f"back-end: {text!r}; give NAME=SECONDS, such as GPT-4o=1.091") from None
