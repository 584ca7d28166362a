"""A tower whose weights are packed for a stream on a CPU.

A tick multiplies every weight with four columns or fewer, so its time is the time to read the weights. Halving their
bytes halves it, and 8 bits quarter it.

    float16   Weights in float16, sums and activations in float32: about 5e-4 of a vector's length off, and still
              streaming = offline. FBGEMM, so x86 alone.
    int8      As float16, but the blocks' and the adapter's weights in 8 bits with one scale per output, activations
              in 8 bits with one scale per call: the calls of a stream and of a whole recording differ, and so do
              streams that step as one batch. The front end stays in float16: rounding there costs most.

Convolutions become products with patches: a tick has 76 patches of the second one, too few for a convolution kernel.
"""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.model.adapter import KERNEL, STRIDE
from trainer.model.cmvn import Cmvn
from trainer.model.encoder import FrontEnd

Module = TypeVar("Module", bound=nn.Module)
Form = Literal["float16", "int8"]


class PackedLinear(nn.Module):
    """A linear layer over weights (outputs x inputs) in another form; float32 in, float32 out."""

    def __init__(self, weight: Tensor, bias: Tensor | None, form: Form) -> None:
        super().__init__()
        self.form = form
        weight, bias = weight.detach().contiguous(), None if bias is None else bias.detach()
        if form == "float16":
            self.weights = torch.ops.quantized.linear_prepack_fp16(weight, bias)
            return
        scale = weight.abs().amax(1).double().clamp(min=torch.finfo(torch.float32).tiny) / 127
        zero = torch.zeros(len(scale), dtype=torch.long)
        self.weights = torch.ops.quantized.linear_prepack(
            torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8), bias
        )
        # Without these instructions sums of two products may overflow 16 bits unless activations have only 7.
        self.seven_bits = not torch.cpu._is_vnni_supported()

    def forward(self, x: Tensor) -> Tensor:
        """Any number of leading axes."""
        if self.form == "float16":
            return torch.ops.quantized.linear_dynamic_fp16(x, self.weights)
        return torch.ops.quantized.linear_dynamic(x, self.weights, self.seven_bits)


class PackedConv1d(nn.Module):
    """The convolution of an adapter stage, as a product with patches."""

    def __init__(self, conv: nn.Conv1d, form: Form) -> None:
        super().__init__()
        self.linear = PackedLinear(conv.weight.flatten(1), conv.bias, form)

    def forward(self, x_BDE: Tensor) -> Tensor:
        """Channels before frames, as torch has it."""
        patches = x_BDE.unfold(2, KERNEL, STRIDE).transpose(1, 2).flatten(2)
        return self.linear(patches).transpose(1, 2)


class PackedFrontEnd(nn.Module):
    """The front end with channels last, its second convolution a product with patches."""

    def __init__(self, front: FrontEnd, form: Form) -> None:
        super().__init__()
        channels = front.conv2.out_channels
        self.weight1, self.bias1 = front.conv1.weight.detach().flatten(1).clone(), front.conv1.bias
        self.conv2 = PackedLinear(front.conv2.weight.permute(0, 2, 3, 1).flatten(1), front.conv2.bias, form)
        by_band = front.out.weight.view(front.out.out_features, channels, -1).transpose(1, 2)
        self.out = PackedLinear(by_band.flatten(1), front.out.bias, form)

    def forward(self, feats_BTF: Tensor) -> Tensor:
        """Frames (B x E x D) of 4 E + 3 feature frames."""
        patches = feats_BTF.unfold(1, 3, 2).unfold(2, 3, 2).flatten(3)
        x = functional.relu(functional.linear(patches, self.weight1, self.bias1))
        patches = x.unfold(1, 3, 2).unfold(2, 3, 2).permute(0, 1, 2, 4, 5, 3).flatten(3)
        return self.out(functional.relu(self.conv2(patches)).flatten(2))


def packed(module: Module, weights: Literal["float32", "bfloat16", "float16", "int8"]) -> Module:
    """A copy of the module in another form; the original stays as it is. See ``Tower.for_streaming``."""
    with torch.no_grad():
        if weights == "float32":
            return copy.deepcopy(module)
        if weights == "bfloat16":
            kept = {id(child): copy.deepcopy(child) for child in module.modules() if isinstance(child, Cmvn)}
            return _cast(copy.deepcopy(module, dict(kept)), torch.bfloat16)
        _check(module, weights)
        # deepcopy takes from its memo what is to stand for a module.
        return copy.deepcopy(module, _replacements(module, weights))


def _cast(module: Module, dtype: torch.dtype) -> Module:
    for child in module.modules():
        if not isinstance(child, Cmvn):
            for value in child.parameters(recurse=False):
                value.data = value.data.to(dtype)
    return module


def _replacements(module: nn.Module, form: Form) -> dict[int, nn.Module]:
    found: dict[int, nn.Module] = {}
    for child in module.children():
        if isinstance(child, FrontEnd):
            found[id(child)] = PackedFrontEnd(child, "float16")
        elif isinstance(child, nn.Conv1d):
            found[id(child)] = PackedConv1d(child, form)
        elif isinstance(child, nn.Linear):
            found[id(child)] = PackedLinear(child.weight, child.bias, form)
        else:
            found |= _replacements(child, form)
    return found


def _check(module: nn.Module, weights: str) -> None:
    device = next(module.parameters()).device
    if device.type != "cpu":
        raise ValueError(f"weights: {weights} is a form for CPUs and the model is on {device}; take bfloat16")
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise ValueError(f"weights: {weights} needs FBGEMM, which this torch has not; take float32 or bfloat16")
