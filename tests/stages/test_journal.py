"""A record that kills its process is found; one that was only unlucky is not blamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.files import Folder
from datagen.stages.journal import MAX_DEATHS, Journal

DIES, STOPS, ENDS = "dies", "stops", "ends"


def attempt(folder: Folder, records: list[str], deadly: set[str]) -> tuple[str, list[str]]:
    """One attempt at a shard: how it ended, and what it refused."""
    journal = Journal(folder, 0)
    refused: list[str] = []
    for record in records:
        try:
            journal.enter(record)
        except ValueError:
            refused.append(record)
            continue
        if record in deadly:
            return DIES, refused
    journal.close()
    return ENDS, refused


@pytest.mark.parametrize("deadly", [{"b"}, {"a"}, {"a", "c"}, {"a", "b", "c"}])
def test_a_deadly_record_is_refused_after_three_deaths_and_no_other(tmp_path: Path, deadly: set[str]) -> None:
    folder, ends, refused = Folder(str(tmp_path)), list[str](), list[str]()
    for _ in range(20):
        end, refused = attempt(folder, ["a", "b", "c"], deadly)
        ends.append(end)
        if end == ENDS:
            break
    assert ends == [DIES] * (MAX_DEATHS * len(deadly)) + [ENDS]
    assert set(refused) == deadly
    assert folder.names() == []


def test_the_reason_says_what_happened(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for _ in range(MAX_DEATHS):
        Journal(folder, 0).enter("a")
    with pytest.raises(ValueError, match="it killed its process 3 times"):
        Journal(folder, 0).enter("a")


@given(st.lists(st.sampled_from([DIES, STOPS]), max_size=12))
def test_only_deaths_count(ends: list[str]) -> None:
    folder = Folder("memory://journal")
    folder.remove()
    deaths = 0
    for end in ends:
        journal = Journal(folder, 7)
        if deaths >= MAX_DEATHS:
            with pytest.raises(ValueError, match="killed"):
                journal.enter("a")
            return
        journal.enter("a")
        if end == STOPS:
            journal.survived()
        deaths += end == DIES
    Journal(folder, 7).enter("another")


def test_shards_have_their_own_journals(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for _ in range(MAX_DEATHS):
        Journal(folder, 0).enter("a")
    Journal(folder, 1).enter("a")


@pytest.mark.parametrize("content", [b"", b"{", b'{"in_hand": "a', b'{"in_hand": "\xc3'])
def test_a_journal_cut_off_in_the_middle_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    folder = Folder(str(tmp_path))
    folder.write("00000.journal", content)
    Journal(folder, 0).enter("a")


def test_on_a_full_disk_no_record_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    fs, _ = folder.path("x")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for _ in range(MAX_DEATHS + 1):
        journal = Journal(folder, 0)
        journal.enter("a")
        with monkeypatch.context() as patch:
            patch.setattr(type(fs), "pipe_file", full)
            journal.survived()
    Journal(folder, 0).enter("a")
