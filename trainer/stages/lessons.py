"""What a stage learns from: conversations, the user's parts of them, speech encoded once, or written dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from datagen.core.rng import stream
from datagen.core.types import Dialogue
from trainer.data.augment import Augment, Augmentation
from trainer.data.excerpts import Excerpts
from trainer.data.index import Index
from trainer.data.loader import Conversations, Example
from trainer.data.rows import Row, Segment
from trainer.stages.hearing import remember
from trainer.stages.imagining import Bank, Imagined, imagined
from trainer.stages.objectives import Objective
from trainer.stages.retiming import Retimed, timings_of
from trainer.stages.wording import worded

BANK_HOURS = 4.0
"""Of conversation whose speech vectors stand for words in written dialogues."""


class Lesson(NamedTuple):
    """What to read, and how."""

    dataset: Dataset[Example]
    num_samples: npt.NDArray[np.int64]
    """Of each example, as batches count them."""
    workers: int
    """Processes that read."""


def spoken(objective: Objective, index: Index, out: Path, seed: int, workers: int = 0) -> Lesson:
    """A dataset's conversations, as the objective's schedule has them read; encoded ones are kept in ``out``."""
    schedule = objective.schedule
    augment = Augment(Augmentation(), seed)
    if schedule.remembered:
        kept = remember(objective, index, out, schedule.remembered, augment, workers)
        told = Retimed(kept, timings_of(row for row, _ in kept.all()), seed) if schedule.retimed else kept
        return Lesson(told, index.num_samples, 0)
    if schedule.excerpts:
        parts = Excerpts(index, augment)
        return Lesson(parts, parts.num_samples(), workers)
    return Lesson(Conversations(index, augment), index.num_samples, workers)


def written(
    objective: Objective, index: Index, out: Path, seed: int, dialogues: Sequence[Dialogue], workers: int = 0
) -> Lesson:
    """Written dialogues, heard with what the tower makes of some of the dataset's conversations."""
    path = objective.fast_path
    some = index.select(range(0, len(index), max(1, round(index.hours / BANK_HOURS))))
    heard = list(remember(objective, some, out, 1, Augment(Augmentation(), seed), workers).all())

    @lru_cache(maxsize=100_000)
    def encode(text: str) -> list[int]:
        return path.encode(text)

    def label(row: Row) -> npt.NDArray[np.int64]:
        return worded(row, encode, path.tokens)

    bank = Bank(((label(row), speech_KD) for row, speech_KD in heard), path.tokens.hod)
    nods = sorted({s.text for row, _ in heard for s in row.segments if _nods(s)})
    rows = [imagined(d, encode, stream(seed, d.id, "imagined"), nods) for d in dialogues]
    return Lesson(Imagined(rows, bank, label, seed), np.array([row.num_samples for row in rows]), 0)


def _nods(segment: Segment) -> bool:
    return segment.speaker == "user" and segment.kind == "backchannel"
