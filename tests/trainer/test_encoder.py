"""The encoder: the published numbers, what each frame sees, and streams that see what the whole sees."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from tests.trainer.references import references
from tests.trainer.tiny_tower import ENCODER, PUBLISHED, furthest, stirred, tiny
from trainer.model.encoder import Encoder, EncoderConfig, EncoderState
from trainer.model.layers import Attention, Window, positions
from trainer.model.loading import load_encoder

SMALL = EncoderConfig(width=64, blocks=2, heads=4, ffn=128, left=2)


@pytest.fixture(scope="module")
def reference() -> tuple[Encoder, dict[str, Tensor]]:
    encoder = Encoder(SMALL).eval()
    load_encoder(encoder, references() / "encoder_small_state.safetensors")
    return encoder, load_file(references() / "encoder_small_io.safetensors")


def feats(frames: int, batch: int = 1, seed: int = 0) -> Tensor:
    return 10 + 4 * torch.randn(batch, frames, 80, generator=torch.Generator().manual_seed(seed))


def small(chunk: int, left: int) -> Encoder:
    torch.manual_seed(0)
    return stirred(Encoder(ENCODER.model_copy(update={"chunk": chunk, "left": left})).eval())


def whole(encoder: Encoder, feats_BTF: Tensor, first: int = 0) -> Tensor:
    with torch.no_grad():
        return encoder(feats_BTF, torch.full((len(feats_BTF),), feats_BTF.shape[1]), first)[0]


def streamed(encoder: Encoder, feats_BTF: Tensor, state: EncoderState | None = None) -> Tensor:
    state, parts = state or encoder.start(len(feats_BTF)), []
    for chunk in feats_BTF.split(encoder.config.chunk_feats, dim=1):
        frames, state = encoder.step(chunk, state)
        parts.append(frames)
    return torch.cat(parts, dim=1)


@torch.no_grad()
def test_the_reference_offline(reference: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, io = reference
    frames_BED, lens_B = encoder(io["feats"], io["lens"])
    assert lens_B.tolist() == io["enc_mask"].sum((1, 2)).tolist() == [160, 100]
    for row, length in enumerate(lens_B.tolist()):
        assert furthest(frames_BED[row, :length], io["enc_out"][row, :length]) <= 1e-4


@torch.no_grad()
def test_the_reference_inside(reference: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, io = reference
    padded = functional.pad(io["feats"][:1], (0, 0, 3, 0))
    frames = encoder.front(encoder.cmvn(padded))
    assert furthest(frames, io["subsampling_out_item0"]) <= 1e-4
    assert furthest(encoder.embed(frames) / encoder.embed.scale, io["embed_out_item0"]) <= 1e-4


def test_the_reference_as_a_stream_with_true_positions(reference: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, io = reference
    assert furthest(streamed(encoder, io["feats"][:1]), io["stream_fixedpos_enc_out"]) <= 1e-4


def test_the_published_size() -> None:
    with torch.device("meta"):
        encoder = Encoder(PUBLISHED.encoder)
    assert sum(p.numel() for p in encoder.parameters()) == 357_950_464
    assert sum(b.numel() for b in encoder.buffers()) == 160
    assert {sum(p.numel() for p in block.parameters()) for block in encoder.blocks} == {13_646_848}


def dense(attention: Attention, x_BED: Tensor, position_ED: Tensor) -> Tensor:
    """The formula as it is published: every query against every key, and a mask."""
    heads, (chunk, left), frames = attention.heads, (attention.window.chunk, attention.window.left), x_BED.shape[1]

    assert attention.pos is not None

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1)).transpose(-3, -2)

    q, k, v, r = (
        split(x) for x in (attention.q(x_BED), attention.k(x_BED), attention.v(x_BED), attention.pos(position_ED))
    )
    content, place = attention.content_bias[:, None], attention.position_bias[:, None]
    score = ((q + content) @ k.transpose(-1, -2) + (q + place) @ r.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    at = torch.arange(frames) // chunk
    hidden = (at[None] > at[:, None]) | (at[None] < at[:, None] - left)
    weights = score.masked_fill(hidden, -65_504).softmax(-1).masked_fill(hidden, 0)
    return attention.out((weights @ v).transpose(1, 2).flatten(2))


@settings(max_examples=40, deadline=None)
@given(chunk=st.integers(1, 5), left=st.integers(1, 6), chunks=st.integers(1, 20), batch=st.integers(1, 3))
@torch.no_grad()
def test_attention_by_groups_is_the_masked_formula(chunk: int, left: int, chunks: int, batch: int) -> None:
    attention = Attention(16, 2, Window(chunk, left))
    for value in attention.parameters():
        nn.init.normal_(value, std=0.3, generator=torch.Generator().manual_seed(value.numel()))
    x_BED = torch.randn(batch, chunk * chunks, 16, generator=torch.Generator().manual_seed(1))
    position_ED = positions(11, chunk * chunks, 16, x_BED)
    assert furthest(attention(x_BED, position_ED), dense(attention, x_BED, position_ED)) < 1e-5


def test_positions_are_sines_and_cosines_of_the_frame() -> None:
    table = positions(4, 3, 8, torch.zeros(()))
    assert table.shape == (3, 8)
    for row, frame in enumerate((4, 5, 6)):
        for pair in range(4):
            angle = frame / 10_000 ** (2 * pair / 8)
            assert table[row, 2 * pair : 2 * pair + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)])


def test_positions_are_exact_after_days() -> None:
    frame = 3 * 24 * 3_600 * 25
    assert positions(frame, 1, 8, torch.zeros(()))[0, 0].item() == pytest.approx(math.sin(frame), abs=1e-6)


def test_a_frame_sees_to_the_end_of_its_chunk_and_no_further() -> None:
    """Tick 10 changes with feature frame 175 and not with 176."""
    encoder, before = tiny().encoder, feats(30 * 16)
    out = whole(encoder, before)
    for frame, reaches in ((175, True), (176, False)):
        after = before.clone()
        after[:, frame] += 5
        assert torch.equal(whole(encoder, after)[:, 40:44], out[:, 40:44]) != reaches


def test_padding_changes_nothing() -> None:
    encoder, inputs = tiny().encoder, feats(20 * 16, batch=2)
    padded = inputs.clone()
    padded[1, 7 * 16 :] = 1e3
    with torch.no_grad():
        together, lens_B = encoder(padded, torch.tensor([320, 105]))
    assert lens_B.tolist() == [80, 28], "a chunk that has begun counts"
    assert furthest(together[1:, :28], whole(encoder, inputs[1:, : 7 * 16])) < 1e-4


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 60))
def test_what_is_no_whole_chunk_is_filled_up_with_zeros(frames: int) -> None:
    encoder, inputs = tiny().encoder, feats(frames)
    filled = functional.pad(inputs, (0, 0, 0, -frames % 16))
    assert torch.equal(whole(encoder, inputs), whole(encoder, filled))


@pytest.mark.parametrize(("chunk", "left"), [(4, 3), (4, 1), (2, 5)])
def test_a_stream_sees_what_the_whole_sees(chunk: int, left: int) -> None:
    encoder = small(chunk, left)
    inputs = feats(50 * 4 * chunk, batch=2)
    assert furthest(streamed(encoder, inputs), whole(encoder, inputs)) < 1e-4


def test_a_stream_beyond_200_seconds() -> None:
    """Upstream's table of positions ends at frame 5,000 and its stream wraps at 4,932."""
    encoder, inputs = tiny().encoder, feats(20 * 16)
    began = replace(encoder.start(), frames=4_920)
    here = streamed(encoder, inputs, began)
    assert furthest(here, whole(encoder, inputs, first=4_920)) < 1e-4
    assert furthest(here, whole(encoder, inputs)) > 1e-2, "positions matter"


def rotary() -> Encoder:
    torch.manual_seed(0)
    return stirred(Encoder(ENCODER.model_copy(update={"order": "rotary", "scaled": False})).eval())


def test_a_rotary_stream_sees_what_the_whole_sees_and_only_how_far_apart_frames_are() -> None:
    encoder, inputs = rotary(), feats(20 * 16, batch=2)
    straight = whole(encoder, inputs)
    assert furthest(streamed(encoder, inputs), straight) < 1e-4
    began = replace(encoder.start(2), frames=90_000)
    assert furthest(streamed(encoder, inputs, began), straight) < 1e-4
    names = {name for name, _ in encoder.named_parameters()}
    assert not any(name.endswith("attention.pos.weight") for name in names)


def test_rotary_frames_know_their_order() -> None:
    """Two frames of the past change places: without an order no later frame could tell."""
    attention = Attention(16, 2, Window(4, 3), "rotary")
    for value in attention.parameters():
        nn.init.normal_(value, std=0.3, generator=torch.Generator().manual_seed(value.numel()))
    x_BED = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1))
    swapped = x_BED.clone()
    swapped[:, [1, 2]] = x_BED[:, [2, 1]]
    place = positions(0, 16, 8, x_BED, 1_000)
    with torch.no_grad():
        assert furthest(attention(x_BED, place)[:, 12:], attention(swapped, place)[:, 12:]) > 1e-2


def test_long_recordings_go_through_the_front_end_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, inputs = tiny().encoder, feats(40 * 16)
    at_once = whole(encoder, inputs)
    monkeypatch.setattr("trainer.model.encoder.PIECE", 12)
    assert furthest(whole(encoder, inputs), at_once) < 1e-4


def tensors(state: EncoderState) -> list[Tensor]:
    return [state.feats_BTF, *(tensor for keys in state.keys for tensor in keys)]


def test_a_fork_leaves_its_parent_bit_identical() -> None:
    encoder, inputs = tiny().encoder, feats(20 * 16)
    state = encoder.start()
    for chunk in inputs[:, :160].split(16, dim=1):
        _, state = encoder.step(chunk, state)
    held = [tensor.clone() for tensor in tensors(state)]
    straight = streamed(encoder, inputs[:, 160:], state)
    branch = streamed(encoder, feats(320, seed=9), state.fork())
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), held, strict=True))
    assert torch.equal(streamed(encoder, inputs[:, 160:], state), straight)
    assert not torch.equal(branch[:, : straight.shape[1]], straight)


def test_a_state_keeps_the_window_and_no_more() -> None:
    encoder, state = Encoder(ENCODER).eval(), Encoder(ENCODER).eval().start()
    for chunk in feats(10 * 16).split(16, dim=1):
        _, state = encoder.step(chunk, state)
    assert state.frames == 40
    assert {keys.key_BHJC.shape for keys in state.keys} == {(1, 4, 12, 8)}
    assert max(tensor.untyped_storage().nbytes() for tensor in tensors(state)) <= 4 * (12 + 4) * 32


def test_recomputing_activations_changes_no_gradient() -> None:
    encoder = tiny().encoder.train()
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    gradients = []
    for encoder.gradient_checkpointing in (False, True):
        encoder.zero_grad()
        encoder(feats(160), torch.tensor([160]))[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(encoder.parameters())), "every weight is used"
    assert all(furthest(a, b) < 1e-4 for a, b in zip(*gradients, strict=True))


def test_bfloat16_computes() -> None:
    encoder, inputs = tiny().encoder, feats(160)
    expected = whole(encoder, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        cast = whole(encoder, inputs)
    assert 0 < ((cast - expected).norm() / expected.norm()).item() < 0.05


def test_a_stream_with_dropout_is_refused() -> None:
    encoder = Encoder(ENCODER)
    with pytest.raises(ValueError, match=r"call eval\(\) first"):
        encoder.step(feats(16), encoder.start())


def test_another_number_of_features_is_refused() -> None:
    encoder = Encoder(ENCODER).eval()
    with pytest.raises(ValueError, match="16 feature frames, not 15"):
        encoder.step(feats(15), encoder.start())


@pytest.mark.parametrize("width", [30, 33])
def test_widths_that_do_not_divide_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        EncoderConfig(width=width, blocks=1, heads=4, ffn=8)
