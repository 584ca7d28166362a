"""Writes an evaluation: figures, page and plots, whole or not at all.

    OUT/evaluation.json, evaluation.md, *.png   and judgements/ where a language model is the judge

Everything is made aside and moved into place, ``evaluation.json`` last: a folder that has it is complete.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from trainer.evaluate.evaluation import Evaluation
from trainer.evaluate.report_page import markdown
from trainer.evaluate.report_plots import draw

FIGURES, PAGE, ANSWERS = "evaluation.json", "evaluation.md", "judgements"


def write(found: Evaluation, out: Path) -> Path:
    """Into a folder, in place of an earlier evaluation there; returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=out) as name:
        aside = Path(name)
        pictures = draw(found, aside)
        (aside / PAGE).write_text(markdown(found), encoding="utf-8")
        (aside / FIGURES).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (out / FIGURES).unlink(missing_ok=True)
        for old in [*out.glob("*.png"), out / PAGE]:
            old.unlink(missing_ok=True)
        for made in [*pictures, PAGE, FIGURES]:
            os.replace(aside / made, out / made)
    return out / PAGE
