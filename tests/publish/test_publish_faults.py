"""Whatever fails on the way, the Hub ends up with the dataset, once, and never shows a part of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datagen.publishing import Refused, publish
from tests.publish.hub_server import READER, WRITER, HubServer
from tests.publish.releases import QUICK, REPO, expected, held, release, silent
from tests.publish.repository import Entry

pytestmark = pytest.mark.slow

PLACES = {
    "who am I": "GET /api/whoami",
    "what is there": f"GET /api/datasets/{REPO}$",
    "branches and tags": "GET .*/refs",
    "files": "GET .*/tree/",
    "making the repository": "POST /api/repos/create",
    "how to upload": "POST .*/preupload/",
    "where to upload": "POST .*/objects/batch",
    "upload": "PUT /storage/",
    "upload looked after": "POST /verify",
    "card looked after": "POST /api/validate-yaml",
    "commit": "POST .*/commit/",
    "tag": "POST .*/tag/",
}


@pytest.mark.parametrize("action", [503, "drop"])
@pytest.mark.parametrize("place", PLACES)
def test_what_passes_is_tried_again(hub: HubServer, dataset: str, place: str, action: int | str) -> None:
    hub.fail(PLACES[place], action)
    done = release(dataset, tag="v1")
    assert hub.faults[0].times == 0, "the fault struck"
    assert held(hub) == expected(dataset, hub)
    assert len(hub.repositories[REPO].commits) == 2
    assert hub.repositories[REPO].tags == {"v1": done.commit}


@pytest.mark.parametrize("place", ["making the repository", "upload", "commit", "tag"])
def test_an_answer_that_is_lost_after_the_work_is_done_does_not_do_it_twice(
    hub: HubServer, dataset: str, place: str
) -> None:
    hub.fail(PLACES[place], "lost")
    done = release(dataset, tag="v1")
    assert hub.faults[0].times == 0
    assert held(hub) == expected(dataset, hub)
    assert len(hub.repositories[REPO].commits) == 2
    assert hub.repositories[REPO].tags == {"v1": done.commit}
    assert done.sent == sum(map(len, held(hub).values()))


def test_a_commit_of_somebody_else_in_between_is_seen_and_kept(hub: HubServer, dataset: str) -> None:
    """The server's own 412: the branch has moved when the commit arrives."""

    def meanwhile() -> None:
        there = hub.repositories[REPO]
        there.commit("main", {**there.files(), "LICENSE": Entry(4, b"free")}, "a licence")

    release(dataset)
    there = hub.repositories[REPO]
    without = {name: entry for name, entry in there.files().items() if name != "report.html"}
    there.commit("main", without, "removed by mistake")
    hub.fail(PLACES["commit"], "go on", before=meanwhile)
    release(dataset)
    assert hub.count(PLACES["commit"]) == 3, "refused once, then sent again"
    assert held(hub) == {**expected(dataset, hub), "LICENSE": b"free"}


def test_another_dataset_that_comes_between_is_not_overwritten(hub: HubServer, dataset: str) -> None:
    def meanwhile() -> None:
        there = hub.repositories[REPO]
        content = b'{"schema_version": 1, "recipe": {"name": "other"}}'
        there.commit("main", {**there.files(), "manifest.json": Entry(len(content), content)}, "another dataset")

    hub.fail(PLACES["commit"], "go on", before=meanwhile)
    with pytest.raises(Refused, match="holds the dataset 'other', not 'tiny'"):
        release(dataset)
    assert "README.md" not in held(hub)


@pytest.mark.parametrize("place", ["upload", "commit"])
def test_a_fault_that_stays_leaves_nothing_half_published_and_the_next_run_ends_it(
    hub: HubServer, dataset: str, place: str
) -> None:
    hub.fail(PLACES[place], 503, times=10**6)
    with pytest.raises(ConnectionError, match=r"the Hub answered 503 .*run the same command again"):
        release(dataset, tag="v1")
    assert held(hub) == {}
    assert hub.repositories[REPO].tags == {}
    hub.faults.clear()
    before = hub.received
    release(dataset, tag="v1")
    assert held(hub) == expected(dataset, hub)
    if place == "commit":
        assert hub.received == before, "what was uploaded is not sent again"


@pytest.mark.parametrize("lost", ["statistics.json", "data/train-00000-of-00001.parquet"])
def test_a_file_that_the_hub_lost_is_noticed(hub: HubServer, dataset: str, lost: str) -> None:
    """The commit is compared with the dataset before anything is called published."""

    def forget() -> None:
        there = hub.repositories[REPO]
        if len(there.commits) == 2:
            del there.files()[lost]

    hub.fail("GET .*/tree/", "go on", times=2, before=forget)
    said: list[str] = []
    publish(dataset, REPO, QUICK, said.append)
    assert any(f"does not hold what was sent ({lost})" in line for line in said)
    assert held(hub) == expected(dataset, hub)


@pytest.mark.parametrize(
    ("token", "message"), [(READER, "may not write there"), ("hf_old", "does not accept the token")]
)
def test_a_token_that_may_not_is_one_line_and_is_not_told(
    hub: HubServer, dataset: str, monkeypatch: pytest.MonkeyPatch, token: str, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(Refused, match=message) as caught:
        release(dataset)
    assert token not in str(caught.value)
    assert hub.repositories == {}
    assert hub.count(".") < 8, "and it is not asked over and over"


def test_the_token_is_in_no_line(hub: HubServer, dataset: str) -> None:
    said: list[str] = []
    hub.fail("PUT", "drop", times=10**6)
    with pytest.raises(ConnectionError) as caught:
        publish(dataset, REPO, QUICK, said.append)
    assert said
    assert WRITER not in "".join([*said, str(caught.value)])


def test_without_a_network_it_ends_at_once(hub: HubServer, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    patience = replace(QUICK.patience, attempts=50)
    said: list[str] = []
    with pytest.raises(ConnectionError, match=r"no answer from the Hub .*check the connection to http://127.0.0.1:9"):
        publish(dataset, REPO, replace(QUICK, patience=patience), said.append)
    assert len(said) == 1


def test_progress_gives_new_patience(hub: HubServer, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one file at a time and two attempts, each file may fail once."""
    monkeypatch.setattr("datagen.publishing.hub.TOGETHER", 1)
    for _ in range(3):
        hub.fail("POST /verify", "drop")
    options = replace(QUICK, patience=replace(QUICK.patience, attempts=2))
    publish(dataset, REPO, options, silent)
    assert held(hub) == expected(dataset, hub)
