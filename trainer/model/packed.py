"""A tower whose weights are packed for a stream on a CPU.

A tick multiplies every weight with four columns or fewer, so its time is the time to read the weights. Halving their
bytes halves it, and 8 bits quarter it.

    float16   Weights in float16, sums and activations in float32: vectors are off by 6e-4 of their length, and a
              stream still is what the whole is. FBGEMM, so x86 alone.
    int8      As float16, but the encoder's blocks in 8 bits: weights with one scale per output, activations with one
              per call. Off by 3e-3 (bfloat16 throughout: 1e-2 to 2e-2). The calls of a stream and of a whole recording
              differ, and so do streams that step as one batch. The rest is a seventh of the weights and would add
              0.02: nothing corrects what the adapter rounds.

Convolutions become products with patches: a tick has 76 patches of the second one, too few for a convolution kernel.
"""

from __future__ import annotations

import copy
import warnings
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.model.adapter import KERNEL, STRIDE
from trainer.model.encoder import FrontEnd
from trainer.model.layers import Block

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
        with warnings.catch_warnings():
            # Announced to go in favour of torchao; of what torch itself has, everything else takes twice as long.
            warnings.simplefilter("ignore", UserWarning)
            quantised = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
        self.weights = torch.ops.quantized.linear_prepack(quantised, bias)
        # Without these instructions sums of two products may overflow 16 bits unless activations have only 7.
        self.seven_bits = not getattr(torch.cpu, "_is_vnni_supported", lambda: False)()

    def forward(self, x: Tensor) -> Tensor:
        """Any number of leading axes."""
        if self.form == "float16":
            return torch.ops.quantized.linear_dynamic_fp16(x, self.weights)
        return torch.ops.quantized.linear_dynamic(x, self.weights, self.seven_bits)


class PackedConv1d(nn.Module):
    """The convolution of an adapter stage, as a product with patches."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.linear = PackedLinear(conv.weight.flatten(1), conv.bias, "float16")

    def forward(self, x_BDE: Tensor) -> Tensor:
        """Channels before frames, as torch has it."""
        patches = x_BDE.unfold(2, KERNEL, STRIDE).transpose(1, 2).flatten(2)
        return self.linear(patches).transpose(1, 2)


class PackedFrontEnd(nn.Module):
    """The front end with channels last, its second convolution a product with patches."""

    def __init__(self, front: FrontEnd) -> None:
        super().__init__()
        channels = front.conv2.out_channels
        self.weight1, self.bias1 = front.conv1.weight.detach().flatten(1).clone(), front.conv1.bias
        self.conv2 = PackedLinear(front.conv2.weight.permute(0, 2, 3, 1).flatten(1), front.conv2.bias, "float16")
        by_band = front.out.weight.view(front.out.out_features, channels, -1).transpose(1, 2)
        self.out = PackedLinear(by_band.flatten(1), front.out.bias, "float16")

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
            return _cast(copy.deepcopy(module), torch.bfloat16)
        _check(module, weights)
        # deepcopy takes from its memo what is to stand for a module.
        return copy.deepcopy(module, _replacements(module, weights))


def _cast(module: Module, dtype: torch.dtype) -> Module:
    """Parameters only: the constants of the normalisation are buffers, and stay in float32."""
    for value in module.parameters():
        value.data = value.data.to(dtype)
    return module


def _replacements(module: nn.Module, blocks: Form, here: Form = "float16") -> dict[int, nn.Module]:
    found: dict[int, nn.Module] = {}
    for child in module.children():
        if isinstance(child, FrontEnd):
            found[id(child)] = PackedFrontEnd(child)
        elif isinstance(child, nn.Conv1d):
            found[id(child)] = PackedConv1d(child)
        elif isinstance(child, nn.Linear):
            found[id(child)] = PackedLinear(child.weight, child.bias, here)
        else:
            found |= _replacements(child, blocks, blocks if isinstance(child, Block) else here)
    return found


def _check(module: nn.Module, weights: str) -> None:
    device = next(module.parameters()).device
    if device.type != "cpu":
        raise ValueError(f"weights: {weights} is a form for CPUs and the model is on {device}; take bfloat16")
    needed = {"float16": "linear_prepack_fp16", "int8": "linear_prepack"}[weights]
    if "fbgemm" not in torch.backends.quantized.supported_engines or not hasattr(torch.ops.quantized, needed):
        raise ValueError(f"weights: {weights} needs FBGEMM, which this torch has not; take float32 or bfloat16")
