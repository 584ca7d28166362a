"""The adapter: the published numbers, what each tick sees, and a stream that sees what the whole sees."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.trainer.references import references
from tests.trainer.tiny_tower import PUBLISHED, furthest
from trainer.model.adapter import Adapter, AdapterConfig, AdapterState
from trainer.model.loading import load_adapter

CONFIG = AdapterConfig(width=16, inner=24, out=10)


def adapter() -> Adapter:
    torch.manual_seed(0)
    return Adapter(CONFIG).eval()


def frames(count: int, seed: int = 0) -> Tensor:
    return torch.randn(1, count, 16, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def whole(model: Adapter, x_BED: Tensor) -> Tensor:
    return model(x_BED, torch.full((len(x_BED),), x_BED.shape[1]))[0]


def streamed(model: Adapter, x_BED: Tensor, state: AdapterState | None = None, at_a_time: int = 4) -> Tensor:
    state, parts = state or model.start(len(x_BED)), []
    for chunk in x_BED.split(at_a_time, dim=1):
        ticks, state = model.step(chunk, state)
        parts.append(ticks)
    return torch.cat(parts, dim=1)


@torch.no_grad()
def test_the_reference_offline_and_as_a_stream() -> None:
    model = Adapter(AdapterConfig(width=64, inner=128, out=48)).eval()
    load_adapter(model, references() / "encoder_small_state.safetensors")
    io = load_file(references() / "encoder_small_io.safetensors")
    ticks_BKD, lens_B = model(io["enc_out"], io["enc_mask"].sum((1, 2)))
    assert lens_B.tolist() == io["adapter_mask"].sum((1, 2)).tolist() == [40, 25]
    for row, length in enumerate(lens_B.tolist()):
        assert furthest(ticks_BKD[row, :length], io["adapter_out"][row, :length]) <= 1e-4
    stream = streamed(model, io["stream_fixedpos_enc_out"])
    assert furthest(stream, io["stream_fixedpos_adapter_out"]) <= 1e-4


def test_the_published_size() -> None:
    with torch.device("meta"):
        model = Adapter(PUBLISHED.adapter)
    assert [sum(p.numel() for p in stage.parameters()) for stage in model.stages] == [12_590_080, 12_327_808]


@pytest.mark.parametrize("at_a_time", [4, 8])
def test_a_stream_sees_what_the_whole_sees(at_a_time: int) -> None:
    model, x_BED = adapter(), frames(48)
    assert furthest(streamed(model, x_BED, at_a_time=at_a_time), whole(model, x_BED)) < 1e-5


def test_a_tick_sees_no_frame_after_its_fourth() -> None:
    """Two causal stages: tick k sees frames 4k - 12 to 4k, the first of its own four."""
    model, x_BED, tick = adapter(), frames(48), 6
    before = whole(model, x_BED)
    for frame, seen in {4 * tick - 13: False, 4 * tick - 12: True, 4 * tick: True, 4 * tick + 1: False}.items():
        changed = x_BED.clone()
        changed[:, frame] += 3
        assert torch.equal(whole(model, changed)[:, tick], before[:, tick]) != seen, frame


@torch.no_grad()
def test_frames_behind_the_length_are_not_heard() -> None:
    model, x_BED = adapter(), frames(24)
    padded = torch.cat([x_BED, 1e3 * frames(24, seed=1)], dim=1)
    ticks_BKD, lens_B = model(padded, torch.tensor([23]))
    assert lens_B.tolist() == [6]
    assert furthest(ticks_BKD[:, :6], whole(model, x_BED)) < 1e-5, "what counts is as it was"
    other = torch.cat([x_BED[:, :23], frames(25, seed=2)], dim=1)
    assert torch.equal(model(other, torch.tensor([23]))[0], ticks_BKD), "what does not count depends on nothing"


def test_a_fork_leaves_its_parent_bit_identical() -> None:
    model, x_BED = adapter(), frames(16)
    _, state = model.step(x_BED[:, :8], model.start())
    held = [past.clone() for past in state.past]
    straight = streamed(model, x_BED[:, 8:], state)
    streamed(model, frames(16, seed=5), state.fork())
    assert all(torch.equal(a, b) for a, b in zip(state.past, held, strict=True))
    assert torch.equal(streamed(model, x_BED[:, 8:], state), straight)


def test_parts_of_ticks_are_refused() -> None:
    with pytest.raises(ValueError, match="whole ticks of 4 frames, not 6"):
        adapter().step(frames(6), adapter().start())
