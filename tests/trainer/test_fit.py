"""Both stages on a dataset made on the spot: resumable to the same weights, refusing what cannot be trained on."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import Tiny, built
from tests.trainer.killing import killed_at
from tests.trainer.tiny_preset import STEPS, tiny
from trainer.failing import Diverged
from trainer.fit import Fit, fit
from trainer.model.fastpath import FastPath
from trainer.presets import PRESETS, Schedule, preset
from trainer.stages import run as running
from trainer.stages.run import freeze
from trainer.texts import FAR, Texts

__all__ = ["built"]

GRAMMAR = {"kind": "grammar", "grammar": "en"}


def config(built: Tiny, **changes: Any) -> Fit:
    return Fit(data=str(built.out), preset=tiny(), **changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def trained(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return fit(config(built), tmp_path_factory.mktemp("run") / "whole")


def test_a_run_leaves_a_fast_path_and_says_what_it_did(trained: Path) -> None:
    record = json.loads((trained.parent / "run.json").read_text())
    assert record["stages"]["duplex"]["step"] == STEPS
    assert record["data"]
    path = FastPath.load(trained)
    assert path.decode(path.encode("Go left at the bridge.")) == "Go left at the bridge."
    assert not same(weights(trained), weights(trained.parent / "begun"))


@pytest.mark.slow
@pytest.mark.parametrize("at", ["encoder", "duplex"])
def test_a_killed_run_goes_on_to_the_same_weights(
    built: Tiny, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    with killed_at(4 if at == "encoder" else STEPS + 4, monkeypatch):
        fit(config(built), tmp_path / "run")
    assert not (tmp_path / "run" / "fastpath").exists()
    again = fit(config(built), tmp_path / "run")
    assert same(weights(again), weights(trained))


@pytest.mark.slow
def test_written_dialogues_come_between_the_stages_and_are_not_read_twice(
    built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Schedule(steps=STEPS, batch_seconds=60, lr=1e-3, freeze="tower", notes=0.5, save_steps=2)
    preset = tiny(reading=alone.model_copy(update={"dialogues": 12}), duplex=alone.model_copy(update={"remembered": 1}))
    asked = config(built).model_copy(update={"preset": preset, "texts": Texts(source=GRAMMAR, first=FAR)})
    whole = fit(asked, tmp_path / "whole")
    stages = [load_file(tmp_path / "whole" / name / "model.safetensors") for name in ("encoder", "reading", "duplex")]
    moved = [{name for name in one if not torch.equal(one[name], two[name])} for one, two in pairwise(stages)]
    assert all(names and not any(name.startswith("tower.") for name in names) for names in moved)

    with killed_at(STEPS + 4, monkeypatch):
        fit(asked, tmp_path / "run")
    assert same(weights(fit(asked, tmp_path / "run")), weights(whole))
    fold = fit(asked, tmp_path / "fold", rows=[0, 1, 2], after=whole.parent)
    assert not (fold.parent / "reading").exists(), "a fold sets out from where the whole run had read"
    assert not list(tmp_path.rglob("heard-*"))


def test_texts_that_nothing_would_read_are_refused(built: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the preset tiny has no stage that reads them"):
        fit(config(built, texts=Texts(source=GRAMMAR)), tmp_path)


def test_a_saved_fast_path_is_the_same_fast_path(trained: Path, tmp_path: Path) -> None:
    path = FastPath.load(trained)
    path.save(tmp_path / "copy")
    assert same(weights(tmp_path / "copy"), weights(trained))
    samples = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1
    copy = FastPath.load(tmp_path / "copy")
    lengths = torch.tensor([16_000])
    assert torch.equal(path.speech(samples, lengths)[0], copy.speech(samples, lengths)[0])


def test_another_run_is_not_mixed_in(built: Tiny, trained: Path) -> None:
    with pytest.raises(ValueError, match="holds another run"):
        fit(config(built, seed=2), trained.parent)


def test_a_folder_without_a_fast_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no fast path; train one with"):
        FastPath.load(tmp_path)


def test_a_loss_that_is_no_number_ends_the_run_with_the_remedy(
    built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LOG_STEPS", 1)
    wild = tiny().encoder.model_copy(update={"lr": 1e12, "clip": 1e12, "steps": 20})
    with pytest.raises(Diverged, match=r"the loss is (nan|inf) at step \d+; lower the learning rate"):
        fit(Fit(data=str(built.out), preset=tiny(encoder=wild)), tmp_path / "run")


def test_what_is_frozen_does_not_learn(trained: Path) -> None:
    path = FastPath.load(trained)
    freeze(path, "released and llm")
    learning = {name for name, value in path.named_parameters() if value.requires_grad}
    assert not any(
        name.startswith(("duplex.llm", "tower.encoder.front", "tower.encoder.blocks.0.")) for name in learning
    )
    assert any(name.startswith("tower.encoder.blocks.1.") for name in learning)
    assert any(name.startswith("tower.adapter") for name in learning)
    freeze(path, "nothing")
    assert all(value.requires_grad for value in path.parameters())


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="preset 'huge' is unknown; there are: embedded, small, paper"):
        preset("huge")
    assert all(PRESETS[name].name == name for name in PRESETS)
