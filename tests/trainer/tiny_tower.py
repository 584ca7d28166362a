"""A small tower whose every part matters, sound to feed it with, and streams written out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer import features
from trainer.model.cmvn import estimate
from trainer.model.encoder import Encoder, EncoderConfig
from trainer.model.layers import Attention
from trainer.model.tower import Tower, TowerConfig, build

ENCODER = EncoderConfig(width=32, blocks=2, heads=4, ffn=64, left=3)
CONFIG = TowerConfig(encoder=ENCODER, inner=48, out=24)
PUBLISHED = TowerConfig(encoder=EncoderConfig(width=1024, blocks=24, heads=16, ffn=4096), inner=2048, out=896)
TICK = features.TICK


def sound(*shape: int, seed: int = 0) -> Tensor:
    """Noise that swells and fades four times a second, with gaps of digital silence between."""
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    swell = (torch.arange(shape[-1]) * (2 * torch.pi * 4 / 16_000)).sin()
    return 0.1 * noise * swell.clamp(min=0)


def stirred(encoder: Encoder) -> Encoder:
    """The encoder with nothing left at zero or one, so that a part that is left out shows, and with a stream of size
    one, so that what its blocks do weighs."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in encoder.modules():
            own = list(module.parameters(recurse=False)) if isinstance(module, Attention | nn.LayerNorm) else []
            own += [module.bias] if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None else []
            for value in own:
                value.add_(0.5 * torch.randn(value.shape, generator=draw))
        encoder.embed.norm.weight.div_(encoder.embed.scale)
        encoder.embed.norm.bias.div_(encoder.embed.scale)
    encoder.cmvn.set(*estimate([features.features(sound(20 * TICK))]))
    return encoder


def tiny(config: TowerConfig = CONFIG, seed: int = 0) -> Tower:
    """A stirred tower in evaluation mode."""
    tower = build(config, seed)
    stirred(tower.encoder)
    return tower


def streamed(tower: Tower, samples_BN: Tensor) -> Tensor:
    """Vectors (B x K x D), tick by tick."""
    state, vectors = tower.start(len(samples_BN)), []
    for tick in samples_BN.split(TICK, dim=1):
        vector, state = tower.step(tick, state)
        vectors.append(vector)
    return torch.stack(vectors, dim=1)


def whole(tower: Tower, samples_BN: Tensor) -> Tensor:
    """Vectors (B x K x D), all at once."""
    feats_BTF = features.features(samples_BN)
    with torch.no_grad():
        return tower(feats_BTF, torch.full((len(feats_BTF),), feats_BTF.shape[1]))[0]


def furthest(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    assert one.shape == other.shape
    return (one - other).abs().max().item()
