"""A stage on kept speech vectors: the tower stays, a killed run goes on to the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.tiny import Tiny, built
from tests.trainer.killing import killed_at
from tests.trainer.tiny_preset import STEPS, tiny
from trainer.data.audio import Reader
from trainer.data.augment import Augment, Augmentation
from trainer.data.index import open_index
from trainer.data.loader import Pick
from trainer.fit import Fit, fit
from trainer.model.fastpath import FastPath
from trainer.presets import Preset, Schedule
from trainer.stages import run as running
from trainer.stages.hearing import level, remember
from trainer.stages.objectives import SPEECH, Conversing
from trainer.targets import label_ticks

__all__ = ["built"]


def remembering() -> Preset:
    """Stage 1 without the language model, stage 2 without the tower."""
    encoder = tiny().encoder.model_copy(update={"words": 1.0, "transcribe": 0.0, "excerpts": True})
    duplex = Schedule(
        steps=STEPS, batch_seconds=40, lr=1e-3, freeze="tower", remembered=2, notes=0.5, deafened=0.4, save_steps=2
    )
    return tiny(encoder=encoder, duplex=duplex)


def test_variants_differ_and_are_made_once(built: Tiny, tmp_path: Path) -> None:
    index = open_index(str(built.out), "train")
    path = FastPath.begin(remembering(), ["Go left.", "Turn right at the bridge, please."])
    objective = Conversing(path, Schedule(steps=1, batch_seconds=40, lr=1e-3, stretch=0.1), 1).train()
    kept = remember(objective, index, tmp_path, 2, Augment(Augmentation(), 1))
    files = sorted(tmp_path.iterdir())
    made = [file.stat().st_mtime_ns for file in files]
    remember(objective, index, tmp_path, 2, Augment(Augmentation(), 1))
    assert [file.stat().st_mtime_ns for file in files] == made
    first, second, third = (kept[Pick(epoch, 0, 0)] for epoch in range(3))
    assert first.targets[SPEECH].shape == (label_ticks(first.row.num_samples), 16)
    assert not torch.equal(torch.from_numpy(first.targets[SPEECH]), torch.from_numpy(second.targets[SPEECH]))
    assert torch.equal(torch.from_numpy(first.targets[SPEECH]), torch.from_numpy(third.targets[SPEECH]))


def test_speech_vectors_get_the_size_of_the_embeddings_and_say_what_they_said(built: Tiny) -> None:
    index = open_index(str(built.out), "train")
    path = FastPath.begin(remembering(), ["Go left.", "Turn right at the bridge, please."]).eval()
    assert path.heard is not None
    assert path.heard_norm is not None
    samples_BN = torch.from_numpy(Reader(index.folder).samples(index[0]))[None]
    with torch.no_grad():
        path.tower.adapter.project.weight.mul_(20)
        before_BKD, _ = path.speech(samples_BN, torch.tensor([samples_BN.shape[1]]))
        level(path, index)
        after_BKD, _ = path.speech(samples_BN, torch.tensor([samples_BN.shape[1]]))
        said = [path.heard(path.heard_norm(speech_BKD)) for speech_BKD in (before_BKD, after_BKD)]
        assert torch.cosine_similarity(*said, dim=-1).min() > 0.999
    size = path.duplex.embedding.weight.square().mean().sqrt()
    assert 0.5 < after_BKD.square().mean().sqrt() / size < 2 < before_BKD.square().mean().sqrt() / size


def test_silence_counts_what_the_stage_says() -> None:
    path = FastPath.begin(remembering(), ["Go left."])
    weight_V = Conversing(path, Schedule(steps=1, batch_seconds=40, lr=1e-3, silence=0.1)).weight_V
    assert isinstance(weight_V, torch.Tensor)
    usual = path.preset.weights
    found = weight_V[[path.tokens.sil, path.tokens.hod, path.tokens.bos]]
    assert found.tolist() == pytest.approx([0.1 * usual.sil, 0.1 * usual.hod, usual.bos])


def test_the_tower_stays_and_a_killed_run_goes_on(built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Fit(data=str(built.out), preset=remembering())
    whole = FastPath.load(fit(config, tmp_path / "whole"))
    with killed_at(STEPS + 4, monkeypatch):
        fit(config, tmp_path / "run")
    resumed = FastPath.load(fit(config, tmp_path / "run"))
    begun = FastPath.load(tmp_path / "whole" / "begun")
    heard = FastPath.load(tmp_path / "whole" / "begun")
    heard.load_weights(tmp_path / "whole" / "encoder" / running.WEIGHTS)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
        if name.startswith("tower."):
            assert torch.equal(value, heard.state_dict()[name]), name
    assert any(
        not torch.equal(value, begun.state_dict()[name])
        for name, value in heard.state_dict().items()
        if name.startswith("tower.encoder.blocks")
    )
    assert not list((tmp_path / "whole" / "duplex").glob("heard-*"))


def test_what_cannot_be_remembered_is_refused() -> None:
    with pytest.raises(ValidationError, match="remembered speech and dialogues need freeze: tower"):
        Schedule(steps=1, batch_seconds=40, lr=1e-3, remembered=1)
