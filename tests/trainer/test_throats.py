"""Other throats: nothing moves in time, nothing is drawn twice, no stretch changes nothing."""

from __future__ import annotations

import torch

from trainer import features
from trainer.stages.throats import _stretched, disguised

NAMES = ("a", "b", "c")


def speech() -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return features.features(torch.rand(3, 16_000, generator=draw) * 0.1)


def test_nothing_drawn_changes_nothing() -> None:
    feats_BTF = speech()
    torch.testing.assert_close(disguised(feats_BTF, NAMES, 0, 1, 0.0, 0), feats_BTF, rtol=0, atol=1e-4)


def test_what_is_drawn_depends_on_conversation_epoch_and_seed_alone() -> None:
    feats_BTF = speech()
    whole = disguised(feats_BTF, NAMES, 3, 1, 0.2, 8)
    single = disguised(feats_BTF[1:2], NAMES[1:2], 3, 1, 0.2, 8)
    torch.testing.assert_close(whole[1:2], single, rtol=0, atol=1e-5)
    for other in (disguised(feats_BTF, NAMES, 4, 1, 0.2, 8), disguised(feats_BTF, NAMES, 3, 2, 0.2, 8)):
        assert not torch.allclose(whole, other)


def test_frames_stay_apart() -> None:
    feats_BTF = speech()
    changed = feats_BTF.clone()
    changed[:, 50] += 1
    same = (disguised(feats_BTF, NAMES, 0, 1, 0.2, 0) == disguised(changed, NAMES, 0, 1, 0.2, 0)).all(-1)
    assert [t for t in range(same.shape[1]) if not same[:, t].all()] == [50]


def test_a_tone_moves_by_the_stretch() -> None:
    """A tone of 1,000 Hz read at 1.2 times each frequency is found where 833 Hz were."""
    time = torch.arange(16_000) / 16_000
    peak = {
        hertz: int(features.features(0.1 * torch.sin(2 * torch.pi * hertz * time))[50].argmax())
        for hertz in (1_000, 833)
    }
    tone = features.features(0.1 * torch.sin(2 * torch.pi * 1_000 * time))
    assert abs(int((tone[50] @ _stretched(64, 0.2)).argmax()) - peak[833]) <= 1
    assert peak[833] < peak[1_000] - 2


def test_every_bin_is_a_mean_of_neighbours() -> None:
    for step in (-64, -7, 0, 33, 64):
        weights = _stretched(step, 0.25)
        torch.testing.assert_close(weights.sum(0), torch.ones(80))
        assert ((weights > 0).sum(0) <= 2).all()
        assert (weights >= 0).all()


def test_a_hidden_band_is_the_mean() -> None:
    feats_BTF = speech()
    found = disguised(feats_BTF, NAMES, 0, 1, 0.0, 40)
    for row in range(3):
        flat = [f for f in range(80) if torch.allclose(found[row, :, f], found[row, :1, f])]
        assert len(flat) <= 40
        assert not flat or flat == list(range(flat[0], flat[-1] + 1))
