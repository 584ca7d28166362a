"""Listening once: the speech vectors of a whole split in a file, for a stage that leaves the speech tower as it is.

Encoding is most of a step's work, so a stage of the same length goes over the data several times as often: two CPU
cores encode 12.6 hours in 80 to 130 s, and then the language model of the embedded preset goes over them in 70 to 96 s.
What is heard differs between variants as it does between epochs elsewhere: other noise under it, other throats.

Shape suffixes: K ticks (160 ms), D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from trainer.aside import aside
from trainer.data.audio import Reader
from trainer.data.augment import Transform
from trainer.data.batching import Batching, plan_batches
from trainer.data.index import Index
from trainer.data.loader import Conversations, Example, Order, Pick, make_loader
from trainer.data.rows import Row
from trainer.model.fastpath import FastPath
from trainer.stages.objectives import SPEECH, Objective
from trainer.targets import label_ticks

BATCH_SECONDS = 300.0
LEVEL_HOURS = 0.25
"""Of conversation that the size of speech vectors is taken from."""
PADS: Mapping[str, float] = {SPEECH: 0.0}
"""For ``make_loader``."""


class Remembered(Dataset[Example]):
    """The conversations of an index by ``Pick``, with speech vectors in place of samples; epochs take turns with the
    variants."""

    def __init__(self, index: Index, variants: Sequence[Path]) -> None:
        self._index, self._variants = index, variants
        self._reader = Reader(index.folder)
        self._rows: dict[int, Row] = {}
        self._open: dict[Path, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, pick: Pick) -> Example:
        if pick.row not in self._rows:
            self._rows[pick.row] = self._reader.row(self._index[pick.row])
        row = self._rows[pick.row]
        speech_KD = self._speech(self._variants[pick.epoch % len(self._variants)])[row.id]
        return Example(pick, row, np.zeros(1, np.float32), None, {SPEECH: speech_KD.float().numpy()})

    def all(self) -> Iterator[tuple[Row, npt.NDArray[np.float16]]]:
        """Every conversation with its speech vectors (K x D) of the first variant."""
        for number in range(len(self)):
            row = self._reader.row(self._index[number])
            yield row, self._speech(self._variants[0])[row.id].numpy()

    def _speech(self, file: Path) -> dict[str, Tensor]:
        """All of a variant in memory: 12 hours are 144 MB at a width of 256."""
        if file not in self._open:
            with safe_open(str(file), "pt") as held:
                self._open = {file: {name: held.get_tensor(name) for name in held.keys()}}  # noqa: SIM118
        return self._open[file]


def remember(
    objective: Objective, index: Index, folder: Path, variants: int, transform: Transform, workers: int = 0
) -> Remembered:
    """Encodes all conversations ``variants`` times, changed as in training; what an earlier run has encoded is not
    encoded again."""
    objective.train()
    files = [folder / f"heard-{variant}.safetensors" for variant in range(variants)]
    order = Order(plan_batches(index.num_samples, Batching(seconds=BATCH_SECONDS)), seed=0, shuffle=False)
    for variant, file in enumerate(files):
        if file.exists():
            continue
        order.set_epoch(variant)
        found: dict[str, Tensor] = {}
        for batch in make_loader(Conversations(index, transform), order, workers=workers):
            speech_BKD = objective.listen(batch.to(objective.weight_V.device)).to("cpu", torch.float16)
            for row, speech_KD in zip(batch.rows, speech_BKD, strict=True):
                found[row.id] = speech_KD[: label_ticks(row.num_samples)].clone()
        with aside(file) as made:
            save_file(found, str(made))
    return Remembered(index, files)


@torch.no_grad()
def level(path: FastPath, index: Index) -> None:
    """Brings the speech vectors to the root mean square of the token embeddings that they are added to.

    Labels are read from normalised vectors (``FastPath.heard_norm``), so in stage 1 their size drifts: 0.87 after 1,200
    steps, beside embeddings of 0.11. Brought to them, steps 200 to 300 on written dialogues cost 1.63 per token and not
    2.26.
    """
    reader, project = Reader(index.folder), path.tower.adapter.project
    some = [index[number] for number in range(0, len(index), max(1, round(index.hours / LEVEL_HOURS)))]
    squares, count = 0.0, 0
    for entry in some:
        samples_BN = torch.from_numpy(reader.samples(entry))[None].to(project.weight.device)
        lengths_B = torch.tensor([samples_BN.shape[1]], device=samples_BN.device)
        speech_BKD, _ = path.eval().speech(samples_BN, lengths_B)
        squares, count = squares + float(speech_BKD.square().sum()), count + speech_BKD.numel()
    loud, wanted = (squares / count) ** 0.5, float(path.duplex.embedding.weight.square().mean().sqrt())
    for value in (project.weight, project.bias):
        value.mul_(wanted / loud)


def forget(folder: Path) -> None:
    """What ``remember`` has kept there; a finished stage needs it no more."""
    for file in folder.glob("heard-*.safetensors"):
        file.unlink()
