"""What the published card is made of: the licences by what brings them in, and pictures that stand alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from datagen.publishing.origins import Part, parts
from datagen.report import Manifest, Statistics, collect
from datagen.report.pictures import Picture, pictures
from tests import tiny_dataset

NAMES = ("offsets_assistant", "offsets_user", "turns_of_the_assistant", "turns_of_the_user", "pauses", "noise")
VOICE = {"origin": "a choir", "licence": "CC-BY-4.0", "consent": "given"}


def row(index: int, source: str, text: str, noise: str = "", voice: str = VOICE["licence"]) -> dict[str, Any]:
    """A row that says what it carries; ``noise`` is the licence of its noise."""
    made = tiny_dataset.row(index, turns=2)
    block = {"clip": "c", "scene": "s", "start": 0.0, "end": 1.0, "snr_db_asked": 5.0, "snr_db": 5.0}
    voices = {side: {**made["voices"][side], **VOICE, "licence": voice} for side in ("user", "assistant")}
    licences = sorted({text, *filter(None, [noise]), *voice.split(" AND ")})
    return {**made, "source": source, "noise": [block] if noise else [], "voices": voices, "licences": licences}


def found(
    folder: Path, rows: list[dict[str, Any]], of_noise: frozenset[str] = frozenset()
) -> set[tuple[str, str, int]]:
    tiny_dataset.write_rows(folder, {"train": rows[:2], "test": rows[2:]})
    return {(p.what, p.licence, p.conversations) for p in parts(str(folder), of_noise)}


def test_rows_without_noise_tell_which_licence_is_the_texts(tmp_path: Path) -> None:
    rows = [row(0, "jsonl", "MIT"), row(1, "jsonl", "MIT", "CC0-1.0"), row(2, "moss", "CC BY-NC 4.0")]
    assert found(tmp_path, rows) == {
        ("texts: jsonl", "MIT", 2),
        ("texts: moss", "CC BY-NC 4.0", 1),
        ("voices: a choir", "CC-BY-4.0", 3),
        ("noise", "CC0-1.0", 1),
    }


def test_where_all_rows_have_noise_the_recipe_tells(tmp_path: Path) -> None:
    rows = [row(k, "jsonl", "MIT", "CC0-1.0") for k in range(3)]
    assert found(tmp_path, rows, frozenset({"CC0-1.0"})) == {
        ("texts: jsonl", "MIT", 3),
        ("voices: a choir", "CC-BY-4.0", 3),
        ("noise", "CC0-1.0", 3),
    }


def test_a_licence_of_two_parts_counts_as_both(tmp_path: Path) -> None:
    rows = [row(k, "jsonl", "MIT", voice="CC-BY-4.0 AND CC0-1.0") for k in range(3)]
    assert found(tmp_path, rows) == {
        ("texts: jsonl", "MIT", 3),
        ("voices: a choir", "CC-BY-4.0", 3),
        ("voices: a choir", "CC0-1.0", 3),
    }


def test_a_text_under_its_voices_licence_is_not_lost(tmp_path: Path) -> None:
    rows = [row(k, "jsonl", "CC-BY-4.0") for k in range(3)]
    assert ("texts: jsonl", "CC-BY-4.0", 3) in found(tmp_path, rows)


def test_texts_come_first_then_voices_then_noise(tmp_path: Path) -> None:
    tiny_dataset.write_rows(tmp_path, {"train": [row(0, "z", "MIT", "CC0-1.0"), row(1, "z", "MIT")]})
    assert [p.what.split(":")[0] for p in parts(str(tmp_path))] == ["texts", "voices", "noise"]
    assert all(isinstance(p, Part) for p in parts(str(tmp_path)))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    folder = tiny_dataset.write(tmp_path_factory.mktemp("drawn"), 12)
    return pictures(collect(folder), Manifest())


def test_a_picture_is_whole_without_the_reports_page(drawn: list[Picture]) -> None:
    assert [p.path for p in drawn] == [f"plots/{name}.svg" for name in NAMES]
    for picture in drawn:
        root = ElementTree.fromstring(picture.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) > 100
        style = root[0].text or ""
        assert set(re.findall(r"var\((--\w+)\)", style)) <= set(re.findall(r"(--[\w-]+):", style))
        assert root[1].attrib["fill"] == "#ffffff", "readable on a dark page"
        classes = {name for e in root.iter() for name in e.attrib.get("class", "").split()}
        drawn_with = classes - {"plot", "tick", "label", "hint"}
        assert all(f".{name}" in style for name in drawn_with - {"grid", "axis", "zero"})


def test_the_same_statistics_give_the_same_pictures(drawn: list[Picture], tmp_path: Path) -> None:
    assert pictures(collect(tiny_dataset.write(tmp_path, 12)), Manifest()) == drawn


def test_without_data_there_are_none() -> None:
    assert pictures(Statistics(), Manifest()) == []
