"""Whisper as the recogniser, by ``datagen/asr/faster_whisper``, in a thread.

RelayS2S hears with ``medium.en``, beam 5, in about 250 ms on an L40S (MODEL-SPEC section 10).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen import kinds
from datagen.kinds import KindConfig, Need
from trainer.runtime.answering._base import SlowPathError


class Config(KindConfig):
    """Which model, and how it decodes (see ``datagen/asr/faster_whisper``)."""

    aside: ClassVar[frozenset[str]] = frozenset({"model", "cpu_threads", "limit_ms"})

    kind: Literal["faster_whisper"] = "faster_whisper"
    model: str | None = None
    """Folder of a model in CTranslate2's format; None = the environment variable WHISPER_MODEL."""
    model_revision: str = Field(default="not stated", min_length=1)
    """What the folder holds, such as ``Systran/faster-whisper-medium.en@a29b04b``."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda)$")
    compute_type: str = Field(default="default", min_length=1)
    beam_size: int = Field(default=5, ge=1, le=20)
    cpu_threads: int = Field(default=1, ge=1)
    limit_ms: float = Field(default=10_000, gt=0)
    """A turn that is not understood by then is given up."""

    @property
    def engine(self) -> KindConfig:
        """The same as a kind of ``datagen/asr``."""
        return kinds.parse("asr", {**self.model_dump(exclude={"limit_ms"}), "word_times": False})


class WhisperHearing:
    """The recogniser (see ``_base.Hearing``). Its model is loaded once per process."""

    def __init__(self, config: Config, engine: Any) -> None:
        self._config, self._engine = config, engine

    async def transcribe(self, pcm: npt.NDArray[np.int16], language: str, *, first_tick: int = 0) -> str:
        """See ``_base.Hearing``. A cancelled call returns at once; its thread ends with the turn it is hearing."""
        if not pcm.size:
            return ""
        limit = asyncio.timeout(self._config.limit_ms / 1000)
        try:
            async with limit:
                heard = await asyncio.to_thread(self._engine.transcribe, pcm, language)
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            said = f"nothing after {self._config.limit_ms:g} ms" if limit.expired() else " ".join(str(error).split())
            raise SlowPathError(f"the recogniser failed: {said}") from None
        return heard.text


def make(config: Config) -> WhisperHearing:
    """Loads the model; ValueError names what is missing and the remedy."""
    return WhisperHearing(config, kinds.make("asr", config.engine))


def needs(config: Config) -> tuple[Need, ...]:
    """The packages and the model."""
    return kinds.needs("asr", config.engine)
