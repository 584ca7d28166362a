"""K fast paths, each trained without a part of the data, draft that part: prefixes with mistakes a verifier will meet.

    OUT/folds.json          who is held out where; drawn once and kept
        fold-0/ fold-1/ ..  a run of ``fit`` each
        prefixes/train/     out-of-fold drafts, one shard per fold
        prefixes/validation, test   drafts of the fast path that was trained on everything
        verifier/           the verifier, its threshold chosen on validation

RelayS2S section 2.4. The paper does not say its K.

The verifier reads hidden states, and those of networks from different random weights have no directions in common. So
the folds and the full model set out from one checkpoint: a pretrained one, or where the full run began its duplex
stage, which has learned to transcribe, and to answer written dialogues that are none of the dataset's (``share``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from datagen.core.types import Split, Strict
from trainer.aside import write_text
from trainer.data.audio import Reader
from trainer.data.index import Index, open_index
from trainer.evaluate.grading import Answer, Grader
from trainer.fit import Fit, fit
from trainer.folds import Folds, Member, draw_folds
from trainer.model.fastpath import FastPath
from trainer.prefix_store import PrefixSet, read_prefixes, write_labels, written
from trainer.stages import verifier
from trainer.stages.drafts import draft_all


class KFold(Strict):
    """How folds are drawn and trained."""

    fit: Fit
    """Data, preset and seed, as of the full run."""
    folds: int = Field(default=3, ge=2)
    """K."""
    share: Literal["encoder", "nothing"] = "encoder"
    """What the folds take over from the full run: everything before its duplex stage, or nothing."""


def of_run(run: Path, folds: int, share: str) -> KFold:
    """The settings for a run of ``fit``. ValueError where there is none, or for settings that do not exist."""
    plan = run / "plan.json"
    if not plan.is_file() or not (run / "run.json").is_file():
        raise ValueError(f"{run} holds no finished run; train one with `python -m trainer fit DATA --out {run}`")
    try:
        return KFold.model_validate({"fit": json.loads(plan.read_text())["fit"], "folds": folds, "share": share})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def run(config: KFold, out: Path, full: Path, grader: Grader, workers: int = 0) -> Path:
    """Everything from folds to a trained verifier; what is done is not done again. Returns the verifier's folder.

    Args:
        config: how the folds are drawn and trained.
        out: the run's folder.
        full: the run (``fit``) that was trained on all of the training split.
        grader: says which prefixes make sense; its name is written to every label.
        workers: processes that read data.
    """
    for fold in range(config.folds):
        draft_fold(config, out, full, fold, workers)
    path = FastPath.load(full / "fastpath")
    others: tuple[Split, ...] = ("validation", "test")
    for split in others:
        draft_all(path, open_index(config.fit.data, split), out / "prefixes" / split, 0, model="full")
    for split in (config.fit.split, *others):
        judged(out / "prefixes" / split, open_index(config.fit.data, split), grader)
    train, validation = (PrefixSet([out / "prefixes" / split]) for split in ("train", "validation"))
    verifier.fit(train, validation, verifier.VerifierTraining(seed=config.fit.seed), out / "verifier")
    return out / "verifier"


def draft_fold(config: KFold, out: Path, full: Path, fold: int, workers: int = 0) -> None:
    """Trains one fold's fast path and drafts what it was not trained on; several folds may run side by side.

    ValueError for a fold that there is not.
    """
    if not 0 <= fold < config.folds:
        raise ValueError(f"fold {fold} of {config.folds}; folds count from 0")
    index = open_index(config.fit.data, config.fit.split)
    folds = drawn(index, config.folds, config.fit.seed, out / "folds.json")
    after = full if config.share == "encoder" else None
    path = fit(config.fit, out / f"fold-{fold}", rows=_rows(index, folds.training(fold)), after=after, workers=workers)
    held = index.select(_rows(index, folds.held_out(fold)))
    draft_all(FastPath.load(path), held, out / "prefixes/train", fold, model=f"fold-{fold}", fold=fold)


def drawn(index: Index, num_folds: int, seed: int, file: Path) -> Folds:
    """The folds, drawn once: with the data they would change."""
    if file.exists():
        return Folds.model_validate_json(file.read_text())
    voices = zip(index.ids, index.voices("user"), index.voices("assistant"), strict=True)
    folds = draw_folds((Member(id=i, user_voice=u, assistant_voice=a) for i, u, a in voices), num_folds, seed)
    write_text(file, folds.model_dump_json())
    return folds


def judged(folder: Path, index: Index, grader: Grader) -> None:
    """Labels every prefix that has none and that the judge can judge."""
    reader = Reader(index.folder)
    place = {name: number for number, name in enumerate(index.ids)}
    for shard in written(folder):
        open_ = [p for p in read_prefixes(folder, shard) if p.label is None]
        rows = {name: reader.row(index[place[name]]) for name in {p.conversation for p in open_}}
        asked = [Answer(rows[p.conversation], p.context, p.text, p.text) for p in open_]
        found = zip(open_, grader.sensible(asked), strict=True)
        labels = {p.id: good for p, good in found if good is not None}
        if labels:
            write_labels(folder, shard, labels, grader.scale.judge)


def _rows(index: Index, members: Sequence[Member]) -> list[int]:
    place = {name: number for number, name in enumerate(index.ids)}
    return sorted(place[member.id] for member in members)
