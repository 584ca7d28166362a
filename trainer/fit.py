"""Stages 1 and 2 on a published dataset: a fast path from nothing, or from where an earlier run stopped.

OUT/begun/      the untrained fast path: tokenizer, normalisation, random weights
    encoder/    stage 1: checkpoints, then done.json
    reading/    written dialogues, where the preset and the run have them
    duplex/     stage 2
    fastpath/   the result
    run.json    what was trained on what: data fingerprint, seed, preset, figures
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from datagen.core.types import Split, Strict
from trainer import features
from trainer.aside import write_text
from trainer.data.audio import Reader
from trainer.data.index import Index, open_index
from trainer.model import cmvn
from trainer.model.fastpath import FastPath
from trainer.presets import Preset, Schedule
from trainer.stages import hearing, lessons
from trainer.stages.objectives import Conversing, Transcribing
from trainer.stages.run import WEIGHTS, train
from trainer.texts import Texts, read

CMVN_HOURS = 1.0
"""Audio that the normalisation is estimated on: 80 means and deviations need no more."""


class Fit(Strict):
    """What a run is: the same of everything gives the same weights on the same machine."""

    data: str
    """A dataset folder or URL."""
    preset: Preset
    seed: int = 1
    split: Split = "train"
    texts: Texts | None = None
    """Written dialogues for the preset's ``reading``; None leaves it out."""


def fit(
    config: Fit, out: Path, *, workers: int = 0, rows: Sequence[int] | None = None, after: Path | None = None
) -> Path:
    """Trains both stages; returns the folder of the fast path. Finished stages are not run again.

    Args:
        config: data, preset, seed.
        out: the run's folder.
        workers: processes that read data.
        rows: rows of the split to train on; None = all (K-fold leaves some out).
        after: the folder of a run of this preset and these texts from which everything before the duplex stage is
            taken over, tokenizer and normalisation too.

    ValueError when the folder belongs to another run, or the data cannot be used.
    """
    index = open_index(config.data, config.split)
    index = index if rows is None else index.select(list(rows))
    record = {"fit": config.model_dump(mode="json"), "data": index.folder.fingerprint, "rows": len(index)}
    stages = _stages(config)
    if after is not None:
        record["after"] = _digest(after / stages[-2] / WEIGHTS)
    _claim(out, record)
    if (out / "run.json").exists():
        return out / "fastpath"
    began = time.perf_counter()
    path = _begun(config, index, (after or out) / "begun")
    if after is not None:
        path.load_weights(after / stages[-2] / WEIGHTS)
        stages = stages[-1:]
    done = {name: _stage(name, path, config, index, out / name, workers) for name in stages}
    path.eval().save(out / "fastpath")
    seconds = round(time.perf_counter() - began, 1)
    write_text(out / "run.json", json.dumps({**record, "stages": done, "seconds": seconds}, indent=1))
    return out / "fastpath"


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Makes the folder this run's own; ValueError when another one has begun there."""
    out.mkdir(parents=True, exist_ok=True)
    plan = out / "plan.json"
    if plan.exists() and json.loads(plan.read_text()) != record:
        raise ValueError(f"{out} holds another run (other data, preset or seed); choose another folder with --out")
    write_text(plan, json.dumps(record))


def _digest(file: Path) -> str:
    """ValueError where what comes before stage 2 is not there."""
    if not file.is_file():
        raise ValueError(
            f"{file} is missing: the run has not come to its stage 2; train it with `python -m trainer fit`"
        )
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _begun(config: Fit, index: Index, folder: Path) -> FastPath:
    """The fast path before training, made once."""
    if (folder / WEIGHTS).exists():
        return FastPath.load(folder)
    reader = Reader(index.folder)
    entries = [index[number] for number in range(len(index))]
    texts = [segment.text_full for entry in entries for segment in reader.row(entry).segments]
    path = FastPath.begin(config.preset, texts, config.seed)
    every = max(1, round(index.hours / CMVN_HOURS))
    heard = (features.features(torch.from_numpy(reader.samples(entry))) for entry in entries[::every])
    path.tower.encoder.cmvn.set(*cmvn.estimate(heard))
    path.save(folder)
    return path


def _stages(config: Fit) -> list[str]:
    """Names of the schedules in the preset, in order. ValueError for texts that nothing would read."""
    if config.texts is not None and config.preset.reading is None:
        raise ValueError(f"texts: the preset {config.preset.name} has no stage that reads them; give none")
    return ["encoder", *(["reading"] if config.texts is not None else []), "duplex"]


def _stage(name: str, path: FastPath, config: Fit, index: Index, out: Path, workers: int) -> dict[str, Any]:
    """One stage, or what it came to; the fast path then has its weights."""
    if (out / "done.json").exists():
        path.load_weights(out / WEIGHTS)
        return dict(json.loads((out / "done.json").read_text()))
    schedule: Schedule = getattr(config.preset, name)
    objective = (Transcribing if name == "encoder" else Conversing)(path, schedule, config.seed)
    if schedule.dialogues:
        assert config.texts is not None
        dialogues = read(config.texts, schedule.dialogues)
        lesson = lessons.written(objective, index, out, config.seed, dialogues, workers)
    else:
        lesson = lessons.spoken(objective, index, out, config.seed, workers)
    figures = train(objective, lesson, out, seed=config.seed)
    hearing.forget(out)
    if name == "encoder" and config.texts is not None:
        hearing.level(path, index)
    path.save_weights(out / WEIGHTS)
    write_text(out / "done.json", json.dumps(figures))
    return figures
