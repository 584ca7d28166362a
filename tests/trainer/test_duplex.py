"""The duplex language model: parity, streaming, branches, vocabulary and precision."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.tiny_lm import (
    FAMILIES,
    SHAPE,
    TOKENS,
    WIDTH,
    built,
    embedding_of,
    random_llm,
    reference,
    speech,
    tensors,
    tiny,
)
from trainer.model.duplex import (
    QWEN25_05B,
    Duplex,
    PretrainedLlm,
    build_llm,
    fit_vocabulary,
    previous_tokens,
)
from trainer.model.state import LMState
from trainer.tokens import ControlTokens


def stream(duplex: Duplex, speech_BKD: Tensor, previous_BK: Tensor) -> tuple[Tensor, LMState]:
    """Logits tick by tick, and the last state."""
    state, logits = LMState(), []
    for tick in range(speech_BKD.shape[1]):
        step = duplex.step(speech_BKD[:, tick], previous_BK[:, tick], state)
        state = step.state
        logits.append(step.logits_BV)
    return torch.stack(logits, dim=1), state


def copied(state: LMState) -> list[Tensor]:
    return [strip.seen_BHKC.clone() for layer in state.layers for strip in layer]


def same(state: LMState, before: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(copied(state), before, strict=True))


def test_logits_of_the_public_model_are_equal_to_the_rounding_of_float32():
    """Processors add in different orders: 2.7e-6 between two of them."""
    duplex, io = reference(), tensors()
    with torch.no_grad():
        out = duplex(io["speech_emb"], previous_tokens(io["targets"], duplex.tokens))
    heard_BK = io["attention_mask"].bool()
    torch.testing.assert_close(out.logits_BKV[heard_BK], io["logits"][heard_BK], rtol=0, atol=1e-5)


def test_the_first_tick_is_fed_silence():
    assert previous_tokens(torch.tensor([[7, 8, 9]]), TOKENS).tolist() == [[TOKENS.sil, 7, 8]]


@pytest.mark.parametrize("family", FAMILIES)
def test_streaming_equals_offline(family: str):
    duplex = Duplex(random_llm(family), TOKENS)
    speech_BKD, previous_BK = speech(2, 40)
    with torch.no_grad():
        offline = duplex(speech_BKD, previous_BK)
    streamed_BKV, _ = stream(duplex, speech_BKD, previous_BK)
    torch.testing.assert_close(streamed_BKV, offline.logits_BKV, rtol=0, atol=1e-4)
    torch.testing.assert_close(duplex.logits(offline.hidden_BKD), offline.logits_BKV, rtol=0, atol=0)


@pytest.mark.slow
def test_streaming_equals_offline_for_ten_minutes():
    duplex = tiny()
    speech_BKD, previous_BK = speech(1, 3_750)
    with torch.no_grad():
        offline_BKV = duplex(speech_BKD, previous_BK).logits_BKV
    streamed_BKV, state = stream(duplex, speech_BKD, previous_BK)
    assert (streamed_BKV - offline_BKV).abs().max() <= 1e-4
    assert state.length == 3_750
    assert state.nbytes == 2 * 2 * 3_750 * (2 * WIDTH // 4) * 4  # layers, keys and values, ticks, heads x channels


@pytest.mark.parametrize("parts", [(40,), (1, 39), (39, 1), (13, 13, 14)])
def test_a_prefill_in_parts_equals_one(parts: tuple[int, ...]):
    duplex = tiny()
    speech_BKD, previous_BK = speech(2, 40)
    with torch.no_grad():
        offline = duplex(speech_BKD, previous_BK)
    state, found, at = LMState(), [], 0
    for part in parts:
        hidden, state = duplex.prefill(speech_BKD[:, at : at + part], previous_BK[:, at : at + part], state)
        found.append(hidden)
        at += part
    torch.testing.assert_close(torch.cat(found, dim=1), offline.hidden_BKD, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_a_fork_leaves_its_parent_bit_identical(family: str):
    duplex = Duplex(random_llm(family), TOKENS)
    speech_BKD, previous_BK = speech(1, 60)
    _, parent = stream(duplex, speech_BKD[:, :40], previous_BK[:, :40])
    before = copied(parent)
    expected = duplex.step(speech_BKD[:, 40], previous_BK[:, 40], parent.fork())
    branch = parent.fork()
    for tick in range(50):
        branch = duplex.step(torch.zeros(1, WIDTH), torch.tensor([tick]), branch).state
    assert same(parent, before)
    after = duplex.step(speech_BKD[:, 40], previous_BK[:, 40], parent)
    assert torch.equal(after.logits_BV, expected.logits_BV)
    assert same(parent, before), "its own continuation leaves it alone as well"


Moves = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.booleans()), min_size=1, max_size=14)


@settings(deadline=None, max_examples=25)
@given(Moves)
def test_any_tree_of_states_equals_the_offline_run_of_each_path(moves: list[tuple[int, int, bool]]):
    """A move takes any state made so far, perhaps a fork of it, and feeds it a token: all paths stay apart."""
    duplex = tiny()
    start_BKD, previous_BK = speech(1, 3)
    _, root = duplex.prefill(start_BKD, previous_BK)
    nodes: list[tuple[LMState, list[int]]] = [(root, [])]
    for pick, token, forked in moves:
        state, path = nodes[pick % len(nodes)]
        step = duplex.step(torch.zeros(1, WIDTH), torch.tensor([token]), state.fork() if forked else state)
        nodes.append((step.state, [*path, token]))
    for state, path in nodes:
        whole_BKD = torch.cat([start_BKD, torch.zeros(1, len(path), WIDTH)], dim=1)
        tokens_BK = torch.cat([previous_BK, torch.tensor([path], dtype=torch.long)], dim=1)
        _, expected = duplex.prefill(whole_BKD, tokens_BK)
        for found, wanted in zip(copied(state), copied(expected), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_states_that_continue_each_other_share_room_and_a_fork_copies_once():
    duplex = tiny()
    _, state = duplex.prefill(*speech(1, 5))
    first = duplex.step(torch.zeros(1, WIDTH), torch.tensor([1]), state).state
    again = duplex.step(torch.zeros(1, WIDTH), torch.tensor([2]), state).state
    branch = [duplex.step(torch.zeros(1, WIDTH), torch.tensor([3]), first.fork()).state]
    branch.append(duplex.step(torch.zeros(1, WIDTH), torch.tensor([3]), branch[0]).state)
    rooms = [s.layers[0][0].room_BHKC.data_ptr() for s in (state, first, again, *branch)]
    assert rooms[0] == rooms[1]
    assert len({rooms[1], rooms[2], rooms[3]}) == 3
    assert rooms[3] == rooms[4]


@pytest.mark.parametrize("family", FAMILIES)
def test_branches_of_different_lengths_go_on_as_each_would_alone(family: str):
    duplex = Duplex(random_llm(family), TOKENS)
    speech_BKD, previous_BK = speech(2, 24)
    _, state = duplex.prefill(speech_BKD, previous_BK)
    rows, ticks = [0, 1, 0, 1], [20, 3, 0, 23]
    together = state.after(rows, ticks)
    silence, token = torch.zeros(4, WIDTH), torch.tensor([5, 6, 7, 8])
    first = duplex.step(silence, token, together)
    second = duplex.step(silence, token + 1, first.state)
    for place, (row, tick) in enumerate(zip(rows, ticks, strict=True)):
        one = slice(place, place + 1)
        _, alone = duplex.prefill(speech_BKD[[row], : tick + 1], previous_BK[[row], : tick + 1])
        step = duplex.step(silence[one], token[one], alone)
        torch.testing.assert_close(first.logits_BV[one], step.logits_BV, rtol=0, atol=1e-4)
        step = duplex.step(silence[one], token[one] + 1, step.state)
        torch.testing.assert_close(second.logits_BV[one], step.logits_BV, rtol=0, atol=1e-4)
    chosen = duplex.step(silence[:2], token[[3, 1]] + 1, first.state.rows([3, 1]))
    torch.testing.assert_close(chosen.logits_BV, second.logits_BV[[3, 1]], rtol=0, atol=1e-5)


def test_branches_start_from_ticks_that_have_been():
    duplex = tiny()
    _, state = duplex.prefill(*speech(2, 5))
    with pytest.raises(ValueError, match="do not all lie in the 5 ticks so far"):
        state.after([0], [5])
    with pytest.raises(ValueError, match="rows are complete"):
        state.after([0, 1], [4, 2]).after([0], [1])


def test_a_model_that_does_more_than_a_linear_head_is_refused():
    llm = random_llm("gemma3_text", final_logit_softcapping=5.0)
    with pytest.raises(ValueError, match="scaling or capping"):
        Duplex(llm, TOKENS)


def test_widths_and_vocabularies_must_fit():
    more = TOKENS.model_copy(update={"vocabulary": 57})
    with pytest.raises(ValueError, match="56 rows for a vocabulary of 57; call fit_vocabulary"):
        Duplex(random_llm("qwen2"), more)
    with pytest.raises(ValueError, match=r"speech vectors are 8 wide, the language model 16.*adapter"):
        tiny()(torch.zeros(1, 3, 8), torch.zeros(1, 3, dtype=torch.long))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", [40, 50, 90])
def test_the_vocabulary_fits_and_text_rows_stay(tied: bool, rows: int):
    def fitted() -> Duplex:
        llm = random_llm("qwen2", vocab_size=rows, tie_word_embeddings=tied)
        fit_vocabulary(llm, TOKENS)
        return Duplex(llm, TOKENS)

    before = embedding_of(random_llm("qwen2", vocab_size=rows, tie_word_embeddings=tied))
    duplex = fitted()
    weight_VD = duplex.embedding.weight.detach()
    kept = min(rows, min(TOKENS.added))
    assert torch.equal(weight_VD[:kept], before[:kept])
    assert (duplex.head.weight is duplex.embedding.weight) == tied
    fresh = weight_VD[sorted({*range(kept, min(TOKENS.added)), *TOKENS.added})]
    assert all(not torch.equal(a, b) for a, b in pairwise(fresh))
    assert (fresh - weight_VD[:kept].mean(0)).abs().max() < 0.5, "near the mean of the others, whose spread is 0.3"
    assert torch.equal(fitted().head.weight, duplex.head.weight), "whatever the global generator gives"


def test_rows_of_a_checkpoint_can_be_kept():
    for rows in (53, 90):
        llm = random_llm("qwen2", vocab_size=rows)
        before = embedding_of(llm).detach().clone()
        fit_vocabulary(llm, TOKENS, fresh="kept")
        assert torch.equal(embedding_of(llm)[:rows], before[: TOKENS.vocabulary])
        assert len(embedding_of(llm)) == TOKENS.vocabulary


def test_the_shape_of_qwen25_has_the_parameters_of_the_paper():
    tokens = ControlTokens(
        pad=151665, bos=151666, sil=151667, boc=151668, hod=151669, stp=151670, eos=151643, vocabulary=151671
    )
    with torch.device("meta"):
        duplex = Duplex(build_llm(QWEN25_05B, tokens), tokens)
    assert sum(weight.numel() for weight in duplex.llm.parameters()) == 493_795_328
    assert duplex.adapter_special_embedding.shape == (896,)


def test_random_weights_come_from_the_seed_alone():
    torch.manual_seed(1)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    first, second = (embedding_of(build_llm(SHAPE, TOKENS, seed=4)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), drawn)
    assert not torch.equal(first, embedding_of(build_llm(SHAPE, TOKENS, seed=5)))


def test_a_folder_is_loaded_with_its_weights(tmp_path):
    llm = random_llm("llama", vocab_size=48)
    llm.save_pretrained(tmp_path)
    loaded = build_llm(PretrainedLlm(name=str(tmp_path)), TOKENS)
    assert torch.equal(embedding_of(loaded)[:48], embedding_of(llm))
    assert Duplex(loaded, TOKENS).width == WIDTH


def test_impossible_shapes_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="hidden must be an even multiple of heads"):
        build_llm(SHAPE.model_copy(update={"heads": 3}), TOKENS)
    with pytest.raises(ValueError, match=r"llm.name: no causal language model at .*nowhere.*hf download"):
        build_llm(PretrainedLlm(name=str(tmp_path / "nowhere")), TOKENS)


def test_names_are_those_of_the_public_checkpoints():
    names = set(tiny().state_dict())
    assert "adapter_special_embedding" in names
    assert all(name.startswith("llm.") for name in names - {"adapter_special_embedding"})
    assert tiny().adapter_special_embedding.abs().max() <= WIDTH**-0.5


def test_bfloat16_computes_near_float32():
    speech_BKD, previous_BK = speech(1, 12)
    with torch.no_grad():
        exact = built()(speech_BKD, previous_BK).logits_BKV
    master = Duplex(built().llm, TOKENS, compute=torch.bfloat16)
    logits_BKV = master(speech_BKD, previous_BK).logits_BKV
    assert logits_BKV.dtype == torch.bfloat16
    assert {weight.dtype for weight in master.parameters()} == {torch.float32}
    torch.testing.assert_close(logits_BKV.float(), exact, rtol=0.05, atol=0.02)
    wholly = built().to(torch.bfloat16).eval()
    streamed_BKV, state = stream(wholly, speech_BKD, previous_BK)
    assert state.layers[0][0].room_BHKC.dtype == torch.bfloat16
    torch.testing.assert_close(streamed_BKV.float(), exact, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(("master", "moves"), [(True, True), (False, False)])
def test_small_updates_reach_master_weights_and_are_lost_in_bfloat16(master: bool, moves: bool):
    """Adam at 3e-5 on weights of 0.02 to 0.03: a step is less than half the distance to the next bfloat16."""
    duplex = Duplex(built().llm, TOKENS, compute=torch.bfloat16 if master else None).train()
    weight = duplex.head.weight
    with torch.no_grad():
        weight.copy_(torch.empty_like(weight).uniform_(0.02, 0.03, generator=torch.Generator().manual_seed(0)))
    if not master:
        duplex.to(torch.bfloat16)
    weight = duplex.head.weight
    before = weight.detach().clone()
    optimizer = torch.optim.Adam([weight], lr=3e-5)
    for _ in range(3):
        optimizer.zero_grad()
        duplex(*speech(1, 8)).logits_BKV.float().logsumexp(-1).sum().backward()
        optimizer.step()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
    assert (not torch.equal(weight, before)) == moves


def test_gradients_reach_speech_and_language_model():
    duplex = built()
    speech_BKD, previous_BK = speech(2, 6)
    speech_BKD.requires_grad_()
    duplex(speech_BKD, previous_BK).logits_BKV.square().sum().backward()
    assert speech_BKD.grad is not None
    assert speech_BKD.grad.abs().sum() > 0
    assert all(w.grad is not None for name, w in duplex.named_parameters() if name.startswith("llm."))
