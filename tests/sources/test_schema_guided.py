"""Schema-Guided Dialogue: USER and SYSTEM, numbered anew in every split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import samples
from tests.sources.reading import everything, manifest_licence, sorted_out, source, write


def task(name: str, *said: tuple[str, str], services: tuple[str, ...] = ("Hotels_2",)) -> dict[str, Any]:
    turns = [{"frames": [], "speaker": s, "utterance": t} for s, t in said]
    return {"dialogue_id": name, "services": services, "turns": turns}


def test_a_dialogue(tmp_path: Path) -> None:
    said = [("USER", "A room ."), ("SYSTEM", "Where?"), ("SYSTEM", "When?")]
    record = task("1_00000", *said, services=("Travel_1", "Hotels_2", "Hotels_4"))
    (only,), bad = sorted_out(source("schema_guided", write(tmp_path / "dialogues_001.json", [record])))
    assert not bad
    assert (only.id, only.domain, only.licence) == ("sgd-1-00000", "hotels+travel", "CC BY-SA 4.0")
    assert [(t.speaker, t.text) for t in only.turns] == [("user", "A room."), ("assistant", "Where? When?")]


def test_the_splits_have_the_same_numbers(tmp_path: Path) -> None:
    for split in ("train", "dev", "test", "sgd_x/data/v1/dev"):
        write(tmp_path / split / "dialogues_001.json", [task("1_00000", ("USER", split))])
        write(tmp_path / split / "schema.json", [])
    ids = [item.id for item in everything(source("schema_guided", tmp_path))]
    assert ids == ["sgd-dev-1-00000", "sgd-test-1-00000", "sgd-train-1-00000"]
    alone = everything(source("schema_guided", tmp_path / "dev"))
    assert [item.id for item in alone] == ["sgd-dev-1-00000"], "the same dialogue under the same id"


def test_bad_records_are_recorded(tmp_path: Path) -> None:
    found = [
        task("1_0"),
        task("1_1", ("BOT", "Hi")),
        task("1_2", ("USER", "Hi"), services=()),
        [],
        task("1_3", ("USER", "Hi")),
    ]
    write(tmp_path / "dialogues_001.json", found)
    write(tmp_path / "dialogues_002.json", {})
    good, bad = sorted_out(source("schema_guided", tmp_path))
    assert [item.id for item in good] == ["sgd-1-3"]
    assert [item.id for item in bad] == [*(f"dialogues-001-{n:06d}" for n in (1, 2, 3, 4)), "dialogues-002"]


def test_a_folder_without_dialogues_is_named(tmp_path: Path) -> None:
    write(tmp_path / "schema.json", [])
    with pytest.raises(ValueError, match=r"^path: .* holds no schema_guided dialogue files \(\.json\); give"):
        source("schema_guided", tmp_path)


def test_the_real_file() -> None:
    good, bad = sorted_out(source("schema_guided", samples() / "dialogues" / "sgd"))
    assert not bad
    assert len(good) == 128
    assert {item.licence for item in good} == {manifest_licence("schema_guided")}
    assert {item.domain for item in good} == {"flights", "restaurants", "ridesharing"}
    assert all(item.id.startswith("sgd-dev-") and item.turns[0].speaker == "user" for item in good)
