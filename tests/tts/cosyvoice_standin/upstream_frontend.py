"""Stands in for ``cosyvoice.cli.frontend``: features of prompts, and the cache of speakers."""

from __future__ import annotations

from typing import Any

import numpy as np


def load_wav(wav: str, target_sr: int, min_sr: int = 16_000) -> Any:
    """What happens with torchaudio 2.9 and newer."""
    raise ImportError("TorchCodec is required for load_with_torchcodec")


class CosyVoiceFrontEnd:
    """Reads a path three times, as the original does; takes samples where the API is the older one."""

    def __init__(self, takes_path: bool) -> None:
        self.spk2info: dict[str, dict[str, Any]] = {"came with the model": {}}
        self._takes_path = takes_path

    def text_normalize(self, text: str, split: bool = True, text_frontend: bool = True) -> Any:
        text = text.strip()
        if text_frontend and text and text[-1].isalnum():
            text += "."
        return [text] if split else text

    def frontend_zero_shot(self, prompt_text: str, prompt: Any) -> dict[str, Any]:
        first, second, third = (self._speech(prompt, rate) for rate in (24_000, 16_000, 16_000))
        assert second.shape[1] / 16_000 <= 30, "do not support extract speech token for audio longer than 30s"
        assert np.array_equal(second, third)
        return {
            "prompt_text": np.frombuffer(prompt_text.encode(), np.uint8),
            "speech_feat": float(np.abs(first).mean()),
            "embedding": float(np.abs(np.diff(second)).mean()),
        }

    def _speech(self, prompt: Any, rate: int) -> Any:
        if self._takes_path:
            if not isinstance(prompt, str):
                raise TypeError(f"Invalid file: {prompt!r}")
            return np.asarray(load_wav(prompt, rate))
        assert prompt.ndim == 2
        assert prompt.shape[0] == 1
        return np.asarray(prompt)
