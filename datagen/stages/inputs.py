"""What a stage may read besides the record in hand: audio packs of earlier stages and the noise bank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import numpy as np

from datagen.answers import Answers, Budget
from datagen.core.audio import Pcm
from datagen.core.mixing import ClipLevels
from datagen.core.types import Blob, Strict
from datagen.files import Folder
from datagen.store import Pack, StageFolder

Put = Callable[[bytes], Blob]
"""Appends bytes to the pack of the shard being written."""


ANSWERS = "answers"
"""Where the answers of language models are kept in the work folder, whatever stage asked."""


class NoiseClip(Strict):
    """A noise clip in the bank."""

    levels: ClipLevels
    scene: str
    licence: str
    origin: str
    shard: int
    pcm: Blob

    @property
    def id(self) -> str:
        return self.levels.id


class Inputs:
    """Opens packs on first use and closes them with the shard."""

    def __init__(self, work_url: str, identities: Mapping[str, str], shard: int) -> None:
        self._work, self._identities, self.shard = work_url, identities, shard
        self._packs: dict[tuple[str, int], Pack] = {}
        self._stack = ExitStack()
        self.gathered: Mapping[str, Any] = {}
        """By record id: what the stage's ``gather`` found out before the first record."""

    def folder(self, stage: str) -> StageFolder:
        return StageFolder(Folder(self._work), stage, self._identities[stage])

    def upstream(self, stages: tuple[str, ...]) -> StageFolder:
        """The first of these stages that the recipe has."""
        return self.folder(next(stage for stage in stages if stage in self._identities))

    def beside(self, name: str) -> Folder:
        """A folder of the work folder that belongs to no stage."""
        return Folder(self._work).sub(name)

    def answers(self, budget: Budget | None) -> Answers:
        """What language models have answered in this run; open until the shard is done."""
        return self._stack.enter_context(Answers(self.beside(ANSWERS), budget))

    def bytes(self, stage: str, blob: Blob) -> bytes:
        """Bytes an earlier stage put for this shard."""
        return self._pack(stage, self.shard).read(blob)

    def samples(self, stage: str, blob: Blob) -> Pcm:
        """16-bit samples an earlier stage put for this shard."""
        return np.frombuffer(self.bytes(stage, blob), "<i2")

    @property
    def noise_clips(self) -> Mapping[str, NoiseClip]:
        """The noise bank by clip id, in the bank's order; empty where the recipe has no noise."""
        if "noise" not in self._identities:
            return {}
        return noise_bank(self._work, self._identities["noise"])

    def noise(self, clip: NoiseClip, start: int, num_samples: int) -> Pcm:
        """A stretch of a noise clip."""
        blob = Blob(offset=clip.pcm.offset + 2 * start, nbytes=2 * num_samples)
        return np.frombuffer(self._pack("noise", clip.shard).read(blob), "<i2")

    def _pack(self, stage: str, shard: int) -> Pack:
        if (stage, shard) not in self._packs:
            self._packs[stage, shard] = self._stack.enter_context(self.folder(stage).pack(shard))
        return self._packs[stage, shard]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()


@lru_cache(maxsize=2)
def noise_bank(work_url: str, identity: str) -> Mapping[str, NoiseClip]:
    """All clips the noise stage wrote; read once per process."""
    folder = StageFolder(Folder(work_url), "noise", identity)
    bank: dict[str, NoiseClip] = {}
    shard = 0
    while folder.report(shard) is not None:
        bank |= {clip.id: clip for clip in folder.records(shard, NoiseClip)}
        shard += 1
    return bank
