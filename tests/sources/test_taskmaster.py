"""Taskmaster's four releases: a list of dialogues or one alone, speakers in two spellings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datagen.core.types import Unreadable
from tests.helpers import samples
from tests.sources.reading import everything, manifest_licence, sorted_out, source, write


def call(name: str, *said: tuple[str, str], **more: Any) -> dict[str, Any]:
    turns = [{"index": i, "speaker": s, "text": t, "segments": []} for i, (s, t) in enumerate(said)]
    return {"conversation_id": name, "utterances": turns, **more}


@pytest.mark.parametrize(
    ("fields", "domain"),
    [
        ({"instruction_id": "restaurant-table-2"}, "restaurant-table"),
        ({"instruction_id": "movie-24e"}, "movie"),
        ({"vertical": "Movie Tickets", "scenario": "x", "instructions": "y"}, "movie-tickets"),
        ({}, "task"),
    ],
)
def test_the_domain_comes_from_the_release(tmp_path: Path, fields: dict[str, str], domain: str) -> None:
    path = write(tmp_path / "data_00.json", [call("dlg-1", ("USER", "Hi"), **fields)])
    (only,), _ = sorted_out(source("taskmaster", path))
    assert (only.domain, only.licence, only.source) == (domain, "CC BY 4.0", "taskmaster")


def test_speakers_merging_and_one_dialogue_alone(tmp_path: Path) -> None:
    said = [("ASSISTANT", "Hello!"), ("user", "Hi,"), ("USER", "a hotel."), ("assistant", ""), ("user", "Please .")]
    (only,), _ = sorted_out(source("taskmaster", write(tmp_path / "sample.json", call("dlg-1", *said))))
    assert [(t.speaker, t.text) for t in only.turns] == [("assistant", "Hello!"), ("user", "Hi, a hotel. Please.")]


def test_a_checkout_holds_more_than_dialogues(tmp_path: Path) -> None:
    write(tmp_path / "TM-1-2019" / "self-dialogs.json", [call("dlg-2", ("USER", "Hi"))])
    write(tmp_path / "TM-1-2019" / "sample.json", call("dlg-2", ("USER", "Hi")))
    write(tmp_path / "TM-3-2020" / "data" / "data_00.json", [call("dlg-3", ("user", "Hi"))])
    for name in ("TM-1-2019/ontology.json", "TM-2-2020/ontology/hotels.json", "TM-4-2024/reward/reward_00.json"):
        write(tmp_path / name, {})
    first, again, third = everything(source("taskmaster", tmp_path))
    assert (first.id, third.id) == ("dlg-2", "dlg-3")
    assert isinstance(again, Unreadable)
    assert again.reason == "id used before at TM-1-2019/sample.json record 1"


def test_bad_records_are_recorded(tmp_path: Path) -> None:
    found = [call("dlg-1"), call("dlg-2", ("USER", "{x}")), call("dlg-3", ("ROBOT", "Hi")), 7, {"utterances": []}]
    good, bad = sorted_out(source("taskmaster", write(tmp_path / "d.json", found)))
    assert not good
    assert [item.where for item in bad] == [f"d.json record {n}" for n in range(1, 6)]


def test_a_long_dialogue_is_cut_at_user_turns(tmp_path: Path) -> None:
    said = [("assistant", "Hello."), *[(s, "la " * 10) for _ in range(5) for s in ("user", "assistant")]]
    path = write(tmp_path / "d.json", [call("dlg-1", *said)])
    parts, _ = sorted_out(source("taskmaster", path, max_turns=5))
    assert [part.id for part in parts] == ["dlg-1-p0", "dlg-1-p1", "dlg-1-p2"]
    assert [part.turns[0].speaker for part in parts] == ["assistant", "user", "user"]
    assert sum(len(part.turns) for part in parts) == 11


def test_the_real_files() -> None:
    good, bad = sorted_out(source("taskmaster", samples() / "dialogues" / "taskmaster"))
    assert len(good) + len(bad) == 1 + 210 + 5 + 5 + 5
    # TM-1's own sample and its copy in the TM-1 examples are one dialogue.
    assert [item.reason for item in bad] == ["id used before at TM-1-2019/sample.json record 1"]
    assert {item.licence for item in good} == {manifest_licence("taskmaster")}
    assert {"coffee", "hotel", "movie-tickets", "pizza-ordering"} <= {item.domain for item in good}
