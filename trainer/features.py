"""Log-mel features: 80 bins every 10 ms of 16 kHz audio, the same numbers offline and tick by tick.

Frame f covers samples [160 f - 240, 160 f + 160): there are 240 zero samples before the audio, so a frame is complete
with its last 10 ms and floor(N / 160) frames come from N samples. Frames do not depend on each other.

The numbers are those of Kaldi's ``fbank`` with Povey window, pre-emphasis 0.97, no dither and 20 to 8000 Hz, computed
in float32 in the order that the published model was trained on. In near-silent bins beside a loud one the order of
rounding is worth 0.02 to 0.04 (kaldi-native-fbank 1.23 differs by 0.036), hence own code, and hence constants in
float32 and products that are rounded before they are subtracted.

Shapes: B batch, N samples, T feature frames (10 ms), F mel bins (80), K ticks (160 ms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

RATE = 16_000
HOP = 160
"""Samples from one frame to the next (10 ms)."""
FRAME = 400
"""Samples of a frame (25 ms)."""
CONTEXT = FRAME - HOP
"""Samples before its own hop that a frame sees."""
TICK_FRAMES = 16
TICK = TICK_FRAMES * HOP
"""Samples of a tick (160 ms)."""
MEL = 80
FFT = 512
SMALLEST = torch.finfo(torch.float32).eps
SILENCE = math.log(SMALLEST)
"""Every bin of a digitally silent frame: -15.9424."""

BLOCK_CPU, BLOCK_ELSEWHERE = 64, 4_096
"""Ticks computed at a time. On a CPU a block's buffers stay in a core's cache: ten minutes of audio
take one core 0.13 to 0.20 s, and 0.45 to 0.47 s all at once."""


@dataclass(frozen=True)
class FeatureState:
    """What the next tick needs of the past: the last 240 samples (zeros at the start)."""

    samples_BN: Tensor

    def fork(self) -> FeatureState:
        """A state that goes its own way. Nothing is ever written in place, so sharing is safe."""
        return self


def start(batch: int = 1, device: torch.device | str = "cpu") -> FeatureState:
    """The state before the first sample."""
    return FeatureState(torch.zeros(batch, CONTEXT, device=device))


def whole_ticks(samples: Tensor) -> Tensor:
    """The samples (N or B x N) with zeros behind them up to a whole tick, as a stream ends."""
    return functional.pad(samples, (0, -samples.shape[-1] % TICK))


def features(samples: Tensor) -> Tensor:
    """Features (T x F or B x T x F, float32) of samples in [-1, 1] (N or B x N); T = floor(N / 160).

    Bit for bit what ``step`` gives for the same samples. The one difference is the tail: a stream is fed whole ticks,
    so a last part of a tick is filled with zeros there (``whole_ticks``), and gives frames that this function leaves
    out. Every whole tick takes the same arithmetic: a product of the same shape, alone or beside others.
    """
    if not samples.is_floating_point():
        raise ValueError(f"samples are {samples.dtype}; features take floats in [-1, 1] (divide 16-bit ones by 32768)")
    if samples.ndim == 1:
        return features(samples[None])[0]
    frames = samples.shape[-1] // HOP
    if frames == 0:
        return samples.new_empty(len(samples), 0, MEL, dtype=torch.float32)
    padded = functional.pad(whole_ticks(samples).float(), (CONTEXT, 0))
    return _log_mel(padded)[:, :frames]


def step(samples: Tensor, state: FeatureState) -> tuple[Tensor, FeatureState]:
    """Features (16 x F or B x 16 x F) of the next 2,560 samples (N or B x N), and the state after them."""
    if samples.shape[-1] != TICK:
        raise ValueError(f"a tick has {TICK} samples, not {samples.shape[-1]}; fill the last one with zeros")
    if samples.ndim == 1:
        feats, state = step(samples[None], state)
        return feats[0], state
    heard = torch.cat([state.samples_BN, samples.float()], dim=1)
    return _log_mel(heard), FeatureState(heard[:, -CONTEXT:].clone())


@torch.no_grad()
def _log_mel(samples_BN: Tensor) -> Tensor:
    """Features (B x T x F) of 240 + 2,560 K samples."""
    windows = samples_BN.unfold(1, CONTEXT + TICK, TICK)
    batch, ticks = windows.shape[:2]
    block = BLOCK_CPU if samples_BN.device.type == "cpu" else BLOCK_ELSEWHERE
    at_a_time = max(1, block // max(batch, 1))
    out = samples_BN.new_empty(batch, ticks, TICK_FRAMES, MEL)
    for first in range(0, ticks, at_a_time):
        part = slice(first, first + at_a_time)
        out[:, part] = _ticks(windows[:, part])
    return out.view(batch, ticks * TICK_FRAMES, MEL)


def _ticks(windows_BKN: Tensor) -> Tensor:
    """Features (B x K x 16 x F) of windows of 240 + 2,560 samples."""
    window, mel = _constants(windows_BKN.device)
    frames = windows_BKN.unfold(-1, FRAME, HOP)
    centred = frames - frames.mean(-1, keepdim=True)
    # The window's first value is 0: that sample counts only as the predecessor of the second.
    padded = frames.new_zeros(*frames.shape[:-1], FFT)
    weighted = padded[..., 1:FRAME]
    torch.mul(centred[..., :-1], -0.97, out=weighted)
    weighted.add_(centred[..., 1:]).mul_(window)
    spectrum = torch.fft.rfft(padded)
    power = spectrum.real.square().add_(spectrum.imag.square())
    batch, ticks = power.shape[:2]
    # A batched product and not one big one: each tick is a product of the same shape, however many there are.
    energy = torch.bmm(power.view(batch * ticks, TICK_FRAMES, -1), mel.expand(batch * ticks, -1, -1))
    return energy.clamp_(min=SMALLEST).log_().view(batch, ticks, TICK_FRAMES, MEL)


@lru_cache(maxsize=8)
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """The window (399: its first value is 0; scaled to 16-bit samples, exact as a power of two) and the mel filters
    (257 x 80; the last bin, 8 kHz, counts nowhere)."""
    window = torch.hann_window(FRAME, periodic=False, dtype=torch.float32).pow(0.85) * 32_768
    low, high = (1127 * math.log(1 + hertz / 700) for hertz in (20, 8_000))
    width = (high - low) / (MEL + 1)
    bins = 1127 * (1 + torch.arange(FFT // 2) * (RATE / FFT) / 700).log()
    edges = low + torch.arange(MEL + 2)[:, None] * width
    left, peak, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (peak - left), (right - bins) / (right - peak)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return window[1:].to(device), functional.pad(triangles, (0, 1)).T.contiguous().to(device)
