"""Drafts from zeroed speech: parity with the public code, stops, batches, and what is logged."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.tiny_lm import WIDTH, numbers, random_llm, reference, speech, tensors, tiny
from trainer.model.drafting import Draft, Drafting, Onset, draft, draft_at, greedy
from trainer.model.duplex import Duplex, previous_tokens
from trainer.model.state import LMState
from trainer.tokens import ControlTokens

ENDLESS = Drafting(stop=(), max_tokens=12)


def prefilled(duplex: Duplex, rows: int = 1, ticks: int = 10) -> LMState:
    return duplex.prefill(*speech(rows, ticks))[1]


def renamed(duplex: Duplex, said: Collection[int], **roles: int) -> Duplex:
    """The same model with other ids for control tokens: some that a draft has ``said``, the others not."""
    vocabulary, bos = duplex.tokens.vocabulary, duplex.tokens.bos
    spare = [i for i in range(vocabulary) if i not in said and i != bos]
    ids = {role: roles[role] if role in roles else spare.pop() for role in ("pad", "sil", "boc", "hod", "stp", "eos")}
    return Duplex(duplex.llm, ControlTokens(**ids, bos=bos, vocabulary=vocabulary)).eval()


def equal(left: Draft, right: Draft) -> bool:
    close = all(
        np.allclose(getattr(left, name), getattr(right, name), atol=2e-3)
        for name in ("hidden_LD", "top_logits", "top_probabilities", "entropy_L", "log_probability_L")
    )
    return left.tokens == right.tokens and left.ended == right.ended and close


@pytest.mark.parametrize("together", [True, False])
def test_drafts_of_the_public_model_are_exact_to_the_printed_digits(together: bool):
    duplex, io, expected = reference(), tensors(), numbers()["generation"]
    points = [Onset(*map(int, name.split("_"))) for name in expected]
    drafts = draft_at(
        duplex, io["speech_emb"], io["targets"], points, Drafting(max_tokens=15), batch=8 if together else 1
    )
    for made, wanted in zip(drafts, expected.values(), strict=True):
        assert list(made.tokens) == wanted["tokens"]
        np.testing.assert_array_equal(made.top_ids, wanted["topk_ids"])
        np.testing.assert_array_equal(made.margin_L, np.float32(wanted["margin"]))
        np.testing.assert_allclose(made.entropy_L, wanted["entropy"], rtol=0, atol=5e-6)
        np.testing.assert_allclose(made.log_probability_L, wanted["logprob"], rtol=0, atol=5e-6)
        half = np.float16(wanted["hidden_first4"])
        np.testing.assert_allclose(made.hidden_LD[:, :4], half, rtol=2**-10, atol=0)  # one step of half precision
        np.testing.assert_array_equal(made.scalars_L3[:, 2], made.margin_L)


def test_numbers_are_those_of_the_logits():
    duplex = tiny()
    state = prefilled(duplex)
    (made,) = draft(duplex, state, Drafting(stop=(), max_tokens=1))
    step = duplex.step(torch.zeros(1, WIDTH), torch.tensor([duplex.tokens.bos]), state)
    expected = torch.distributions.Categorical(logits=step.logits_BV[0])
    token = int(step.logits_BV[0].argmax())
    assert made.tokens == (token,)
    assert made.entropy_L[0] == pytest.approx(float(expected.entropy()), abs=1e-5)
    assert made.log_probability_L[0] == pytest.approx(float(expected.log_prob(torch.tensor(token))), abs=1e-5)
    assert made.top_ids.shape == (1, 10)
    np.testing.assert_array_equal(made.top_probabilities[0], expected.probs[made.top_ids[0]].half().numpy())
    np.testing.assert_array_equal(made.hidden_LD[0], step.hidden_BD[0].half().numpy())
    assert [made.hidden_LD.dtype, made.top_logits.dtype, made.entropy_L.dtype] == [np.float16, np.float16, np.float32]


@pytest.mark.parametrize("role", ["eos", "sil"])
def test_a_draft_ends_with_the_stop_token(role: str):
    (free,) = draft(tiny(), prefilled(tiny()), ENDLESS)
    place = next(k for k in range(2, 12) if free.tokens[k] not in free.tokens[:k])
    duplex = renamed(tiny(), free.tokens, **{role: free.tokens[place]})
    (made,) = draft(duplex, prefilled(duplex))
    assert (made.tokens, made.ended) == (free.tokens[: place + 1], True)
    assert made.spoken == free.tokens[:place]
    assert len(made.hidden_LD) == place + 1


@pytest.mark.parametrize("role", ["stp", "boc"])
def test_other_control_tokens_end_a_draft_only_on_request(role: Any):
    (free,) = draft(tiny(), prefilled(tiny()), ENDLESS)
    place = next(k for k in range(2, 12) if free.tokens[k] not in free.tokens[:k])
    duplex = renamed(tiny(), free.tokens, **{role: free.tokens[place]})
    (on,) = draft(duplex, prefilled(duplex), Drafting(max_tokens=12))
    assert (on.tokens, on.ended) == (free.tokens, False)
    (off,) = draft(duplex, prefilled(duplex), Drafting(max_tokens=12, stop=("eos", "sil", role)))
    assert (off.tokens, off.ended) == (free.tokens[: place + 1], True)


def test_a_draft_is_cut_and_its_log_is_shorter_still():
    (made,) = draft(tiny(), prefilled(tiny()), Drafting(stop=(), max_tokens=9, logged=4, top=3))
    assert (len(made.tokens), made.ended, made.spoken) == (9, False, made.tokens)
    assert made.hidden_LD.shape == (4, WIDTH)
    assert made.top_ids.shape == made.top_logits.shape == made.top_probabilities.shape == (4, 3)
    assert made.scalars_L3.shape == (4, 3)


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_many_points_at_once_draft_what_each_would_alone(family: str):
    duplex = Duplex(random_llm(family), tiny().tokens)
    speech_BKD, token_BK = speech(3, 20)
    points = [Onset(2, 19), Onset(0, 0), Onset(1, 7), Onset(0, 12), Onset(2, 3)]
    alone = [draft_at(duplex, speech_BKD, token_BK, [point], ENDLESS)[0] for point in points]
    for batch in (2, 64):
        together = draft_at(duplex, speech_BKD, token_BK, points, ENDLESS, batch=batch)
        assert all(map(equal, together, alone))
    assert len({made.tokens for made in alone}) > 1
    assert draft_at(duplex, speech_BKD, token_BK, [], ENDLESS) == []


def test_a_point_is_the_state_right_after_its_tick():
    duplex = tiny()
    speech_BKD, token_BK = speech(1, 20)
    (made,) = draft_at(duplex, speech_BKD, token_BK, [Onset(0, 12)], ENDLESS)
    previous_BK = previous_tokens(token_BK, duplex.tokens)
    _, state = duplex.prefill(speech_BKD[:, :13], previous_BK[:, :13])
    assert equal(draft(duplex, state, ENDLESS)[0], made)


def test_rows_that_end_early_leave_the_others_alone():
    speech_BKD, token_BK = speech(4, 20)
    points = [Onset(row, tick) for row in range(4) for tick in (3, 9, 15)]
    free = draft_at(tiny(), speech_BKD, token_BK, points, ENDLESS)
    eos = free[0].tokens[2]
    sil = next(t for made in free[1:] for t in made.tokens[4:] if t not in (eos, tiny().tokens.bos))
    duplex = renamed(tiny(), {token for made in free for token in made.tokens}, eos=eos, sil=sil)
    # [SIL] is fed at tick 0 alone, which is why the state is made with the old ids.
    _, state = tiny().prefill(speech_BKD, previous_tokens(token_BK, tiny().tokens))
    branches = state.after([p.row for p in points], [p.tick for p in points])
    batches: list[int] = []
    body = duplex.llm.base_model
    hook = body.register_forward_pre_hook(
        lambda _, __, given: batches.append(len(given["inputs_embeds"])), with_kwargs=True
    )
    made = draft(duplex, branches, Drafting(max_tokens=12))
    hook.remove()
    assert batches[0] == len(points)
    assert batches[-1] < len(points), "what has ended is dropped"
    lengths = set()
    for left, right in zip(made, free, strict=True):
        stops = [k for k, token in enumerate(right.tokens) if token in (eos, sil)]
        expected = right.tokens[: stops[0] + 1] if stops else right.tokens
        assert (left.tokens, left.ended) == (expected, bool(stops))
        assert len(left.hidden_LD) == len(expected)
        np.testing.assert_allclose(left.entropy_L, right.entropy_L[: len(expected)], atol=1e-5)
        lengths.add(len(expected))
    assert len(lengths) > 1


def test_drafting_leaves_the_state_bit_identical():
    duplex = tiny()
    state = prefilled(duplex, rows=2)
    before = [strip.seen_BHKC.clone() for layer in state.layers for strip in layer]
    draft(duplex, state, ENDLESS)
    after = [strip.seen_BHKC for layer in state.layers for strip in layer]
    assert all(map(torch.equal, before, after))
    assert state.length == 10
    step = duplex.step(torch.zeros(2, WIDTH), torch.tensor([1, 2]), state)
    rooms = [s.layers[0][0].room_BHKC.data_ptr() for s in (state, step.state)]
    assert rooms[0] == rooms[1], "the draft pays for its copy, not the conversation"


def test_steps_come_one_by_one():
    duplex = tiny()
    state = prefilled(duplex)
    tokens = [int(token_B) for token_B, _ in islice(greedy(duplex, state, torch.tensor([duplex.tokens.bos])), 5)]
    (made,) = draft(duplex, state, ENDLESS)
    assert tuple(tokens) == made.tokens[:5]


def test_training_mode_is_refused():
    duplex = Duplex(random_llm("qwen2"), tiny().tokens)
    state = prefilled(duplex)
    duplex.train()
    with pytest.raises(ValueError, match="evaluation mode"):
        draft(duplex, state)


def test_a_sure_model_has_no_entropy():
    """Probabilities that round to zero add nothing, not even not-a-number."""
    duplex = Duplex(random_llm("qwen2"), tiny().tokens).eval()
    with torch.no_grad():
        duplex.head.weight.mul_(1e4)
    (made,) = draft(duplex, prefilled(duplex), Drafting(stop=(), max_tokens=2))
    assert np.isfinite(made.entropy_L).all()
    assert made.log_probability_L[0] == pytest.approx(0, abs=1e-3)
