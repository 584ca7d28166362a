"""Published checkpoints into an encoder and an adapter: by name, strictly, with a report of what did not fit.

Modules here have names that say what they are, so this file keeps the list of what they are called elsewhere. It is a
list of replacements that hold in both directions; inside a block the two sets of names stand for the same layers.

What is read:

    RelayS2S      s2s.ckpt (Lightning: everything under ``model.``), pretrained/speech_encoder.pt, pretrained/adapter.pt
    Freeze-Omni   final.pt (``encoder.`` and ``adpter.``) with its global_cmvn beside it
    this trainer  any state dict of a tower, encoder or adapter

as safetensors or torch files. Torch files are read as tensors alone, never as objects.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from trainer.model.adapter import Adapter
from trainer.model.cmvn import read_kaldi
from trainer.model.encoder import Encoder

Names = Sequence[tuple[str, str]]

ENCODER_NAMES: Names = (
    ("global_cmvn.", "cmvn."),
    ("enc.0.core.conv.0.", "front.conv1."),
    ("enc.0.core.conv.2.", "front.conv2."),
    ("enc.0.core.out.0.", "front.out."),
    ("enc.1.embed.0.", "embed.linear."),
    ("enc.1.embed.1.", "embed.norm."),
    ("enc.1.after_norm.", "norm."),
    ("enc.1.encoders.", "blocks."),
    (".self_attn.linear_", ".attention."),
    (".self_attn.pos_bias_u", ".attention.content_bias"),
    (".self_attn.pos_bias_v", ".attention.position_bias"),
    (".feed_forward.w_1.", ".feed_forward.up."),
    (".feed_forward.w_2.", ".feed_forward.down."),
)
"""(published, here). ``norm1`` and ``norm2`` of a block have the same name in both."""
ADAPTER_NAMES: Names = (("subsamplers.", "stages."), (".conv1d2.", ".conv."), (".bn2.", ".norm."))
ENCODER_PREFIXES = ("model.speech_encoder.", "speech_encoder.", "model.encoder.", "encoder.", "tower.encoder.", "")
ADAPTER_PREFIXES = ("model.adapter.", "adapter.", "tower.adapter.", "adpter.", "")
"""Tried in this order. ``adpter``: as Freeze-Omni has it."""
ONE_STAGE = (
    ("conv1d2.weight", "conv.weight"),
    ("conv1d2.bias", "conv.bias"),
    ("bn2.weight", "norm.weight"),
    ("bn2.bias", "norm.bias"),
)
"""What both stages take from an adapter of one stage: (published, here)."""
SHOWN = 5
"""Names per list of an error."""


@dataclass(frozen=True)
class Loaded:
    """What came from a checkpoint."""

    taken: tuple[str, ...]
    """Names here that were filled."""
    kept: tuple[str, ...] = ()
    """Names here that stayed as they were, where that is part of the way the checkpoint is used."""
    unused: tuple[str, ...] = ()
    """Names there that found no place, likewise."""

    def __str__(self) -> str:
        lines = [f"{len(self.taken)} tensors loaded"]
        lines += [f"{what}: {_some(names)}" for what, names in (("kept", self.kept), ("unused", self.unused)) if names]
        return "; ".join(lines)


def load_encoder(encoder: Encoder, path: Path | str, cmvn: Path | str | None = None) -> Loaded:
    """Fills an encoder, normalisation included.

    ``cmvn`` is Kaldi's statistics as text and wins over what the checkpoint holds; it is needed where that holds none.
    Raises ValueError unless everything fits; the encoder is then as it was.
    """
    found = _part(path, ENCODER_PREFIXES, ENCODER_NAMES, ("front.conv1.weight",), "encoder")
    if cmvn is not None:
        found["cmvn.mean"], found["cmvn.istd"] = read_kaldi(cmvn)
    return _fill(encoder, found, f"{path}: an encoder of {_size(found)}", ())


def load_adapter(adapter: Adapter, path: Path | str) -> Loaded:
    """Fills an adapter.

    From an adapter of one stage (Freeze-Omni), both stages take convolution and norm, and the projections stay as they
    are: that is how the published model began. Raises ValueError unless everything fits; the adapter is then as it was.
    """
    found = _part(path, ADAPTER_PREFIXES, ADAPTER_NAMES, ("stages.0.conv.weight", "conv1d2.weight"), "adapter")
    if "conv1d2.weight" not in found:
        return _fill(adapter, found, f"{path}: an adapter", ())
    stages = [f"stages.{index}" for index in range(len(adapter.stages))]
    doubled = {f"{stage}.{here}": found[there] for stage in stages for there, here in ONE_STAGE if there in found}
    kept = tuple(f"{stage}.project.{name}" for stage in stages for name in ("weight", "bias"))
    loaded = _fill(adapter, doubled, f"{path}: an adapter of one stage", kept)
    return replace(loaded, unused=tuple(sorted(found.keys() - {there for there, _ in ONE_STAGE})))


def renamed(name: str, names: Names) -> str:
    """A published name as it is here; one that is already as here stays so."""
    for there, here in names:
        if there.startswith(".") or name.startswith(there):
            name = name.replace(there, here, 1)
    return name


def published(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """A state dict of an encoder or adapter under published names: readable by the published code."""
    back = [(here, there) for there, here in reversed(names)]
    return {renamed(name, back): tensor for name, tensor in state.items()}


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch file on the CPU; of a training checkpoint, the model's.

    Raises ValueError where there is no such file, or where it holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint {path}: there is no such file")
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f"checkpoint {path}: cannot be read as tensors ({reason}); where you trust it, open it with "
            "torch.load(path, weights_only=False) and save its state_dict as safetensors"
        ) from None
    for inner in ("state_dict", "model_state_dict", "model"):
        if isinstance(held, Mapping) and isinstance(held.get(inner), Mapping):
            held = held[inner]
    if not isinstance(held, Mapping):
        raise ValueError(f"checkpoint {path}: holds a {type(held).__name__}, not tensors by name")
    return {str(name): tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}


def _part(
    path: Path | str, prefixes: Sequence[str], names: Names, marks: Sequence[str], what: str
) -> dict[str, Tensor]:
    """The tensors of one part of a model under the names they have here."""
    held = read_tensors(path)
    for prefix in prefixes:
        part = {renamed(n.removeprefix(prefix), names): t for n, t in held.items() if n.startswith(prefix)}
        if any(mark in part for mark in marks):
            return part
    raise ValueError(f"checkpoint {path}: holds no {what}; its {len(held)} tensors are {_some(tuple(held))}")


@torch.no_grad()
def _fill(module: nn.Module, found: Mapping[str, Tensor], source: str, kept: tuple[str, ...]) -> Loaded:
    """Copies tensors into a module. Raises ValueError unless names (but for ``kept``) and shapes are the same."""
    held = {name: tensor for name, tensor in module.state_dict().items() if name not in kept}
    both = sorted(held.keys() & found.keys())
    other = [
        f"{name} {tuple(found[name].shape)} for {tuple(held[name].shape)}"
        for name in both
        if found[name].shape != held[name].shape
    ]
    wrong = {
        "missing": tuple(sorted(held.keys() - found.keys())),
        "of no use": tuple(sorted(found.keys() - held.keys())),
        "of another shape": tuple(other),
    }
    if any(wrong.values()):
        lists = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in wrong.items() if names)
        raise ValueError(f"checkpoint {source} does not fit. {lists}. Set the sizes in the recipe to the checkpoint's")
    for name in both:
        held[name].copy_(found[name])
    return Loaded(tuple(both), kept)


def _size(found: Mapping[str, Tensor]) -> str:
    """Sizes of an encoder, as far as its tensors tell."""
    blocks = 1 + max((int(name.split(".")[1]) for name in found if name.startswith("blocks.")), default=-1)
    sizes = [f"width {len(found['front.conv1.weight'])}", f"{blocks} blocks"]
    for what, name in (("heads", "attention.content_bias"), ("ffn", "feed_forward.up.bias")):
        if f"blocks.0.{name}" in found:
            sizes.append(f"{what} {len(found[f'blocks.0.{name}'])}")
    return ", ".join(sizes)


def _some(names: Sequence[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
