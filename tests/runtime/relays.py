"""A relay small enough for a test: a model that talks, the real slow path's machinery, the real voice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.runtime.parrot import parrot
from trainer.firing import Thresholds
from trainer.model.verifier import Decision
from trainer.runtime.bundle import Bundle, Manifest
from trainer.runtime.relaying import Relay

NEVER = Thresholds(bos=1, stp=1, boc=1)
REPLY = "Of course, there is a table for two at eight, shall I take it?"


class Always:
    """A verifier whose decision does not depend on the draft."""

    threshold = 0.5

    def __init__(self, commit: bool) -> None:
        self.commit = commit

    def decide(self, hidden_LD: Any, scalars_L3: Any) -> Decision:
        """See ``trainer.model.verifier.Decider``."""
        return Decision(self.commit and len(hidden_LD) > 0, 0.9 if self.commit else 0.1, 0.0)


def relay(commit: bool | None = True, inline: bool = True, first_ms: float = 420, **options: Any) -> Relay:
    """Its slow path says ``REPLY``, late by ``first_ms``; ``commit`` None: there is no verifier."""
    decider: Any = None if commit is None else Always(commit)
    manifest = Manifest(name="tiny", thresholds=NEVER, thresholds_from="a test", files={})
    bundle = Bundle(Path(), manifest, parrot(), None, decider)
    slow = {"kind": "simulated", "first_ms": first_ms}
    given = {"answering": slow, "replies": lambda *_: REPLY, "inline": inline, "sessions": 4, **options}
    return Relay.of(bundle, **given)


def speech(seconds: float, seed: int = 0) -> npt.NDArray[np.int16]:
    """Something loud."""
    rng = np.random.default_rng(seed)
    return (3000 * rng.standard_normal(round(seconds * 16_000))).clip(-32768, 32767).astype(np.int16)


def silence(seconds: float) -> npt.NDArray[np.int16]:
    """Nothing."""
    return np.zeros(round(seconds * 16_000), np.int16)
