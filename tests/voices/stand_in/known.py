"""A recogniser kind that knows what is said: it finds the samples it is given in the recordings of a tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from datagen.kinds import Heard, KindConfig


class Config(KindConfig):
    """Where the recordings are; each has a .json beside it with its words: [text, start, end] at 16 kHz."""

    aside: ClassVar[frozenset[str]] = frozenset({"path"})
    kind: Literal["known"] = "known"
    path: str
    deaf_to: tuple[str, ...] = ()
    """Words it does not hear."""
    gone: bool = False
    """Whether its machine is."""


class Known:
    """See datagen.kinds.Recogniser."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._recordings = [
            (soundfile.read(path.with_suffix(".wav"), dtype="int16")[0], json.loads(path.read_text()))
            for path in sorted(Path(config.path).rglob("*.json"))
        ]

    def transcribe(self, pcm: npt.NDArray[np.int16], language: str) -> Heard:
        """The words whose middle lies in the samples; ValueError for samples of no recording."""
        if self._config.gone:
            raise ConnectionError("the recogniser does not answer")
        for samples, words in self._recordings:
            at = samples.tobytes().find(pcm.tobytes())
            if at >= 0:
                first, last = at // 2, at // 2 + pcm.size
                inside = [w for w in words if first <= (w[1] + w[2]) / 2 < last and w[0] not in self._config.deaf_to]
                return Heard(tuple((w[0], w[1] - first, w[2] - first) for w in inside))
        raise ValueError("these samples are of no recording")


def make(config: Config) -> Known:
    return Known(config)


def revision(config: Config) -> str:
    return "1"
