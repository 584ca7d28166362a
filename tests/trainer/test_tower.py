"""The tower: a vector per tick, the same from a stream of any length, in every form of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from tests.trainer.tiny_tower import CONFIG, ENCODER, PUBLISHED, TICK, furthest, sound, streamed, tiny, whole
from trainer import features
from trainer.model.cmvn import estimate
from trainer.model.encoder import EncoderConfig
from trainer.model.packed import PackedLinear
from trainer.model.tower import VECTOR_SPREAD, Tower, TowerConfig, build


def relative(one: Tensor, other: Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.slow
def test_ten_minutes_tick_by_tick_are_the_whole() -> None:
    tower = tiny(TowerConfig(encoder=EncoderConfig(width=16, blocks=2, heads=2, ffn=32), inner=16, out=8))
    samples_BN = sound(1, 3_750 * TICK)
    offline = whole(tower, samples_BN)
    scale = offline.square().mean().sqrt().item()
    with torch.inference_mode():
        assert furthest(streamed(tower, samples_BN), offline) <= 1e-4 * scale


def test_streams_side_by_side_are_streams_alone() -> None:
    tower, samples_BN = tiny(), sound(3, 12 * TICK)
    together = streamed(tower, samples_BN)
    alone = torch.cat([streamed(tower, samples_BN[row : row + 1]) for row in range(3)])
    assert furthest(together, alone) < 1e-5


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from tensors(tuple(vars(value).values()))


def test_a_fork_leaves_its_parent_bit_identical() -> None:
    tower, samples_BN = tiny(), sound(1, 20 * TICK)
    state = tower.start()
    for tick in samples_BN[:, : 10 * TICK].split(TICK, dim=1):
        _, state = tower.step(tick, state)
    held = [tensor.clone() for tensor in tensors(state)]
    assert len(held) == 1 + 1 + 2 * 3 + 2
    branch = state.fork()
    for tick in sound(1, 10 * TICK, seed=4).split(TICK, dim=1):
        _, branch = tower.step(tick, branch)
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), held, strict=True))


def test_the_first_tick_sets_the_positions() -> None:
    tower, feats_BTF = tiny(), features.features(sound(1, 10 * TICK))
    with torch.no_grad():
        shifted, _ = tower(feats_BTF, torch.tensor([160]), first=25)
        frames, lens_B = tower.encoder(feats_BTF, torch.tensor([160]), first=100)
        assert torch.equal(shifted, tower.adapter(frames, lens_B)[0])
    assert not torch.equal(shifted, whole(tower, sound(1, 10 * TICK)))


@pytest.mark.parametrize(("form", "tolerance"), [("bfloat16", 0.05), ("float16", 2e-3), ("int8", 0.02)])
def test_forms_for_streaming_are_close(form: Literal["bfloat16", "float16", "int8"], tolerance: float) -> None:
    tower, samples_BN = tiny(), sound(1, 12 * TICK)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    fast = tower.for_streaming(form)
    assert 0 < relative(streamed(fast, samples_BN).float(), whole(tower, samples_BN)) < tolerance
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert torch.equal(fast.encoder.cmvn.istd, tower.encoder.cmvn.istd), "features are normalised in float32"


def test_8_bits_are_for_the_blocks() -> None:
    forms = {name: m.form for name, m in tiny().for_streaming("int8").named_modules() if isinstance(m, PackedLinear)}
    assert {form for name, form in forms.items() if ".blocks." in name} == {"int8"}
    assert {form for name, form in forms.items() if ".blocks." not in name} == {"float16"}
    assert len(forms) == 2 * 7 + 3 + 2 * 2, "every product but the first convolution's"


def test_float32_for_streaming_is_the_same() -> None:
    tower, samples_BN = tiny().train(), sound(1, 6 * TICK)
    fast = tower.for_streaming()
    assert tower.training
    assert torch.equal(streamed(fast, samples_BN), streamed(tower.eval(), samples_BN))


def test_float16_weights_stream_what_the_whole_gives() -> None:
    fast, samples_BN = tiny().for_streaming("float16"), sound(2, 30 * TICK)
    assert furthest(streamed(fast, samples_BN), whole(fast, samples_BN)) < 1e-5


@pytest.mark.parametrize("form", ["float16", "int8"])
def test_packed_forms_are_for_cpus(form: Literal["float16", "int8"]) -> None:
    with torch.device("meta"):
        tower = Tower(CONFIG)
    with pytest.raises(ValueError, match="is a form for CPUs"):
        tower.for_streaming(form)


def test_the_published_size() -> None:
    with torch.device("meta"):
        tower = Tower(PUBLISHED)
    assert sum(p.numel() for p in tower.parameters()) == 357_950_464 + 24_917_888


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one, rolled = build(CONFIG, seed=5), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), rolled), "the global generator is left alone"
    two, other = build(CONFIG, seed=5).state_dict(), build(CONFIG, seed=6).state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.state_dict().items())
    assert not torch.equal(other["encoder.embed.linear.weight"], two["encoder.embed.linear.weight"])
    assert all(value.isfinite().all() for value in two.values())
    assert torch.equal(two["encoder.cmvn.istd"], torch.ones(80)), "normalisation is measured, not drawn"


def test_new_vectors_are_of_the_size_of_token_embeddings() -> None:
    tower = build(TowerConfig(encoder=EncoderConfig(width=96, blocks=3, heads=4, ffn=192), inner=192, out=128))
    samples_BN = 0.1 * torch.randn(1, 30 * TICK, generator=torch.Generator().manual_seed(0))
    tower.encoder.cmvn.set(*estimate([features.features(samples_BN)]))
    assert 0.5 < whole(tower, samples_BN)[:, 3:].square().mean().sqrt().item() / VECTOR_SPREAD < 2


def test_a_chunk_that_is_no_tick_is_refused() -> None:
    with pytest.raises(ValueError, match=r"encoder\.chunk is 8"):
        TowerConfig(encoder=ENCODER.model_copy(update={"chunk": 8}), inner=8, out=8)
