"""From a run to a bundle that the runtime loads (``trainer.runtime.bundle``).

RUN/fastpath                       as `fit` wrote it
   /kfold/verifier                 as `kfold` wrote it; without it every draft of the bundle falls back
   /evaluation/evaluation.json     as `evaluate` wrote it: thresholds and figures
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from trainer.evaluate.evaluation import Evaluation
from trainer.evaluate.heard import batches_of, hear
from trainer.evaluate.report import load_gate, opened
from trainer.evaluate.report_files import FIGURES
from trainer.evaluate.turntaking import Setting, calibrate
from trainer.exported_card import card
from trainer.firing import Thresholds
from trainer.model import verifier as verifiers
from trainer.model.fastpath import FastPath
from trainer.runtime import golden
from trainer.runtime.bundle import CARD, FAST_PATH, MANIFEST, VERIFIER, Bundle, Defaults, Manifest, digest

CALIBRATED_ON = 100
"""Conversations of the validation split, where no evaluation has chosen the thresholds."""


class Chosen(NamedTuple):
    """Thresholds and where they come from."""

    thresholds: Thresholds
    how: str


def export(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    defaults: Defaults | None = None,
    evaluation: Path | None = None,
    data: str | None = None,
    workers: int = 0,
) -> Bundle:
    """Writes a bundle, whole or not at all, loads it as the runtime does, and returns it.

    Args:
        run: the folder of the run.
        out: the bundle's folder; a bundle there is replaced, anything else is left alone.
        name: of the model; the run's folder's without.
        defaults: mode, words, language, voice and kinds of a session; ``words`` follows the verifier unless given.
        evaluation: folder or file of figures; the run's own without.
        data: the dataset whose validation split thresholds are chosen on where no evaluation has done it; the one that
            the run was trained on without.
        workers: processes that read it.

    ValueError, one line with the remedy, where the run lacks a part, parts do not fit, or nothing says the thresholds.
    """
    _free(out)
    fast = FastPath.load(run / "fastpath")
    gate = load_gate(run / "kfold/verifier", fast)
    figures = _figures(run, evaluation)
    chosen = _thresholds(run, fast, figures, data, workers)
    defaults = _worded(defaults, gate and gate.card.words)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent) as made:
        folder = Path(made) / "bundle"
        shutil.copytree(run / "fastpath", folder / FAST_PATH)
        if gate is not None:
            shutil.copytree(run / "kfold/verifier", folder / VERIFIER, ignore=_unneeded)
        golden.write(folder, fast, gate and gate.verifier)
        title = name or run.resolve().name
        (folder / CARD).write_text(card(title, run, fast, gate and gate.card, figures, defaults), encoding="utf-8")
        files = {
            path.relative_to(folder).as_posix(): digest(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }
        manifest = Manifest(
            name=title, defaults=defaults, thresholds=chosen.thresholds, thresholds_from=chosen.how, files=files
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        bundle = Bundle.load(folder)
        if out.exists():
            os.replace(out, Path(made) / "before")
        os.replace(folder, out)
    return replace(bundle, folder=out)


def _free(out: Path) -> None:
    """ValueError where the folder holds something that is no bundle."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise ValueError(f"{out} holds something else than a bundle; give another --out or remove it")


def _unneeded(folder: str, names: list[str]) -> list[str]:
    """Of a verifier's folder: all but weights and card."""
    return [name for name in names if name not in (verifiers.CARD, verifiers.WEIGHTS)]


def _worded(defaults: Defaults | None, trained: int | None) -> Defaults:
    """The verifier's number of words where none was asked for; ValueError where another was."""
    defaults = defaults or Defaults()
    if trained is None:
        return defaults
    if "words" in defaults.model_fields_set and defaults.words != trained:
        raise ValueError(
            f"words: {defaults.words}, but the verifier was trained on prefixes of {trained}; export with {trained}, "
            "or run `python -m trainer kfold` for the other length"
        )
    return defaults.model_copy(update={"words": trained})


def _figures(run: Path, given: Path | None) -> Evaluation | None:
    """The run's evaluation; None without one. ValueError where it is of another fast path or cannot be read."""
    file = given / FIGURES if given is not None and given.is_dir() else given or run / "evaluation" / FIGURES
    if not file.is_file():
        if given is not None:
            raise ValueError(f"evaluation: no {FIGURES} at {given}; run `python -m trainer evaluate {run}`")
        return None
    try:
        found = Evaluation.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"{file} cannot be read; run `python -m trainer evaluate {run}` again") from error
    if digest(run / "fastpath/model.safetensors")[:16] != found.subject.weights:
        raise ValueError(
            f"{file} is of another fast path than {run}/fastpath; run `python -m trainer evaluate {run}` again"
        )
    return found


def _thresholds(run: Path, fast: FastPath, figures: Evaluation | None, data: str | None, workers: int) -> Chosen:
    points = figures.turn_taking.points if figures is not None and figures.turn_taking is not None else None
    if points is not None and figures is not None and figures.validation is not None:
        return Chosen(points.free.thresholds, f"evaluation on {figures.validation.conversations} validation dialogues")
    data = data or _trained_on(run)
    try:
        validation = opened(data, "validation", CALIBRATED_ON)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"thresholds: {run} has no evaluation to take them from, and {data} cannot be listened to ({error}); run "
            f"`python -m trainer evaluate {run} --out {run}/evaluation` first, or name a dataset with --data"
        ) from error
    heard = list(hear(fast, batches_of(validation.rows, workers=workers), fast.preset.rules))
    found = calibrate(fast, heard, Setting(rules=fast.preset.rules)).free
    return Chosen(found.thresholds, f"export, on {found.conversations} validation dialogues of {data}")


def _trained_on(run: Path) -> str:
    try:
        return str(json.loads((run / "plan.json").read_text(encoding="utf-8"))["fit"]["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"thresholds: {run} has neither an evaluation nor a plan.json that says what it was trained on; name a "
            "dataset with --data"
        ) from error
