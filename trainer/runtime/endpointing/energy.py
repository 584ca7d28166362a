"""Loudness over a tracked noise floor ends the turn: no model, no package.

The floor is the quietest 100 ms of the last seconds: speech pauses for breath, noise that is steady does not. A noise
that sets in is taken for speech until it has lasted for ``memory_s``; a voice among other voices cannot be told.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from datagen.core.units import SAMPLE_RATE
from trainer.runtime.endpointing._base import Boundary, Patience, Turns, checked

WINDOW = SAMPLE_RATE // 50
"""20 ms, as short as a stop consonant; a tick holds eight."""
SMOOTH = 5
"""Windows that the floor is measured over: the mean of 100 ms of steady noise stays within about 0.5 dB of it."""
HUM = 81
"""Samples whose mean is taken off the middle one: what lies under 100 Hz or so is no speech, and its loudness wavers
too much from window to window to be a floor."""
SILENCE_DB = -70.0
"""No floor is taken to be lower: digital silence has none."""


class Config(Patience):
    """How far above the floor speech lies.

    Under white or pink noise 20 dB below the speech, 8 and 5 dB found the end of every one of seven recordings of real
    speech; lower ones take rain and helicopters for turns, higher ones part turns at weak syllables.
    """

    kind: Literal["energy"] = "energy"
    speech_db: float = Field(default=8, gt=0, le=60)
    """Speech from so many dB over the floor on."""
    silence_db: float = Field(default=5, gt=0, le=60)
    """Silence under so many; between the two, as the window before."""
    least_db: float = Field(default=-50, ge=-90, le=0)
    """Nothing quieter is speech; dB of full scale."""
    memory_s: float = Field(default=4, ge=0.5, le=60)
    """How long the floor is remembered; longer than people speak without a breath."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.silence_db > self.speech_db:
            raise ValueError(f"silence_db {self.silence_db:g} must not exceed speech_db {self.speech_db:g}")
        return self


class Energy:
    """See ``_base.Endpointer``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._turns = Turns(config, 1000 * WINDOW / SAMPLE_RATE)
        self._before = np.zeros(HUM - 1)
        """The last samples of the tick before."""
        self._powers: deque[float] = deque(maxlen=round(config.memory_s * SAMPLE_RATE / WINDOW))
        """Of the windows remembered, full scale = 1."""

    def push(self, samples_N: npt.NDArray[np.float32]) -> Boundary | None:
        """See ``_base.Endpointer``. The floor is looked at once a tick."""
        powers_W = (self._audible(checked(samples_N)).reshape(-1, WINDOW) ** 2).mean(axis=1)
        self._powers.extend(powers_W.tolist())
        floor = self.floor_db
        return self._turns.push(self._voiced(_db(power), floor) for power in powers_W.tolist())

    def _audible(self, samples_N: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The samples without hum, 40 of them late."""
        heard = np.concatenate([self._before, samples_N.astype(np.float64)])
        self._before = heard[1 - HUM :]
        totals = np.concatenate([[0.0], heard.cumsum()])
        return heard[HUM // 2 : -(HUM // 2)] - (totals[HUM:] - totals[:-HUM]) / HUM

    @property
    def floor_db(self) -> float:
        """The quietest 100 ms remembered, in dB of full scale."""
        powers = np.array(self._powers)
        if powers.size < SMOOTH:
            return SILENCE_DB
        means = np.convolve(powers, np.full(SMOOTH, 1 / SMOOTH), "valid")
        return max(SILENCE_DB, _db(float(means.min())))

    def _voiced(self, level: float, floor: float) -> bool | None:
        if level >= max(floor + self._config.speech_db, self._config.least_db):
            return True
        return False if level < max(floor + self._config.silence_db, self._config.least_db) else None


def _db(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-12)))


def make(config: Config) -> Energy:
    return Energy(config)
