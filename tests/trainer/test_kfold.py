"""K folds end to end on a dataset made on the spot: nobody drafts what it was trained on, and a rerun does nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from datagen.core.rng import key
from tests.tiny import build_here, dialogue, write_recipe
from tests.trainer.tiny_preset import tiny
from trainer import kfold
from trainer.data.index import open_index
from trainer.evaluate.grading import Answer, Scale
from trainer.fit import Fit, fit
from trainer.folds import Folds
from trainer.kfold import KFold
from trainer.prefix_store import read_prefixes, written


class ByName:
    """Three of four are good, by their names."""

    scale = Scale(judge="by name", low=0, best=1, whole=False, meaning="by name")

    def sensible(self, asked: Sequence[Answer]) -> list[bool | None]:
        assert all(a.context[-1].speaker == "user" for a in asked)
        return [key(0, a.row.id + a.opening, "judge") % 4 > 0 if a.opening else None for a in asked]

    def quality(self, asked: Sequence[Answer]) -> list[float | None]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty short conversations."""
    folder = tmp_path_factory.mktemp("kfold")
    changes = {"conversations": 60, "conversations_per_shard": 20, "noise": None, "phenomena": None}
    recipe = write_recipe(folder, changes, [dialogue(number) for number in range(60)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datagen.report.write_report", lambda *_, **__: None)
        patch.setattr("datagen.card.write_card", lambda *_: "")
        build_here(recipe, folder / "out")
    return folder / "out"


@pytest.mark.slow
def test_prefixes_are_drafted_out_of_fold_and_a_verifier_comes_of_them(data: Path, tmp_path: Path) -> None:
    changes = {"steps": 60, "lr": 1e-2, "letters": 0.0, "transcribe": 0.0, "save_steps": 60}
    longer = tiny().duplex.model_copy(update=changes)
    config = Fit(data=str(data), preset=tiny(duplex=longer))
    fit(config, tmp_path / "full")
    folds_of = KFold(fit=config, folds=2)
    made = kfold.run(folds_of, tmp_path / "kfold", tmp_path / "full", ByName())
    assert (made / "verifier.safetensors").exists()
    folds = Folds.model_validate_json((tmp_path / "kfold" / "folds.json").read_text())
    index = open_index(str(data), "train")
    voice_of = dict(zip(index.ids, index.voices("user"), strict=True))
    train = tmp_path / "kfold" / "prefixes" / "train"
    assert written(train) == [0, 1]
    for fold in (0, 1):
        prefixes = read_prefixes(train, fold)
        assert {p.conversation for p in prefixes} <= {m.id for m in folds.held_out(fold)}
        trained_on = {m.id for m in folds.training(fold)}
        assert not {p.conversation for p in prefixes} & trained_on
        assert not {voice_of[p.conversation] for p in prefixes} & {voice_of[id_] for id_ in trained_on}
        assert all(p.judge == "by name" for p in prefixes if p.text)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    kfold.run(folds_of, tmp_path / "kfold", tmp_path / "full", ByName())
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert {p: t for p, t in after.items() if "verifier" not in str(p)} == {
        p: t for p, t in before.items() if "verifier" not in str(p)
    }


def test_a_run_that_is_not_finished_and_settings_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no finished run"):
        kfold.of_run(tmp_path, 3, "encoder")
    (tmp_path / "plan.json").write_text(json.dumps({"fit": Fit(data="d", preset=tiny()).model_dump(mode="json")}))
    with pytest.raises(ValueError, match="holds no finished run"):
        kfold.of_run(tmp_path, 3, "encoder")
    (tmp_path / "run.json").write_text("{}")
    assert kfold.of_run(tmp_path, 3, "nothing").folds == 3
    with pytest.raises(ValueError, match="share: "):
        kfold.of_run(tmp_path, 3, "everything")
    with pytest.raises(ValueError, match="fold 3 of 3"):
        kfold.draft_fold(kfold.of_run(tmp_path, 3, "encoder"), tmp_path / "kfold", tmp_path, 3)
