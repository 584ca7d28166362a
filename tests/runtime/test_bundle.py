"""A bundle is loaded whole and right, or refused in one line that says what is wrong with which file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.runtime.talker import talker
from trainer.calibration import Calibration
from trainer.firing import Thresholds
from trainer.model import verifier as verifiers
from trainer.model.verifier import Verifier, VerifierCard, VerifierShape
from trainer.runtime import golden
from trainer.runtime.bundle import MANIFEST, Bundle, Defaults, Manifest, digest

WIDTH = 16
THRESHOLDS = Thresholds(bos=0.4, stp=0.3, boc=0.2)


def gate(hidden: int = WIDTH) -> tuple[Verifier, VerifierCard]:
    """A verifier with random weights."""
    shape = VerifierShape(hidden_size=hidden, width=8)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        verifier = Verifier(shape).eval()
    card = VerifierCard(
        shape=shape,
        words=5,
        threshold=0.25,
        calibration=Calibration(),
        rule="keep_good",
        judge="nobody",
        seed=0,
        data="none",
        validation={},
    )
    return verifier, card


def listed(folder: Path) -> None:
    """Writes bundle.json for the files as they are."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
    files = {path.relative_to(folder).as_posix(): digest(path) for path in names}
    made = Manifest(name="talker", thresholds=THRESHOLDS, thresholds_from="a test", files=files)
    (folder / MANIFEST).write_text(made.model_dump_json())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good one with a verifier; read it only."""
    folder = tmp_path_factory.mktemp("bundle") / "good"
    talker().save(folder / "fast_path")
    verifier, card = gate()
    verifiers.save(folder / "verifier", verifier, card)
    golden.write(folder, talker(), verifier)
    listed(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_what_is_loaded_is_what_was_saved(made: Path) -> None:
    found = Bundle.load(str(made))
    assert found.manifest.thresholds == THRESHOLDS
    assert found.manifest.defaults == Defaults()
    assert found.decider is not None
    assert found.verifier is not None
    assert found.decider.threshold == found.verifier.threshold == 0.25
    assert not found.fast.training
    own = talker().state_dict()
    assert all(torch.equal(value, own[name]) for name, value in found.fast.state_dict().items())


def test_without_a_verifier_nothing_decides(folder: Path) -> None:
    shutil.rmtree(folder / "verifier")
    golden.write(folder, talker(), None)
    listed(folder)
    found = Bundle.load(folder)
    assert found.decider is None
    assert found.verifier is None


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("spoil", [Path.unlink, _cut, _flip])
@pytest.mark.parametrize(
    "name",
    [
        "fast_path/model.safetensors",
        "fast_path/config.json",
        "fast_path/tokenizer/tokenizer.json",
        "verifier/verifier.safetensors",
        "verifier/config.json",
        "golden.safetensors",
        "golden.json",
    ],
)
def test_a_file_that_is_missing_cut_short_or_changed_is_named(
    folder: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(folder / name)
    said = refused(folder)
    assert name in said
    assert "export or download it again" in said


def refused(source: Path | str, **how: Any) -> str:
    """The one line that says why."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        Bundle.load(source, **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, this runtime reads 1"),
        ({"format": "something"}, "no relay-bundle"),
        ({"thresholds": {"bos": 2, "stp": 0.1, "boc": 0.1}}, "thresholds.bos"),
        ({"defaults": {"mode": "singing"}}, "defaults.mode"),
        ({"colour": "red"}, "colour"),
        ({"files": {}}, "does not list fast_path/config.json"),
        ({"files": {"../../etc/passwd": "0"}}, "lies outside"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | change))
    assert said in refused(folder)


def test_half_a_manifest_and_none_are_refused(folder: Path, tmp_path: Path) -> None:
    _cut(folder / MANIFEST)
    assert "cut short" in refused(folder)
    (folder / MANIFEST).unlink()
    assert "holds no bundle.json" in refused(folder)
    assert "trainer export" in refused(tmp_path / "nowhere" / "at" / "all")


def test_a_verifier_for_another_model_is_refused(folder: Path) -> None:
    verifiers.save(folder / "verifier", *gate(24))
    listed(folder)
    said = refused(folder)
    assert "hidden states of 24, the fast path has 16" in said


def test_weights_of_another_model_are_named_by_the_trace(folder: Path) -> None:
    """All sums are right: only the numbers can tell."""
    for part, where in (("tower.adapter", "speech tower"), ("duplex.llm", "language model")):
        copy = Path(shutil.copytree(folder, folder.parent / where.replace(" ", "-")))
        file = copy / "fast_path/model.safetensors"
        weights = load_file(file)
        for name, value in weights.items():
            if name.startswith(part) and value.ndim > 1:
                value *= 1.05
        save_file(weights, file)
        listed(copy)
        said = refused(copy)
        assert f"fast_path/model.safetensors: the {where}" in said
        assert "golden.safetensors" in said


def test_another_verifier_is_named_by_the_trace(folder: Path) -> None:
    verifier, card = gate()
    with torch.no_grad():
        verifier.head.bias.add_(0.1)
    verifiers.save(folder / "verifier", verifier, card)
    listed(folder)
    assert "verifier: the verifier is not what" in refused(folder)


def test_numbers_that_are_none_are_refused(folder: Path) -> None:
    file = folder / "fast_path/model.safetensors"
    weights = load_file(file)
    for name, value in weights.items():
        if name.startswith("duplex.llm"):
            value.fill_(float("nan"))
    save_file(weights, file)
    listed(folder)
    assert "no numbers" in refused(folder)


def test_a_trace_of_another_shape_is_refused(folder: Path) -> None:
    save_file({"samples_N": torch.zeros(10)}, folder / golden.TENSORS)
    listed(folder)
    assert "golden.json or golden.safetensors cannot be read" in refused(folder)


def test_a_revision_is_for_the_hub(made: Path) -> None:
    assert "is a folder" in refused(made, revision="main")


def test_the_hub_is_asked_for_what_is_no_folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(name: str, revision: str | None = None) -> str:
        asked.append((name, revision))
        return str(made)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert Bundle.load("somebody/talker", revision="v1").manifest.name == "talker"
    assert asked == [("somebody/talker", "v1")]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(name: str, revision: str | None = None) -> str:
        raise LocalEntryNotFoundError("no connection\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert "cannot be reached" in refused("somebody/talker")
