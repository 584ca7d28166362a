"""From a run to a bundle: what is in it, where its thresholds come from, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runtime.test_bundle import gate
from tests.tiny import Tiny, built
from tests.trainer.runs import copied, with_fast_path
from trainer.aside import write_text
from trainer.evaluate.evaluation import Evaluation, Part, Subject
from trainer.evaluate.grading import Scale
from trainer.evaluate.matching import Counts
from trainer.evaluate.scores import Scored, table
from trainer.evaluate.stops import FalseStarts
from trainer.evaluate.thresholds import Calibrated
from trainer.evaluate.turntaking import OperatingPoints, Setting, TurnTaking
from trainer.export import export
from trainer.firing import Thresholds
from trainer.model import verifier as verifiers
from trainer.publishing import publish
from trainer.runtime.bundle import MANIFEST, Bundle, Defaults, digest
from trainer.targets import Rules

__all__ = ["built"]

CHOSEN = Thresholds(bos=0.31, stp=0.22, boc=0.13)


def figures(run: Path) -> Evaluation:
    """An evaluation of the run's fast path that has chosen thresholds."""
    part = Part(data="d", split="validation", fingerprint="f", conversations=7, of=9, dialogues=7, hours=1.0)
    calibrated = Calibrated(thresholds=CHOSEN, mode="free", conversations=7, f1={})
    one = Scored(id="a", counts={kind: Counts(tp=1) for kind in ("bos", "sil", "stp", "boc")})
    nothing = table("Free-running, thresholds", [one], {}, 0)
    return Evaluation(
        subject=Subject(preset="tiny", weights=digest(run / "fastpath/model.safetensors")[:16], verifier=None),
        validation=part,
        test=part.model_copy(update={"split": "test"}),
        paper=None,
        judge=Scale(judge="nobody", low=0, best=1, whole=True, meaning="nothing"),
        turn_taking=TurnTaking(
            forced=nothing,
            forced_calibrated=None,
            free=nothing,
            stops=None,
            false_starts=FalseStarts(),
            points=OperatingPoints(forced=calibrated, free=calibrated),
            setting=Setting(rules=Rules()),
        ),
        seed=0,
    )


@pytest.fixture(scope="module")
def bare(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a fast path alone."""
    return with_fast_path(tmp_path_factory.mktemp("bare"), built)


@pytest.fixture(scope="module")
def run(bare: Path, built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything."""
    folder = tmp_path_factory.mktemp("whole") / "talker"
    shutil.copytree(bare, folder)
    verifiers.save(folder / "kfold/verifier", *gate())
    (folder / "kfold/verifier/training.pt").write_text("not for the bundle")
    write_text(folder / "evaluation/evaluation.json", figures(folder).model_dump_json())
    write_text(folder / "plan.json", json.dumps({"fit": {"data": str(built.out)}}))
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle; read it only."""
    return export(run, tmp_path_factory.mktemp("out") / "bundle").folder


def test_a_bundle_has_all_of_a_run_that_the_runtime_needs(run: Path, bundle: Path) -> None:
    found = Bundle.load(bundle)
    assert found.manifest.name == "talker"
    assert found.manifest.thresholds == CHOSEN
    assert found.manifest.defaults.words == 5
    assert found.verifier is not None
    assert digest(bundle / "fast_path/model.safetensors") == digest(run / "fastpath/model.safetensors")
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert names == {*found.manifest.files, MANIFEST}
    assert not any("training" in name for name in names)
    card = (bundle / "README.md").read_text()
    assert card.startswith("---\n")
    assert "Free-running, thresholds" in card
    for licence in json.loads(
        (Path(json.loads((run / "plan.json").read_text())["fit"]["data"]) / "manifest.json").read_text()
    )["licences"]:
        assert f"- {licence}" in card


def test_an_export_is_the_same_twice_and_takes_the_place_of_the_one_before(run: Path, tmp_path: Path) -> None:
    first = export(run, tmp_path / "out").manifest
    (tmp_path / "out/README.md").write_text("edited")
    again = export(run, tmp_path / "out", defaults=Defaults(mode="s2s", language="de")).manifest
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    changed = {name for name in first.files if first.files[name] != again.files[name]}
    assert changed <= {"README.md"}
    assert (again.defaults.mode, again.defaults.language, again.defaults.words) == ("s2s", "de", 5)


def test_what_fails_leaves_what_was_there(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = export(run, tmp_path / "out").manifest

    def broken(*_: Any) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("trainer.export.card", broken)
    with pytest.raises(OSError, match="disk full"):
        export(run, tmp_path / "out", name="another")
    assert Bundle.load(tmp_path / "out").manifest == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_something_else_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds something else than a bundle"):
        export(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_thresholds_are_chosen_on_validation_where_no_evaluation_has(bare: Path, built: Tiny, tmp_path: Path) -> None:
    data = copied(built, tmp_path / "data", train=None)
    found = export(bare, tmp_path / "out", data=str(data))
    assert "validation" in found.manifest.thresholds_from
    assert found.decider is None
    assert "no verifier" in (tmp_path / "out/README.md").read_text()


def test_without_anything_to_choose_thresholds_on_the_remedy_is_told(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither an evaluation nor a plan.json .* --data"):
        export(bare, tmp_path / "out")
    with pytest.raises(ValueError, match=r"trainer evaluate .* --out .*evaluation"):
        export(bare, tmp_path / "out", data=str(tmp_path / "nothing"))
    assert not (tmp_path / "out").exists()


def test_figures_of_another_fast_path_are_refused(run: Path, bare: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(bare, folder)
    found = figures(run)
    found = found.model_copy(update={"subject": found.subject.model_copy(update={"weights": "0" * 16})})
    write_text(folder / "evaluation/evaluation.json", found.model_dump_json())
    with pytest.raises(ValueError, match="of another fast path"):
        export(folder, tmp_path / "out")
    write_text(folder / "evaluation/evaluation.json", "{}")
    with pytest.raises(ValueError, match="cannot be read"):
        export(folder, tmp_path / "out")
    with pytest.raises(ValueError, match=r"evaluation: no evaluation.json"):
        export(run, tmp_path / "out", evaluation=tmp_path)


def test_another_number_of_words_than_the_verifier_s_is_refused(run: Path, bare: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trained on prefixes of 5"):
        export(run, tmp_path / "out", defaults=Defaults(words=3))
    shutil.copytree(bare, tmp_path / "run")
    write_text(tmp_path / "run/evaluation/evaluation.json", figures(bare).model_dump_json())
    assert export(tmp_path / "run", tmp_path / "out", defaults=Defaults(words=3)).manifest.defaults.words == 3


def test_parts_that_do_not_fit_and_an_empty_run_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no fast path"):
        export(tmp_path / "nothing", tmp_path / "out")
    shutil.copytree(run, tmp_path / "run")
    verifiers.save(tmp_path / "run/kfold/verifier", *gate(24))
    with pytest.raises(ValueError, match="hidden states of 24"):
        export(tmp_path / "run", tmp_path / "out")


class Hub:
    """What publishing asks of ``huggingface_hub.HfApi``, written down."""

    endpoint = "https://hub"
    there: tuple[str, ...] = ()
    is_private = False
    tags: tuple[str, ...] = ()

    def __init__(self, token: str) -> None:
        self.token = token
        type(self).calls = []

    calls: list[tuple[str, Any]]

    def create_repo(self, repo: str, **how: Any) -> None:
        self.calls.append(("create", how))

    def repo_info(self, repo: str) -> Any:
        return SimpleNamespace(private=self.is_private)

    def list_repo_files(self, repo: str) -> list[str]:
        return [*self.there, ".gitattributes"]

    def list_repo_refs(self, repo: str) -> Any:
        return SimpleNamespace(tags=[SimpleNamespace(name=tag) for tag in self.tags])

    def upload_folder(self, **how: Any) -> Any:
        if how["repo_id"] == "no/rights":
            raise OSError(f"403 for {self.token}\nmore")
        self.calls.append(("upload", how))
        return SimpleNamespace(oid="abc")

    def create_tag(self, repo: str, **how: Any) -> None:
        self.calls.append(("tag", how))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    """In the place of the client, with a token in the environment."""

    class Own(Hub):
        """Of one test."""

    monkeypatch.setattr("huggingface_hub.HfApi", Own)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return Own


def test_publishing_sends_the_bundle_s_files_and_no_others(bundle: Path, hub: type[Hub]) -> None:
    made = publish(bundle, "somebody/talker", private=False, tag="v1")
    (_, created), (_, sent), (_, tagged) = hub.calls
    assert created == {"private": False, "exist_ok": True}
    assert set(sent["allow_patterns"]) == {*Bundle.load(bundle).manifest.files, MANIFEST}
    assert tagged == {"tag": "v1", "revision": "abc"}
    assert made == ("https://hub/somebody/talker", "abc", len(sent["allow_patterns"]), made.nbytes)
    assert "hf_secret" not in str(hub.calls)


def test_a_dry_run_asks_nothing(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    made = publish(bundle, "somebody/talker", dry_run=True)
    assert made.commit == ""
    assert made.nbytes == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    with pytest.raises(ValueError, match="set HF_TOKEN"):
        publish(bundle, "somebody/talker")


@pytest.mark.parametrize(
    ("there", "how", "said"),
    [
        ({"there": ("weights.bin",)}, {}, "something else than a bundle"),
        ({"tags": ("v1",)}, {"tag": "v1"}, "has a tag v1"),
        ({}, {"private": True}, "is public already"),
    ],
)
def test_a_repository_that_is_not_for_it_stays_as_it_is(
    bundle: Path, hub: type[Hub], there: dict[str, Any], how: dict[str, Any], said: str
) -> None:
    for name, value in there.items():
        setattr(hub, name, value)
    with pytest.raises(ValueError, match=said):
        publish(bundle, "somebody/talker", **how)
    assert [what for what, _ in hub.calls] == ["create"]


def test_what_the_hub_refuses_is_one_line_without_the_token(bundle: Path, hub: type[Hub]) -> None:
    with pytest.raises(ValueError, match=r"\Athe Hub refuses no/rights: 403 for \*\*\*; [^\n]+\Z"):
        publish(bundle, "no/rights")
