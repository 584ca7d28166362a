"""Publishing with the real client: what is on the Hub is the dataset, in one step, and little is sent again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from datagen.publishing import Refused, preview
from tests.publish.hub_server import READER, HubServer
from tests.publish.releases import QUICK, REPO, expected, held, release, shorter, variant
from tests.tiny import Tiny

OTHERS = ["data/test-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"]
WRITES = "POST /api/repos/create|/commit/|/branch/|/tag/|PUT |/preupload/|lfs/objects"


def test_the_repository_holds_the_dataset_file_by_file_after_one_commit(hub: HubServer, dataset: str) -> None:
    done = release(dataset, tag="v1")
    assert held(hub) == expected(dataset, hub)
    there = hub.repositories[REPO]
    assert list(there.files(next(iter(there.commits)))) == [".gitattributes"]
    assert len(there.commits) == 2, "nothing lies between an empty repository and a complete one"
    assert there.tags == {"v1": done.commit}
    assert there.branches == {"main": done.commit}
    assert there.messages[-1].startswith("tiny: 12 conversations")
    assert not there.private
    assert done.url == f"{hub.url}/datasets/{REPO}"


def test_publishing_again_sends_nothing(hub: HubServer, dataset: str) -> None:
    first = release(dataset, tag="v1")
    sent, commits = hub.received, hub.count("POST .*/commit/")
    again = release(dataset, tag="v1")
    assert (again.commit, again.sent, again.same) == (first.commit, 0, first.sent)
    assert (hub.received, hub.count("POST .*/commit/")) == (sent, commits)


def test_a_small_change_sends_what_changed_and_removes_what_is_stale(
    hub: HubServer, dataset: str, tmp_path: Path
) -> None:
    release(dataset, tag="v1")
    first, sent = held(hub), hub.received
    changed = shorter(dataset, tmp_path / "changed")
    (hub.repositories[REPO]).files()["notes.md"] = hub.repositories[REPO].files()["README.md"]
    release(changed, tag="v2")
    now = held(hub)
    assert "notes.md" in now, "what people put beside the dataset stays"
    del now["notes.md"]
    assert now == expected(changed, hub)
    new = sum(p.stat().st_size for p in Path(changed).glob("data/train-*.parquet"))
    assert hub.received - sent == new
    old = held(hub, revision="v1")
    assert {n: c for n, c in old.items() if n != "notes.md"} == first, "a release stays what it was"


def test_what_never_leaves_this_machine(hub: HubServer, built: Tiny) -> None:
    release(str(built.out))
    names = set(held(hub))
    assert not {n for n in names if n.startswith(".work") or n == "rejected.jsonl"}
    texts = b"".join(content for name, content in held(hub).items() if not name.endswith(".parquet"))
    assert str(built.recipe.parent).encode() not in texts, "no folder of this machine is told"
    assert str(built.recipe.parent) in (built.out / "recipe.yaml").read_text(), "which the local recipe does name"
    assert yaml.safe_load(held(hub)["recipe.yaml"])["voices"] == f"{built.recipe.parent.name}/voices.yaml"


def test_a_dry_run_says_all_and_changes_nothing(hub: HubServer, dataset: str, tmp_path: Path) -> None:
    found = preview(dataset, REPO, QUICK)
    assert not found.remote.exists
    assert {item.name for item in found.changes.new} == set(expected(dataset, hub))
    assert found.changes.size == sum(map(len, expected(dataset, hub).values()))
    assert hub.count(WRITES) == 0
    release(dataset)
    asked = hub.count(WRITES)
    again = preview(shorter(dataset, tmp_path / "changed"), REPO, QUICK)
    assert {"README.md", "manifest.json", "statistics.json"} <= {item.name for item in again.changes.changed}
    assert [item.name for item in again.changes.same if item.name.startswith("data/")] == OTHERS
    assert [item.name for item in again.changes.new] == [f"data/train-0000{k}-of-00002.parquet" for k in (0, 1)]
    assert again.changes.gone == ("data/train-00000-of-00001.parquet",)
    assert hub.count(WRITES) == asked


@pytest.mark.parametrize("trouble", ["no token", "no network"])
def test_a_dry_run_needs_neither_token_nor_network(
    hub: HubServer, dataset: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "no token":
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    found = preview(dataset, REPO, QUICK)
    assert found.unasked
    assert {item.name for item in found.changes.new} == {item.name for item in found.release.items}


def test_a_private_repository_is_made_private_and_a_public_one_is_refused(hub: HubServer, dataset: str) -> None:
    release(dataset, private=True)
    assert hub.repositories[REPO].private
    hub.repositories[REPO].private = False
    with pytest.raises(Refused, match="is public"):
        release(dataset, private=True)


def test_a_branch_is_made_and_main_stays(hub: HubServer, dataset: str) -> None:
    release(dataset, revision="next")
    assert held(hub, revision="next") == expected(dataset, hub)
    assert held(hub) == {}


def test_the_message_is_the_users(hub: HubServer, dataset: str) -> None:
    release(dataset, message="the first one")
    assert hub.repositories[REPO].messages[-1] == "the first one"


def test_a_tag_is_never_moved(hub: HubServer, dataset: str, tmp_path: Path) -> None:
    first = release(dataset, tag="v1")
    changed = shorter(dataset, tmp_path / "changed")
    with pytest.raises(Refused, match=r"tag 'v1' is another release .*choose another tag"):
        release(changed, tag="v1")
    assert hub.repositories[REPO].branches["main"] == first.commit, "refused before anything is sent"
    release(changed, tag="v2")
    with pytest.raises(Refused, match="tag 'v1' is another release"):
        release(changed, tag="v1")


def test_an_edited_card_is_published_as_it_is_unless_a_new_one_is_asked_for(
    hub: HubServer, dataset: str, tmp_path: Path
) -> None:
    edited = variant(dataset, tmp_path / "edited", lambda manifest: None)
    path = Path(edited) / "README.md"
    path.write_text(path.read_text() + "\n## Thanks\n")
    said: list[str] = []
    from datagen.publishing import publish

    publish(edited, REPO, QUICK, said.append)
    assert held(hub)["README.md"] == path.read_bytes()
    assert any("--new-card" in line for line in said)
    publish(edited, REPO, replace(QUICK, new_card=True), said.append)
    assert b"## Thanks" not in held(hub)["README.md"]


def test_the_card_names_the_repository_its_pictures_and_who_brings_which_licence(hub: HubServer, dataset: str) -> None:
    release(dataset, tag="v1")
    files = held(hub)
    card = files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["language"], front["size_categories"]) == (["en"], ["n<1K"])
    assert [f["split"] for f in front["configs"][0]["data_files"]] == ["train", "validation", "test"]
    assert f'load_dataset("{REPO}"' in card
    pictures = [name for name in files if name.startswith("plots/")]
    assert len(pictures) >= 5
    assert all(f"]({name})" in card for name in pictures)
    assert all(files[name].startswith(b"<svg") and b"xmlns=" in files[name] for name in pictures)
    assert "| texts: jsonl | CC0-1.0 |" in card
    assert "| voices: espeak-ng | GPL-3.0 | 12 |" in card
    assert "| noise | CC0-1.0 |" in card
    assert "not needed: no real person's voice" in card
    assert f"howpublished = {{\\url{{{hub.url}/datasets/{REPO}}}}}" in card
    assert json.loads(files["manifest.json"])["recipe"]["name"] == "tiny"


def test_a_reader_sees_what_would_be_new_but_may_not_publish(
    hub: HubServer, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(dataset)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert not preview(dataset, REPO, QUICK).changes.sent
    with pytest.raises(Refused, match="may not write there"):
        release(dataset, tag="v1")
