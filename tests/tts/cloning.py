"""Voices with prompts, for the engines that clone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from datagen.core.types import Prompt, Voice


def prompt(folder: Path, name: str = "a.wav", text: str = "This is how I sound.", rate: int = 24_000) -> Prompt:
    """A prompt of half a second of noise, drawn from its name; the suffix gives the format."""
    path = folder / name
    noise = np.random.default_rng(len(name) + sum(name.encode())).integers(-9_000, 9_000, rate // 2).astype(np.int16)
    soundfile.write(path, noise, rate)
    return Prompt(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), text=text, seconds=0.5)


def voice(*prompts: Prompt, id: str = "v1", **params: str) -> Voice:
    """A voice of these prompts."""
    return Voice(
        id=id, language="en", split="train", origin="noise", licence="CC0-1.0", params=dict(params), prompts=prompts
    )
