"""Mean and variance normalisation of features: two constants per mel bin, measured on data, never drawn or learned.

Shape suffixes: B batch, T feature frames (10 ms), F mel bins.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

SMALLEST_VARIANCE = 1e-20
"""As the published files are read. ``estimate`` refuses what is near it: only broken data do not vary."""
LEAST_SPREAD = 1e-3
"""Nats. Audible sound spreads over several; features that were stored coarsely are 0.03 apart."""


class Cmvn(nn.Module):
    """(x - mean) * istd, per bin. Until it is set it changes nothing (mean 0, istd 1)."""

    mean: Tensor
    istd: Tensor

    def __init__(self, mel: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(mel))
        self.register_buffer("istd", torch.ones(mel))

    def forward(self, feats_BTF: Tensor) -> Tensor:
        """Normalised features, in float32: log energies reach 30, where bfloat16 has steps of 0.125."""
        return (feats_BTF.float() - self.mean.float()) * self.istd.float()

    def set(self, mean_F: Tensor, istd_F: Tensor) -> None:
        """Takes over two measured constants. Raises ValueError for other shapes and for what is not finite."""
        for name, new, held in (("mean", mean_F, self.mean), ("istd", istd_F, self.istd)):
            if new.shape != held.shape or not new.isfinite().all():
                raise ValueError(f"{name} of the features: {held.numel()} finite numbers are needed, not {new}")
            held.copy_(new)


def estimate(feats: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation (F, float32) of all frames of recordings (T x F or B x T x F, no padding).

    The recordings are read once, one at a time. Raises ValueError where there are fewer than two frames, where a
    number is not finite, and where a bin does not vary.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for recording in feats:
        frames = recording.detach().to("cpu", torch.float64).flatten(0, -2)
        new = len(frames)
        if new == 0:
            continue
        new_mean = frames.mean(0)
        apart = new_mean - mean
        squares = squares + (frames - new_mean).square().sum(0) + apart.square() * (count * new / (count + new))
        mean = mean + apart * (new / (count + new))
        count += new
    if count < 2:
        raise ValueError(f"features of {count} frames have no variance; give more audio")
    return _finished(mean, squares / count)


def _finished(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    if not mean.isfinite().all() or not variance.isfinite().all():
        raise ValueError("the features hold numbers that are not finite; look for NaN in the audio")
    flat = (variance.sqrt() < LEAST_SPREAD).nonzero().flatten().tolist()
    if flat:
        raise ValueError(f"features do not vary in bins {flat}; is the audio digital silence throughout?")
    return mean.float(), variance.rsqrt().float()


def read_kaldi(path: Path | str) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation from Kaldi's text form of CMVN statistics (``global_cmvn`` of Freeze-Omni).

    Two rows between square brackets: the sums and the count, the sums of squares and a zero. Raises ValueError for
    anything else.
    """
    words = Path(path).read_text(encoding="utf-8").replace("[", " ").replace("]", " ").split()
    try:
        values = torch.tensor([float(word) for word in words], dtype=torch.float64)
    except ValueError:
        raise ValueError(f"{path}: not Kaldi's CMVN statistics as text: {words[0][:40]!r} is not a number") from None
    if len(values) < 4 or len(values) % 2:
        raise ValueError(f"{path}: {len(values)} numbers are not two rows of sums, the first with a count at its end")
    sums, squares = values.view(2, -1)
    count = sums[-1]
    if count <= 0:
        raise ValueError(f"{path}: the count of frames is {count.item():g}")
    mean = sums[:-1] / count
    variance = (squares[:-1] / count - mean.square()).clamp(min=SMALLEST_VARIANCE)
    return mean.float(), variance.rsqrt().float()
