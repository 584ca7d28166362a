"""BlendedSkillTalk: the same chats from ParlAI's JSON and from the Hub's Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen import kinds
from datagen.core.types import other
from datagen.sources import blended_skill_talk
from tests.sources.reading import everything, manifest_licence, sorted_out, source, write


def chat(*texts: str, context: str = "empathetic_dialogues", **more: Any) -> dict[str, Any]:
    """As in train.json, the keys that are not read left out but for some."""
    return {
        "personas": [["i've 2 kids.", "i love flowers."], ["i act.", "i sing."]],
        "context_dataset": context,
        "free_turker_utterance": "I love live music",
        "guided_turker_utterance": "I do too. Wat do you like?",
        "additional_context": "",
        "dialog": [[n % 2, text] for n, text in enumerate(texts)],
        "suggestions": [{"convai2": "hi", "empathetic_dialogues": "hi", "wizard_of_wikipedia": "hi"}] * len(texts),
        "bad_workers": [],
        **more,
    }


def as_rows(path: Path, chats: list[dict[str, Any]]) -> None:
    """The same chats as the Hub has them."""
    rows = [
        {
            "personas": one["personas"][1],
            "additional_context": "",
            "previous_utterance": [one["free_turker_utterance"], one["guided_turker_utterance"]],
            "context": one["context_dataset"],
            "free_messages": [text for who, text in one["dialog"] if who == 0],
            "guided_messages": [text for who, text in one["dialog"] if who == 1],
            "label_candidates": [["no"] * 3],
        }
        for one in chats
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


CHATS = [chat("I like acting", "that is ok.  have any kids?", "No", "5 & 7"), chat("Hi", "Hello", context="convai2")]


def test_both_published_forms(tmp_path: Path) -> None:
    write(tmp_path / "json" / "train.json", CHATS)
    write(tmp_path / "json" / "ed_persona_topicifier__train__both_sides.json", [[]])
    write(tmp_path / "json" / "human_annotations.json", {})
    as_rows(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", CHATS)
    good, bad = sorted_out(source("blended_skill_talk", tmp_path / "json"))
    assert not bad
    assert [turn.text for turn in good[0].turns] == [
        *("I love live music", "I do too. Wat do you like?"),
        *("I like acting", "that is ok. have any kids?", "No", "5 & 7"),
    ]
    assert [turn.speaker for turn in good[0].turns] == ["user", "assistant"] * 3
    assert [(item.id, item.domain) for item in good] == [
        ("bst-train-000001", "chat-empathetic-dialogues"),
        ("bst-train-000002", "chat-convai2"),
    ]
    assert {item.licence for item in good} == {manifest_licence("blended_skill_talk")}
    rows, bad = sorted_out(source("blended_skill_talk", tmp_path / "hub"))
    assert not bad
    assert [(i.turns, i.domain) for i in rows] == [(i.turns, i.domain) for i in good]
    swapped, _ = sorted_out(source("blended_skill_talk", tmp_path / "json", user="guided"))
    assert [other(t.speaker) for t in swapped[0].turns] == [t.speaker for t in good[0].turns]


def test_bad_records_are_recorded(tmp_path: Path) -> None:
    found = [chat("Hi", "see www.x.org"), chat("Hi", dialog=[[2, "Hi"]]), {"dialog": []}, {}, chat("Hi")]
    write(tmp_path / "train.json", found)
    write(tmp_path / "valid.json", [[]])
    (tmp_path / "test.json").write_text("[")
    (tmp_path / "train-00000-of-00001.parquet").write_text("no")
    pq.write_table(pa.table({"context": ["x"]}), tmp_path / "test-00000-of-00001.parquet")
    good, bad = sorted_out(source("blended_skill_talk", tmp_path))
    assert [item.id for item in good] == ["bst-train-000005"]
    assert {item.where: item.reason for item in bad}.keys() == {
        *("test.json", "valid.json", "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        *(f"train.json record {n}" for n in (1, 2, 3, 4)),
    }
    reasons = {item.where: item.reason for item in bad}
    assert "a web address" in reasons["train.json record 1"]
    assert "dialog.0.0" in reasons["train.json record 2"]
    assert "expected a list of chats" in reasons["valid.json"]
    assert "no column previous_utterance, free_messages" in reasons["test-00000-of-00001.parquet"]


def test_any_range_in_any_process(tmp_path: Path) -> None:
    write(tmp_path / "train.json", [chat(f"Hi {n}", "Hello") for n in range(7)])
    as_rows(tmp_path / "valid" / "validation-00000-of-00001.parquet", [chat(f"Ho {n}", "Hello") for n in range(4)])
    config = blended_skill_talk.Config(kind="blended_skill_talk", path=str(tmp_path))
    whole = everything(blended_skill_talk.make(config))
    assert len(whole) == 11
    for start, stop in [(0, 0), (5, 9), (10, 11)]:
        assert list(blended_skill_talk.make(config).read(start, stop, seed=2)) == whole[start:stop]


def test_needs_and_licences(tmp_path: Path) -> None:
    config: Any = kinds.parse("sources", {"kind": "blended_skill_talk", "path": "${BST_HOME}/data"})
    (need,) = blended_skill_talk.needs(config)
    assert not need.found
    assert "set BST_HOME to" in need.remedy
    assert "hf download ParlAI/blended_skill_talk" in need.remedy
    with pytest.raises(ValueError, match="set BST_HOME"):
        blended_skill_talk.make(config)
    assert blended_skill_talk.licences(config) == ("CC BY-NC",)
