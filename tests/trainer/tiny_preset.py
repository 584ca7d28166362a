"""A fast path small enough to be trained in a test."""

from __future__ import annotations

from typing import Any

from trainer.model._llm import RandomLlm
from trainer.model.encoder import EncoderConfig
from trainer.model.tower import TowerConfig
from trainer.presets import Preset, Schedule

STEPS = 6


def tiny(**changes: Any) -> Preset:
    """Two stages of a few steps."""
    schedule = Schedule(steps=STEPS, batch_seconds=40, lr=1e-3, letters=0.5, transcribe=0.5, save_steps=2)
    preset = Preset(
        name="tiny",
        tower=TowerConfig(encoder=EncoderConfig(width=16, blocks=2, heads=2, ffn=32, left=2), inner=24, out=16),
        llm=RandomLlm(hidden=16, layers=2, heads=2, kv_heads=1, ffn=32),
        vocabulary=300,
        encoder=schedule,
        duplex=schedule,
    )
    return preset.model_copy(update=changes)
