"""A set that was taken in from elsewhere is published like one that was built here, and its card says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.publishing import preview
from tests.exporters.making import recording, take_in
from tests.publish.hub_server import HubServer
from tests.publish.releases import QUICK, REPO, expected, held, release

UNSAID = ("synthetic", "voice assistant", "Timing profile", "as a person's voice does", "a synthesiser", "is clean")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Recordings with transcripts, in two splits and two languages, as a dataset."""
    for split, language in (("train", "de"), ("test", "en")):
        recording(tmp_path / "calls" / split, "001", 16_000, language=language)
    about: dict[str, Any] = {"licence": "CC0-1.0", "origin": "a call centre", "consent": "asked and given"}
    take_in(tmp_path / "calls", "stereo", tmp_path / "out", channels=["user", "assistant"], **about)
    return tmp_path / "out"


def test_it_is_on_the_hub_file_by_file(hub: HubServer, calls: Path) -> None:
    done = release(str(calls), tag="v1")
    files = held(hub)
    assert files == expected(str(calls), hub)
    assert {n for n in files if "/" not in n} == {"README.md", "manifest.json", "report.html", "statistics.json"}
    assert release(str(calls), tag="v1").commit == done.commit


def test_the_card_speaks_of_imported_recordings(hub: HubServer, calls: Path) -> None:
    local = (calls / "README.md").read_text()
    release(str(calls))
    published = held(hub)["README.md"].decode()
    for card in (local, published):
        front, body = yaml.safe_load(card.split("---\n")[1]), card.split("---\n", 2)[2]
        assert front["language"] == ["de", "en"]
        assert front["license"] == "cc0-1.0"
        assert [f["split"] for f in front["configs"][0]["data_files"]] == ["train", "test"]
        assert "synthetic" not in front["tags"]
        assert [word for word in UNSAID if word in body] == []
        assert "The speech is imported recordings, not made here" in body
        assert "| a call centre | CC0-1.0 | asked and given | 2 | 2 |" in body
    lost = json.loads((calls / "manifest.json").read_text())["lost"]
    assert lost
    assert all(f"- {column}" in published for column in lost)
    assert "| voices: a call centre | CC0-1.0 | 2 |" in published


def test_a_set_with_an_edited_card_keeps_it(hub: HubServer, calls: Path) -> None:
    path = calls / "README.md"
    path.write_text(path.read_text() + "\n## Thanks\n")
    release(str(calls))
    assert b"## Thanks" in held(hub)["README.md"]


def test_a_consent_that_nobody_stated_is_said(hub: HubServer, calls: Path, tmp_path: Path) -> None:
    assert preview(str(calls), REPO, QUICK).release.notes == ()
    take_in(tmp_path / "calls", "stereo", tmp_path / "unasked", licence="CC0-1.0")
    (note,) = preview(str(tmp_path / "unasked"), REPO, QUICK).release.notes
    assert "what their speakers agreed to is not known; import with --set consent=.." in note
    assert hub.repositories == {}
