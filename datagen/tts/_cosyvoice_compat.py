"""What keeps the pinned CosyVoice code right on newer stacks, and the check that it is: one place for every patch.

* ``torchaudio.load`` needs torchcodec and FFmpeg from 2.9 on: prompts are read with soundfile and soxr, on every stack
  alike, so that a voice sounds the same on all of them.
* transformers >= 5 loads the language model in the 16 bits it is stored in: it is put back to float32 before the
  trained weights go in, which would be rounded otherwise.
* transformers >= 4.53 takes the mask of one token for that of the whole cache and hides the past: speech becomes
  garbage without an error. The mask is given its full length where decoding with the cache is found to differ.

Runs in the CosyVoice process: standard library at import, numpy and what the checkout needs inside the functions.
Arrays are torch tensors there; whatever has their shape and methods will do.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from typing import Any

TOLERANCE = 1e-3
"""Largest distance between decoding with and without the cache, as a share of the hidden state's length. float32 gives
1e-6 to 3e-5; a hidden past gives 0.5 to 1.5 (random models of 32 and 896 channels, transformers 5.23, measured)."""
TOLERANCE_HALF = 5e-2
"""The same where the parameters have 16 bits, which gives 2e-3."""
LENGTH, PREFIX = 12, 5
"""Positions of the check, and how many of them go in at once before the cache is used."""


def tensor(array: Any, device: Any = None) -> Any:
    """A numpy array as a torch tensor where torch is loaded (the checkout loads it), else as it is."""
    torch = sys.modules.get("torch")
    return array if torch is None else torch.from_numpy(array).to(device)


def array(value: Any) -> Any:
    """A tensor as a numpy float32 array, or one like it."""
    import numpy as np

    for step in ("detach", "cpu", "float", "numpy"):
        value = getattr(value, step)() if hasattr(value, step) else value
    return np.asarray(value, dtype=np.float32)


def load_wav(wav: str, target_sr: int, min_sr: int = 16_000) -> Any:
    """The file's channels averaged, at ``target_sr``: float32 [1, samples], the shape that upstream's function gives.

    ValueError when the file's rate is below ``min_sr``.
    """
    import numpy as np
    import soundfile
    import soxr

    samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    if rate < min_sr:
        raise ValueError(f"prompt {wav} has {rate} Hz; at least {min_sr} are needed")
    mono = samples.mean(axis=1)
    return tensor(np.ascontiguousarray(soxr.resample(mono, rate, target_sr)[None, :], dtype=np.float32))


def read_prompts_with_soundfile(frontend: Any) -> bool:
    """Has the frontend's module read prompts with ``load_wav`` above, where it reads files at all; whether it does."""
    if not hasattr(frontend, "load_wav"):
        return False
    frontend.load_wav = load_wav
    return True


def load_in_float32(encoder: type[Any]) -> None:
    """Has every new encoder hold float32 parameters, whatever precision its files are stored in."""
    build = encoder.__init__

    @functools.wraps(build)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        if hasattr(self, "float"):
            self.float()

    encoder.__init__ = __init__


def show_the_past(encoder: type[Any]) -> None:
    """Gives ``forward_one_step`` of an encoder class a mask as long as the cache and the new tokens together."""
    step = encoder.forward_one_step

    @functools.wraps(step)
    def forward_one_step(self: Any, xs: Any, masks: Any, cache: Any = None) -> Any:
        seen = cached(cache) + xs.shape[1]
        return step(self, xs, masks if masks.shape[-1] == seen else _ones(masks, seen), cache)

    encoder.forward_one_step = forward_one_step


def cached(cache: Any) -> int:
    """How many positions a key-value cache holds; a cache is None, an object that knows it, or tuples of tensors."""
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        return int(cache.get_seq_length())
    return int(cache[0][0].shape[-2])


def cache_gap(encoder: Any) -> float:
    """How far decoding one by one with the cache is from decoding all at once: the worst position's distance, as a
    share of its length.

    ``encoder.forward_one_step(xs [1, n, width], masks [1, n, n], cache)`` gives hidden states and the next cache.
    """
    import numpy as np

    device = next((p.device for p in encoder.parameters()), None) if hasattr(encoder, "parameters") else None
    width = encoder.model.config.hidden_size
    wave = np.sin(np.arange(LENGTH * width, dtype=np.float32) ** 2).reshape(1, LENGTH, width)
    xs = _as_parameters(tensor(wave * np.float32(0.05), device), encoder)

    def masks(count: int) -> Any:
        return tensor(np.tril(np.ones((1, count, count), bool)), device)

    torch = sys.modules.get("torch")
    with contextlib.nullcontext() if torch is None else torch.no_grad():
        whole, _ = encoder.forward_one_step(xs, masks(LENGTH), None)
        part, cache = encoder.forward_one_step(xs[:, :PREFIX], masks(PREFIX), None)
        parts = [array(part)]
        for at in range(PREFIX, LENGTH):
            part, cache = encoder.forward_one_step(xs[:, at : at + 1], masks(1), cache)
            parts.append(array(part))
    expected = array(whole)
    distance = np.linalg.norm(np.concatenate(parts, axis=1) - expected, axis=-1)
    return float((distance / np.linalg.norm(expected, axis=-1)).max())


def made_to_decode(encoder: Any) -> dict[str, float]:
    """Checks decoding with the cache, mends it where it fails and checks again.

    Gives the gaps: ``as_installed`` and, where it had to be mended, ``mended``; the last one decides (see ``decodes``).
    """
    gaps = {"as_installed": cache_gap(encoder)}
    if not decodes(gaps, encoder):
        show_the_past(type(encoder))
        gaps["mended"] = cache_gap(encoder)
    return gaps


def decodes(gaps: dict[str, float], encoder: Any) -> bool:
    """Whether the last of the gaps is small enough for the precision of the encoder's parameters."""
    gap = list(gaps.values())[-1]
    return math.isfinite(gap) and gap < (TOLERANCE_HALF if _is_half(encoder) else TOLERANCE)


def _is_half(encoder: Any) -> bool:
    parameter = next(iter(encoder.parameters()), None) if hasattr(encoder, "parameters") else None
    return parameter is not None and parameter.element_size() < 4


def _as_parameters(xs: Any, encoder: Any) -> Any:
    return xs.to(next(encoder.parameters()).dtype) if _is_half(encoder) else xs


def _ones(masks: Any, length: int) -> Any:
    """A mask [batch, 1, length] that hides nothing, of the kind and on the device of another."""
    import numpy as np

    shape = (masks.shape[0], 1, length)
    return masks.new_ones(shape) if hasattr(masks, "new_ones") else np.ones(shape, bool)
