"""What cannot be published is said in one line that names the remedy, before anything is changed on the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.publishing import Refused, publish
from datagen.publishing.terms import withheld
from tests.commanding import Command, datagen
from tests.publish.hub_server import HubServer
from tests.publish.releases import QUICK, REPO, expected, held, release, silent, variant
from tests.publish.repository import Entry, created

__all__ = ["datagen"]

FREE = ["Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC BY-SA 4.0", "CC BY-NC 4.0", "CDLA-Sharing-1.0", "GPL-3.0-or-later"]
FREE += ["output of espeak-ng (a GPL-3.0-or-later program); no licence on the audio", "LicenseRef-model-output"]
HELD_BACK = {
    "CC-BY-ND-4.0": "adaptations",
    "CC BY-NC-ND 4.0": "adaptations",
    "LicenseRef-VoxCeleb (for research; the audio belongs to the owners of the videos, not licensed)": "research only",
    "LicenseRef-TAU-non-commercial": "lets nobody pass on",
    "(c) Acme, All Rights Reserved": "keeps all rights",
    "LicenseRef-Acme-internal": "keeps all rights",
    "unknown": "does not say",
}


def licensed(*licences: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["licences"] = list(licences)

    return change


@pytest.mark.parametrize("licence", HELD_BACK)
def test_a_licence_that_forbids_it_stops_publication_with_the_reason(
    hub: HubServer, dataset: str, tmp_path: Path, licence: str
) -> None:
    folder = variant(dataset, tmp_path / "held", licensed("CC0-1.0", licence))
    with pytest.raises(ValueError, match=rf"must not be published: .*{HELD_BACK[licence]}.*--private"):
        release(folder)
    assert hub.asked == []
    release(folder, private=True)
    assert hub.repositories[REPO].private


@given(st.lists(st.sampled_from(FREE), min_size=1))
def test_licences_that_allow_it_under_conditions_do_not(licences: list[str]) -> None:
    assert withheld(licences) == ""


@given(st.lists(st.sampled_from(FREE)), st.sampled_from(sorted(HELD_BACK)), st.lists(st.sampled_from(FREE)))
def test_one_such_licence_among_others_is_enough(before: list[str], licence: str, after: list[str]) -> None:
    assert repr(licence) in withheld([*before, licence, *after])


def test_a_licence_that_the_recipe_forbids_stops_it_too(hub: HubServer, dataset: str, tmp_path: Path) -> None:
    folder = variant(dataset, tmp_path / "forbidden", licensed("CC0-1.0", "CC BY-NC 4.0"))
    recipe = Path(folder) / "recipe.yaml"
    text = recipe.read_text()
    assert "forbid_licences: []" in text
    recipe.write_text(text.replace("forbid_licences: []", "forbid_licences: ['*NC*']"))
    with pytest.raises(ValueError, match=r"'CC BY-NC 4.0' is forbidden by the recipe \(forbid_licences: '\*NC\*'\)"):
        release(folder)
    assert hub.asked == []


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def unfinished(folder: Path) -> None:
    without_manifest(folder)
    (folder / ".work").mkdir()


def newer(folder: Path) -> None:
    _edit(folder, lambda manifest: manifest.update(schema_version=7))


def no_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def no_splits(folder: Path) -> None:
    _edit(folder, lambda manifest: manifest.pop("splits"))


def file_missing(folder: Path) -> None:
    next(folder.glob("data/train-*")).unlink()


def file_cut(folder: Path) -> None:
    path = next(folder.glob("data/train-*"))
    path.write_bytes(path.read_bytes()[:-1])


def file_changed(folder: Path) -> None:
    path = next(folder.glob("data/train-*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


BROKEN: dict[Callable[[Path], None], str] = {
    without_manifest: r"there is no manifest.json, so no dataset; give the folder that `datagen build` wrote",
    unfinished: r"the dataset is not finished \(no manifest.json\); run its build again",
    newer: r"schema_version 7 is not known here .*; publish with the version of duplexkit that made the dataset",
    no_json: r"manifest.json: .*; build the dataset again",
    no_splits: r"manifest.json: splits: .*; build the dataset again",
    file_missing: r"train-00000-of-00001.parquet is missing; remove manifest.json and run the build again",
    file_cut: r"has \d+ bytes, not the manifest's \d+; remove manifest.json and run the build again",
    file_changed: r"is not the file its manifest speaks of \(another SHA-256\); remove manifest.json",
}


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda f: f.__name__)
def test_a_dataset_that_is_not_whole_is_refused(
    hub: HubServer, dataset: str, tmp_path: Path, breaking: Callable[[Path], None]
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(dataset, folder, ignore=shutil.ignore_patterns(".work"))
    breaking(folder)
    with pytest.raises(ValueError, match=BROKEN[breaking]) as caught:
        release(str(folder))
    assert "\n" not in str(caught.value)
    assert all(held(hub, repo) == {} for repo in hub.repositories)


@pytest.mark.parametrize("repo", ["walks", "acme/", "a/b/c", "acme/wal ks", "-acme/walks", "acme/../walks", ""])
def test_a_name_that_is_none_is_refused(hub: HubServer, dataset: str, repo: str) -> None:
    with pytest.raises(ValueError, match="give it as organisation/name"):
        publish(dataset, repo, QUICK, silent)
    assert hub.asked == []


def test_a_folder_that_is_not_here_is_refused(hub: HubServer) -> None:
    with pytest.raises(ValueError, match="copy the dataset here first"):
        release("s3://bucket/walks")
    with pytest.raises(ValueError, match=r"there is no manifest\.json"):
        release("/nowhere/walks")


def _entry(content: bytes) -> Entry:
    return Entry(len(content), content)


OTHERS = {
    "holds other files and no manifest.json of a dataset": {"train.csv": _entry(b"a,b\n")},
    "holds the dataset 'talks', not 'tiny'": {
        "manifest.json": _entry(b'{"schema_version": 1, "recipe": {"name": "talks"}}'),
        "data/train-00000-of-00009.parquet": _entry(b"rows"),
    },
    "has schema_version 9, not 1": {
        "manifest.json": _entry(b'{"schema_version": 9, "recipe": {"name": "tiny"}}'),
    },
    "holds other files": {"manifest.json": _entry(b"no json")},
}


@pytest.mark.parametrize("reason", OTHERS)
def test_what_is_something_else_is_kept_unless_it_is_to_be_replaced(hub: HubServer, dataset: str, reason: str) -> None:
    there = hub.repositories[REPO] = created(private=False)
    before = there.commit("main", {**there.files(), **OTHERS[reason]}, "theirs")
    with pytest.raises(Refused, match=rf"{reason}.*; choose another name, or pass --replace"):
        release(dataset)
    assert there.branches["main"] == before
    release(dataset, replace=True)
    assert held(hub) == expected(dataset, hub)
    assert before in there.commits, "git keeps its history"


def test_a_repository_with_a_card_alone_is_as_good_as_empty(hub: HubServer, dataset: str) -> None:
    there = hub.repositories[REPO] = created(private=True)
    there.commit("main", {**there.files(), "README.md": _entry(b"---\nlicense: mit\n---\n")}, "made in the browser")
    release(dataset)
    assert held(hub) == expected(dataset, hub)


def test_without_a_token_it_says_how_to_get_one(
    hub: HubServer, dataset: str, monkeypatch: pytest.MonkeyPatch, datagen: Command
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    said = datagen("publish", dataset, REPO)
    assert (said.code, said.err) == (
        2, "error: no token for the Hugging Face Hub; set HF_TOKEN, or run: hf auth login\n"
    )  # fmt: skip
    assert hub.asked == []


def test_the_command_says_what_it_did(hub: HubServer, dataset: str, datagen: Command) -> None:
    would = datagen("publish", dataset, REPO, "--dry-run")
    assert would.code == 0
    assert "data/train-00000-of-00001.parquet" in would.out
    assert "dry run, nothing was changed" in would.out
    assert hub.repositories == {}
    said = datagen("publish", dataset, REPO, "--tag", "v1")
    assert said.code == 0
    assert f"published and compared: {hub.url}/datasets/{REPO} at" in said.out
    assert f'load: datasets.load_dataset("{REPO}", revision="v1", streaming=True)' in said.out
    refused = datagen("publish", dataset, "acme", "--tag", "v1")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
