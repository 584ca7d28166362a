"""Silero VAD ends the turn: the ONNX model that the package faster-whisper carries, window by window.

A window is 512 samples (32 ms) after the 64 before it; the model's state goes from each to the next, so a stream is
judged as the whole recording would be.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Need
from trainer.runtime.endpointing._base import Boundary, Patience, Turns, checked

WINDOW, CONTEXT, STATE = 512, 64, 128
"""Samples the model hears at a time, those it looks back at, and the width of its state (silero_vad_v6 at 16 kHz)."""
INSTALL = "pip install 'duplexkit[asr]'"


class Config(Patience):
    """Silero's thresholds, its own defaults."""

    kind: Literal["silero"] = "silero"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Speech from this probability on."""
    below: float = Field(default=0.35, gt=0, lt=1)
    """Silence under this one; between the two, as the window before."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.below > self.threshold:
            raise ValueError(f"below {self.below:g} must not exceed threshold {self.threshold:g}")
        return self


class State(NamedTuple):
    """What the model remembers."""

    hidden: npt.NDArray[np.float32]
    cell: npt.NDArray[np.float32]
    before: npt.NDArray[np.float32]
    """The last samples of the window before."""


class Silero:
    """See ``_base.Endpointer``."""

    def __init__(self, config: Config, session: Any) -> None:
        self._config, self._session = config, session
        zeros = np.zeros((1, 1, STATE), np.float32)
        self._state = State(zeros, zeros, np.zeros(CONTEXT, np.float32))
        self._turns = Turns(config, 1000 * WINDOW / SAMPLE_RATE)

    def push(self, samples_N: npt.NDArray[np.float32]) -> Boundary | None:
        """See ``_base.Endpointer``."""
        return self._turns.push(self._voiced(float(p)) for p in self.probabilities(samples_N))

    def probabilities(self, samples_N: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Of speech, in each of a tick's five windows."""
        windows_WS = checked(samples_N).reshape(-1, WINDOW)
        before_WC = np.concatenate([self._state.before[None], windows_WS[:-1, -CONTEXT:]])
        heard = np.concatenate([before_WC, windows_WS], axis=1)
        found, hidden, cell = self._session.run(None, {"input": heard, "h": self._state.hidden, "c": self._state.cell})
        self._state = State(hidden, cell, windows_WS[-1, -CONTEXT:].copy())
        return found.reshape(-1)

    def _voiced(self, probability: float) -> bool | None:
        if probability >= self._config.threshold:
            return True
        return False if probability < self._config.below else None


@lru_cache(maxsize=1)
def _session() -> Any:
    """The model, once per process; it keeps no state between calls and is safe in threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(_model(), options, providers=["CPUExecutionProvider"])


def _model() -> str:
    """The model's file, "" where there is none. Nothing is imported."""
    package = find_spec("faster_whisper")
    places = (package.submodule_search_locations if package else None) or ()
    return next((str(path) for place in places for path in Path(place, "assets").glob("silero_vad_v6*.onnx")), "")


def make(config: Config) -> Silero:
    """ValueError when the model or the package that runs it is missing."""
    if not _model() or find_spec("onnxruntime") is None:
        raise ValueError(f"kind silero needs a package that is not installed; run: {INSTALL}")
    return Silero(config, _session())


def needs(config: Config) -> tuple[Need, ...]:
    """The model, in the package faster-whisper, and what runs it."""
    runs = "installed" if find_spec("onnxruntime") else ""
    return (Need("model silero_vad_v6", _model(), INSTALL), Need("package onnxruntime", runs, INSTALL))
