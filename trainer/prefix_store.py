"""Drafted prefixes on disk, and the sets that training and evaluation read from it.

    DIR/prefixes-00000.safetensors   hidden (all steps, D) fp16; scalars (all steps, 3) float32
    DIR/prefixes-00000.jsonl         one ``Prefix`` a line, in the order of the steps; written last, so it says "whole"

Tensors stay on disk: shards are mapped into memory, and a batch copies only its own steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainer.aside import aside, write_text
from trainer.model.verifier import NUM_SCALARS
from trainer.prefixes import Batch, Drafted, Prefix, Steps

_NAME = "prefixes-{:05d}"


def write_shard(folder: Path, shard: int, records: Sequence[Drafted]) -> None:
    """One shard, whole or not at all. ValueError when the hidden sizes differ; without records nothing is written."""
    if not records:
        return
    sizes = {r.steps.hidden_LD.shape[1] for r in records}
    if len(sizes) > 1:
        raise ValueError(f"drafts of different hidden sizes {sorted(sizes)}; give every fast path its own folder")
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / f"{_NAME.format(shard)}.jsonl"
    with suppress(FileNotFoundError):
        # Old lines must not meet new tensors if this is cut short.
        lines.unlink()
    hidden = torch.cat([r.steps.hidden_LD.to("cpu", torch.float16) for r in records])
    scalars = torch.cat([r.steps.scalars_L3.to("cpu", torch.float32) for r in records])
    target = lines.with_suffix(".safetensors")
    with aside(target) as made:
        save_file({"hidden": hidden.contiguous(), "scalars": scalars.contiguous()}, made)
    _write_lines(lines, [r.prefix for r in records])


def written(folder: Path) -> list[int]:
    """The shards that are whole, in order: what a resumed run need not draft again."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("prefixes-*.jsonl"))


def read_prefixes(folder: Path, shard: int) -> list[Prefix]:
    """The records of a shard, without tensors; ValueError names a line that is none."""
    path = folder / f"{_NAME.format(shard)}.jsonl"
    return [_parsed(path, number, line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]


def read(folder: Path) -> Iterator[Drafted]:
    """All records with their tensors, one after the other; ValueError where tensors and lines differ."""
    for shard in written(folder):
        hidden, scalars = _tensors(folder, shard)
        start = 0
        for prefix in read_prefixes(folder, shard):
            stop = start + prefix.steps
            steps = Steps(hidden[start:stop].clone(), scalars[start:stop].clone())
            if steps.digest != prefix.features:
                raise ValueError(f"{folder}: the tensors of {prefix.id!r} in shard {shard} changed; draft it again")
            yield Drafted(prefix, steps)
            start = stop


def write_labels(folder: Path, shard: int, labels: Mapping[str, bool], judge: str) -> int:
    """What a judge said about the prefixes of a shard, by id; how many have a label now. The others keep theirs."""
    found = [
        Prefix.model_validate(p.model_dump() | {"label": int(labels[p.id]), "judge": judge}) if p.id in labels else p
        for p in read_prefixes(folder, shard)
    ]
    _write_lines(folder / f"{_NAME.format(shard)}.jsonl", found)
    return sum(p.label is not None for p in found)


class PrefixSet:
    """Labelled prefixes with at least one step, by number; what training and evaluation draw batches from."""

    def __init__(self, folders: Sequence[Path], keep: Callable[[Prefix], bool] = lambda _: True) -> None:
        """``keep`` selects, for example a fold. ValueError when the set is empty or hidden sizes differ."""
        self._shards: list[tuple[Tensor, Tensor]] = []
        self.ids: list[str] = []
        self.dialogues: list[str] = []
        self.user_voices: list[str] = []
        self.folds: list[int | None] = []
        self.judges: set[str] = set()
        self.words: set[int] = set()
        self.unlabelled = self.empty = 0
        """Records that were left out: no label yet; nothing drafted."""
        self._where: list[tuple[int, int, int]] = []
        labels: list[int] = []
        digest = hashlib.sha256()
        for folder in folders:
            for shard in written(folder):
                labels += self._take(folder, shard, keep, digest.update)
        if not labels:
            left = f"{self.unlabelled} have no label and {self.empty} no steps"
            raise ValueError(f"no labelled prefixes in {', '.join(map(str, folders)) or 'no folder'} ({left})")
        self.labels: npt.NDArray[np.bool_] = np.array(labels, dtype=bool)
        self.fingerprint = digest.hexdigest()[:16]
        """Of everything that training could depend on."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def hidden_size(self) -> int:
        """D of the fast path."""
        return int(self._shards[0][0].shape[1])

    def batch(self, indices: Iterable[int], device: str | torch.device = "cpu") -> Batch:
        """Some prefixes side by side, as long as the longest; hidden states in fp16."""
        places = [self._where[i] for i in indices]
        longest = max(stop - start for _, start, stop in places)
        hidden_BLD = torch.zeros(len(places), longest, self.hidden_size, dtype=torch.float16)
        scalars_BL3 = torch.zeros(len(places), longest, NUM_SCALARS)
        for row, (shard, start, stop) in enumerate(places):
            hidden, scalars = self._shards[shard]
            hidden_BLD[row, : stop - start] = hidden[start:stop]
            scalars_BL3[row, : stop - start] = scalars[start:stop]
        length_B = torch.tensor([stop - start for _, start, stop in places])
        mask_BL = torch.arange(longest) < length_B.unsqueeze(-1)
        return Batch(hidden_BLD.to(device), scalars_BL3.to(device), mask_BL.to(device))

    def _take(
        self, folder: Path, shard: int, keep: Callable[[Prefix], bool], hashed: Callable[[bytes], None]
    ) -> list[int]:
        """The usable records of a shard into the index; their labels."""
        prefixes = read_prefixes(folder, shard)
        self._shards.append(_tensors(folder, shard))
        size = self._shards[-1][0].shape[1]
        if size != self.hidden_size:
            raise ValueError(
                f"{folder}: hidden size {size} in shard {shard}, {self.hidden_size} before; do not mix them"
            )
        labels: list[int] = []
        start = 0
        for prefix in prefixes:
            place = (len(self._shards) - 1, start, start + prefix.steps)
            start += prefix.steps
            if not keep(prefix):
                continue
            self.unlabelled += prefix.label is None
            self.empty += prefix.label is not None and not prefix.steps
            if prefix.label is None or not prefix.steps:
                continue
            self._where.append(place)
            self.ids.append(prefix.id)
            self.dialogues.append(prefix.dialogue)
            self.user_voices.append(prefix.user_voice)
            self.folds.append(prefix.fold)
            self.judges.add(prefix.judge)
            self.words.add(prefix.words)
            labels.append(prefix.label)
            hashed(f"{prefix.id}\t{prefix.features}\t{prefix.label}\n".encode())
        return labels


def _tensors(folder: Path, shard: int) -> tuple[Tensor, Tensor]:
    """Hidden states and scalars of a shard, mapped from the file."""
    path = folder / f"{_NAME.format(shard)}.safetensors"
    with safe_open(path, framework="pt") as file:
        return file.get_tensor("hidden"), file.get_tensor("scalars")


def _write_lines(path: Path, prefixes: Iterable[Prefix]) -> None:
    write_text(path, "".join(p.model_dump_json() + "\n" for p in prefixes))


def _parsed(path: Path, number: int, line: str) -> Prefix:
    try:
        return Prefix.model_validate_json(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number} is no prefix: {error}") from error
