"""Speech to losses and drafts in one go: the whole tiny model of the public code, from its weights and features."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from tests.trainer.tiny_lm import numbers, reference, state_file, tensors
from trainer.losses import duplex_loss, transcription, transcription_loss
from trainer.model.drafting import Drafting, Onset, draft_at
from trainer.model.duplex import previous_tokens
from trainer.model.encoder import EncoderConfig
from trainer.model.loading import load_adapter, load_encoder
from trainer.model.tower import Tower, TowerConfig
from trainer.targets import ClassWeights, Transcript, class_weights

SHAPE = TowerConfig(encoder=EncoderConfig(width=64, blocks=2, heads=4, ffn=128, left=2), inner=128, out=48)


@cache
def vectors() -> Tensor:
    """Speech vectors of the reference's features."""
    tower = Tower(SHAPE).eval()
    load_encoder(tower.encoder, state_file())
    load_adapter(tower.adapter, state_file())
    io = tensors()
    with torch.no_grad():
        speech_BKD, ticks_B = tower(io["feats"], io["lens"])
    assert ticks_B.tolist() == io["attention_mask"].sum(1).tolist()
    return speech_BKD


def test_speech_vectors():
    io = tensors()
    heard_BK = io["attention_mask"].bool()
    torch.testing.assert_close(vectors()[heard_BK], io["speech_emb"][heard_BK], rtol=0, atol=1e-4)


def test_losses_are_exact_to_the_printed_digits():
    duplex, io, expected = reference(), tensors(), numbers()
    with torch.no_grad():
        out = duplex(vectors(), previous_tokens(io["targets"], duplex.tokens))
    found = [
        [Transcript(s["start"], s["end"], tuple(s["tokens"]), "turn") for s in conversation]
        for conversation in expected["stage1_segments"]
    ]
    for sil, name in ((0.2, "stage2_loss_sil_weight_0.2"), (1.0, "stage2_loss_unweighted")):
        weight_V = torch.from_numpy(class_weights(duplex.tokens, ClassWeights(sil=sil)))
        assert f"{float(duplex_loss(out.logits_BKV, io['targets'], weight_V).mean):.5f}" == f"{expected[name]:.5f}"
    for most, name in ((128, "stage1_loss"), (4, "stage1_loss_max_seq_len_4")):
        with torch.no_grad():
            batch = transcription(duplex, vectors(), found, max_tokens=most)
            assert batch is not None
            logits_SLV = duplex.logits(duplex.run(batch.input_SLD))
        assert f"{float(transcription_loss(logits_SLV, batch.label_SL).mean):.5f}" == f"{expected[name]:.5f}"


def test_drafts():
    duplex, io, expected = reference(), tensors(), numbers()["generation"]
    points = [Onset(*map(int, name.split("_"))) for name in expected]
    drafts = draft_at(duplex, vectors(), io["targets"], points, Drafting(max_tokens=15))
    for made, wanted in zip(drafts, expected.values(), strict=True):
        assert list(made.tokens) == wanted["tokens"]
        np.testing.assert_allclose(made.entropy_L, wanted["entropy"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(made.log_probability_L, wanted["logprob"], rtol=0, atol=1e-5)
