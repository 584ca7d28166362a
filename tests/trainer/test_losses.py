"""Losses: parity with the public code, weights, padding and what gradients reach."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.tiny_lm import TOKENS, WIDTH, built, numbers, reference, speech, tensors, tiny
from trainer.losses import IGNORED, WeightedMean, duplex_loss, transcription, transcription_loss, transcriptions
from trainer.model.duplex import previous_tokens
from trainer.targets import ClassWeights, Transcript, class_weights


def weight(tokens=TOKENS, **changes: float) -> torch.Tensor:
    return torch.from_numpy(class_weights(tokens, ClassWeights(**changes)))


def segments() -> list[list[Transcript]]:
    return [
        [Transcript(0, 4, (51, 7, 8, 0), "turn"), Transcript(6, 8, (51, 9, 0), "turn")],
        [],
        [Transcript(5, 10, (51, 3, 4, 5, 6, 0), "turn")],
    ]


@pytest.mark.parametrize(("sil", "name"), [(0.2, "stage2_loss_sil_weight_0.2"), (1.0, "stage2_loss_unweighted")])
def test_the_duplex_loss_of_the_public_code(sil: float, name: str):
    duplex, io = reference(), tensors()
    with torch.no_grad():
        out = duplex(io["speech_emb"], previous_tokens(io["targets"], duplex.tokens))
    loss = duplex_loss(out.logits_BKV, io["targets"], weight(duplex.tokens, sil=sil)).mean
    assert float(loss) == pytest.approx(numbers()[name], abs=2e-6)
    assert f"{float(loss):.5f}" == f"{numbers()[name]:.5f}"


@pytest.mark.parametrize(("most", "name"), [(128, "stage1_loss"), (4, "stage1_loss_max_seq_len_4")])
def test_the_transcription_loss_of_the_public_code(most: int, name: str):
    duplex, io, expected = reference(), tensors(), numbers()
    found = [
        [Transcript(s["start"], s["end"], tuple(s["tokens"]), "turn") for s in conversation]
        for conversation in expected["stage1_segments"]
    ]
    with torch.no_grad():
        batch = transcription(duplex, io["speech_emb"], found, max_tokens=most)
        assert batch is not None
        logits_SLV = duplex.logits(duplex.run(batch.input_SLD))
    loss = transcription_loss(logits_SLV, batch.label_SL).mean
    assert f"{float(loss):.5f}" == f"{expected[name]:.5f}"
    if most == 128:
        taught = batch.label_SL != IGNORED
        assert list(logits_SLV.shape) == expected["stage1_logits_shape"]
        torch.testing.assert_close(logits_SLV[taught], io["stage1_logits"][taught], rtol=0, atol=1e-6)


def test_the_mean_is_that_of_pytorch_and_padding_counts_nothing():
    draw = torch.Generator().manual_seed(0)
    logits_BKV = torch.randn(2, 9, TOKENS.vocabulary, generator=draw)
    token_BK = torch.randint(0, TOKENS.vocabulary, (2, 9), generator=draw)
    token_BK[:, 2:5] = TOKENS.sil
    token_BK[1, 5:] = TOKENS.pad
    weight_V = weight(stp=3.0)
    expected = F.cross_entropy(
        logits_BKV.flatten(0, 1), token_BK.flatten(), weight=weight_V, ignore_index=TOKENS.pad, reduction="mean"
    )
    loss = duplex_loss(logits_BKV, token_BK, weight_V)
    torch.testing.assert_close(loss.mean, expected)
    halves = [duplex_loss(logits_BKV[k : k + 1], token_BK[k : k + 1], weight_V) for k in range(2)]
    merged = WeightedMean(*(torch.stack(part).sum() for part in zip(*halves, strict=True)))
    torch.testing.assert_close(merged.mean, expected)
    logits_BKV[1, 5:] = torch.randn(4, TOKENS.vocabulary, generator=draw)
    assert torch.equal(duplex_loss(logits_BKV, token_BK, weight_V).mean, loss.mean)


def test_a_lighter_class_counts_less():
    logits_BKV = torch.zeros(1, 2, TOKENS.vocabulary)
    logits_BKV[0, 0, TOKENS.sil] = 9.0  # right about silence, at a loss about the text
    token_BK = torch.tensor([[TOKENS.sil, 7]])
    losses = [float(duplex_loss(logits_BKV, token_BK, weight(sil=sil)).mean) for sil in (1.0, 0.2, 0.0)]
    assert losses == sorted(losses)
    assert losses[0] < losses[1] < losses[2]


def test_low_precision_logits_are_summed_in_float32():
    logits_BKV = torch.randn(1, 50, TOKENS.vocabulary, generator=torch.Generator().manual_seed(0)).bfloat16()
    token_BK = torch.arange(50)[None]
    low = duplex_loss(logits_BKV, token_BK, weight())
    assert low.mean.dtype == torch.float32
    torch.testing.assert_close(low.mean, duplex_loss(logits_BKV.float(), token_BK, weight()).mean)


def test_a_user_segment_is_speech_special_embedding_and_tokens():
    duplex = tiny()
    speech_BKD, _ = speech(3, 10)
    batch = transcription(duplex, speech_BKD, segments())
    assert batch is not None
    assert batch.input_SLD.shape == (3, 12, WIDTH)
    x = IGNORED
    assert batch.label_SL.tolist() == [
        [x, x, x, x, 51, 7, 8, 0, x, x, x, x],
        [x, x, 51, 9, 0, x, x, x, x, x, x, x],
        [x, x, x, x, x, 51, 3, 4, 5, 6, 0, x],
    ]
    assert torch.equal(batch.input_SLD[1, :2], speech_BKD[0, 6:8])
    assert torch.equal(batch.input_SLD[1, 2], duplex.adapter_special_embedding)
    assert torch.equal(batch.input_SLD[1, 3:6], duplex.embedding(torch.tensor([51, 9, 0])))
    assert not batch.input_SLD[1, 6:].any()


def test_batches_of_similar_length_teach_the_same():
    duplex, (speech_BKD, _) = tiny(), speech(3, 10)
    with torch.no_grad():
        whole = transcription(duplex, speech_BKD, segments())
        apart = transcriptions(duplex, speech_BKD, segments(), fill=0.9)
        assert whole is not None
        assert len(apart) > 1
        found = [transcription_loss(duplex.logits(duplex.run(one.input_SLD)), one.label_SL) for one in [whole, *apart]]
    torch.testing.assert_close(sum(one.total for one in found[1:]), found[0].total)
    assert sum(int(one.weight) for one in found[1:]) == int(found[0].weight)


def test_long_transcripts_are_cut():
    batch = transcription(tiny(), speech(3, 10)[0], segments(), max_tokens=3)
    assert batch is not None
    assert [row[row != IGNORED].tolist() for row in batch.label_SL] == [[51, 7, 8], [51, 9, 0], [51, 3, 4]]


def test_a_batch_without_user_speech_has_nothing_to_transcribe():
    assert transcription(tiny(), speech(1, 4)[0], [[]]) is None


def test_gradients_reach_speech_and_special_embedding_through_a_frozen_language_model():
    duplex = built()
    duplex.llm.requires_grad_(False)
    speech_BKD, _ = speech(3, 10)
    speech_BKD.requires_grad_()
    batch = transcription(duplex, speech_BKD, segments())
    assert batch is not None
    transcription_loss(duplex.logits(duplex.run(batch.input_SLD)), batch.label_SL).mean.backward()
    assert speech_BKD.grad is not None
    heard = [row.nonzero()[:, 0].tolist() for row in speech_BKD.grad.abs().sum(-1)]
    assert heard == [[0, 1, 2, 3, 6, 7], [], [5, 6, 7, 8, 9]]
    special = duplex.adapter_special_embedding.grad
    assert special is not None
    assert special.abs().sum() > 0
    assert all(w.grad is None for w in duplex.llm.parameters())
