"""The verifier equals the reference, and the decision for one draft equals the verifier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tests.trainer.references import references
from trainer.calibration import Calibration
from trainer.model.verifier import (
    MAX_STEPS,
    Decider,
    Verifier,
    VerifierCard,
    VerifierShape,
    fitted,
    load,
    load_released,
    save,
)

SMALL = VerifierShape(hidden_size=12, width=8)


def reference() -> tuple[Verifier, dict[str, Tensor]]:
    folder = references()
    state = load_file(folder / "verifier_state.safetensors")
    return fitted(state, VerifierShape(), "reference"), load_file(folder / "verifier_io.safetensors")


def random_verifier(seed: int = 0, shape: VerifierShape = SMALL) -> Verifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Verifier(shape).eval()


def random_drafts(batch: int, length: int, size: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, length, size, generator=generator),
        torch.randn(batch, length, 3, generator=generator),
    )


@pytest.mark.parametrize(("width", "count"), [(128, 167_809), (64, 71_617)])
def test_the_parameters_are_counted(width, count):
    assert Verifier(VerifierShape(width=width)).num_parameters() == count


def test_tensors_have_the_names_and_shapes_of_the_released_checkpoint():
    listed = json.loads((references() / "verifier_params.json").read_text())["tensors"]
    assert {n: list(t.shape) for n, t in Verifier(VerifierShape()).state_dict().items()} == listed


def test_logits_and_attention_equal_the_reference():
    verifier, io = reference()
    with torch.inference_mode():
        judged = verifier(io["hidden_states"], io["scalar_features"], io["mask"])
    torch.testing.assert_close(judged.logits_B, io["logits"].squeeze(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(judged.logits_B.sigmoid(), io["probs"], atol=1e-5, rtol=0)
    torch.testing.assert_close(judged.attention_BL, io["attn_weights"], atol=1e-5, rtol=0)
    empty = (io["mask"].sum(1) == 0).nonzero().flatten().tolist()
    assert empty, "the reference has a row without steps"
    assert judged.attention_BL[empty].abs().max() == 0


def test_the_decision_for_one_draft_equals_the_reference():
    verifier, io = reference()
    decider = Decider(verifier, 0.5, Calibration())
    for row, mask in enumerate(io["mask"].bool()):
        if mask.any():
            decision = decider.decide(io["hidden_states"][row, mask], io["scalar_features"][row, mask])
            assert decision.logit == pytest.approx(float(io["logits"][row]), abs=1e-5)
            assert decision.probability == pytest.approx(float(io["probs"][row]), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, MAX_STEPS), seed=st.integers(0, 99), threshold=st.floats(0, 1))
def test_the_decision_is_the_verifiers(length, seed, threshold):
    verifier, calibration = random_verifier(seed), Calibration(temperature=0.7, shift=-0.2)
    hidden_BLD, scalars_BL3 = random_drafts(1, length, seed=seed)
    with torch.inference_mode():
        logit = float(verifier(hidden_BLD, scalars_BL3, torch.ones(1, length)).logits_B)
    decision = Decider(verifier, threshold, calibration).decide(hidden_BLD[0], scalars_BL3[0])
    assert decision.logit == pytest.approx(logit, abs=1e-5)
    assert decision.probability == pytest.approx(float(calibration.probabilities(logit)), abs=1e-5)
    assert decision.commit == (decision.probability >= threshold)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, MAX_STEPS), extra=st.integers(0, MAX_STEPS), seed=st.integers(0, 99))
def test_padding_changes_nothing(length, extra, seed):
    verifier = random_verifier(seed)
    total = min(MAX_STEPS, length + extra)
    hidden_BLD, scalars_BL3 = random_drafts(2, total, seed=seed)
    mask_BL = (torch.arange(total) < length).expand(2, -1)
    with torch.inference_mode():
        long = verifier(hidden_BLD, scalars_BL3, mask_BL)
        short = verifier(hidden_BLD[:, :length], scalars_BL3[:, :length], mask_BL[:, :length])
    torch.testing.assert_close(long.logits_B, short.logits_B)
    assert long.attention_BL[:, length:].abs().sum() == 0
    torch.testing.assert_close(long.attention_BL.sum(1), torch.ones(2))


def test_a_draft_without_steps_is_judged_as_one_step_of_zeros_and_never_committed():
    verifier = random_verifier()
    decision = Decider(verifier, 0.0, Calibration()).decide(torch.zeros(0, 12), torch.zeros(0, 3))
    with torch.inference_mode():
        expected = float(verifier(torch.zeros(1, 1, 12), torch.zeros(1, 1, 3), torch.ones(1, 1)).logits_B)
    assert decision.logit == pytest.approx(expected, abs=1e-6)
    assert not decision.commit


def test_sixteen_steps_are_refused():
    hidden_BLD, scalars_BL3 = random_drafts(1, 16)
    with pytest.raises(ValueError, match="16 steps"):
        random_verifier()(hidden_BLD, scalars_BL3, torch.ones(1, 16))


def test_it_runs_in_bfloat16():
    hidden_BLD, scalars_BL3 = random_drafts(4, 5)
    verifier = random_verifier()
    with torch.inference_mode():
        exact = verifier(hidden_BLD, scalars_BL3, torch.ones(4, 5)).logits_B
        half = verifier.to(torch.bfloat16)(hidden_BLD, scalars_BL3, torch.ones(4, 5)).logits_B
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=0.05, rtol=0.05)


def test_every_parameter_learns():
    verifier = random_verifier().train()
    hidden_BLD, scalars_BL3 = random_drafts(8, MAX_STEPS)
    verifier(hidden_BLD, scalars_BL3, torch.ones(8, MAX_STEPS)).logits_B.square().sum().backward()
    still = [n for n, p in verifier.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert still == []


def test_the_decider_does_not_follow_later_training():
    verifier = random_verifier()
    decider = Decider(verifier, 0.5, Calibration())
    hidden_BLD, scalars_BL3 = random_drafts(1, 3)
    before = decider.decide(hidden_BLD[0], scalars_BL3[0])
    with torch.no_grad():
        for parameter in verifier.parameters():
            parameter.add_(1.0)
    assert decider.decide(hidden_BLD[0], scalars_BL3[0]) == before


def test_what_is_saved_is_loaded(tmp_path: Path):
    verifier = random_verifier(3)
    card = VerifierCard(
        shape=SMALL,
        words=5,
        threshold=0.83,
        calibration=Calibration(temperature=1.7, shift=0.4),
        rule="keep_good",
        judge="grammar",
        seed=1,
        data="abc",
        validation={"auroc": 0.9},
    )
    save(tmp_path, verifier, card)
    again, read = load(tmp_path)
    assert read == card
    for name, tensor in verifier.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_the_released_checkpoint_is_read_by_name(tmp_path: Path):
    state = load_file(references() / "verifier_state.safetensors")
    content = {"epoch": 3, "model_state_dict": state, "model_config": {"d_model": 128, "dropout": 0.3}}
    torch.save(content | {"val_auroc": 0.9, "val_ap_bad": 0.6, "history": []}, tmp_path / "best_model.pt")
    verifier = load_released(tmp_path / "best_model.pt")
    assert verifier.shape == VerifierShape(width=128, dropout=0.3)
    assert all(torch.equal(verifier.state_dict()[name], tensor) for name, tensor in state.items())
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="no verifier checkpoint"):
        load_released(tmp_path / "weights.pt")


def test_what_does_not_fit_is_named():
    state = random_verifier().state_dict()
    state["other"] = state.pop("head.bias")
    state["pos.weight"] = torch.zeros(20, 8)
    with pytest.raises(ValueError, match=r"head\.bias is missing; other is unknown; pos\.weight is ") as error:
        fitted(state, SMALL, "x.pt")
    assert "(20, 8), not (15, 8)" in str(error.value)
