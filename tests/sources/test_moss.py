"""MOSS: both published forms, their markers, their two languages, and files too large to parse."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen import kinds
from datagen.core.types import Dialogue
from datagen.sources import _records, moss
from tests.sources.reading import everything, manifest_licence, sorted_out, source, write

META = "You are an AI assistant whose name is MOSS.\n- MOSS can understand English and 中文.\n- Web search: disabled.\n"
PREFIX = "MOSS is an AI assistant developed by the FudanNLP Lab and Shanghai AI Lab. Below is a conversation."


def turn(human: str, answer: str, commands: str = "None") -> dict[str, str]:
    return {
        "Human": f"<|Human|>: {human}<eoh>\n",
        "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
        "Commands": f"<|Commands|>: {commands}<eoc>\n",
        "Tool Responses": "<|Results|>:\nNone\n<eor>\n",
        "MOSS": f"<|MOSS|>: {answer}<eom>\n",
    }


def chat(*turns: dict[str, str], category: str = "Brainstorming") -> dict[str, Any]:
    return {
        "conversation_id": 1,
        "meta_instruction": META,
        "num_turns": len(turns),
        "chat": {f"turn_{number}": one for number, one in enumerate(turns, 1)},
        "category": category,
    }


def plain(number: int, *texts: str) -> dict[str, Any]:
    marks = [("[Human]: ", "<eoh>"), ("[MOSS]: ", "<eoa>")]
    said = " ".join(marks[n % 2][0] + text + marks[n % 2][1] for n, text in enumerate(texts))
    return {"id": number, "prefix": PREFIX, "num_turns": len(texts) // 2, "plain_text": said}


def lines(path: Path, *records: Any, ascii_only: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=ascii_only)) + "\n" for r in records)
    path.write_text(text, encoding="utf-8")
    return path


HELLO = turn("Hi there", "Hello!")
NIHAO = turn("你好！", "你好，有什么可以帮你？")


def said(item: Dialogue) -> list[str]:
    return [t.text for t in item.turns]


def test_moss_003(tmp_path: Path) -> None:
    tips = turn("How?", 'Say "yes".\n\n1. **Read**\n2. Rest<sup><|1|><|2|></sup> <|3|>', 'Search("how")')
    ten = chat(*[turn(f"Question {n}?", f"Answer {n}.") for n in range(1, 12)], category="harmless_en")
    lines(tmp_path / "moss-003-sft-no-tools.jsonl", chat(HELLO, tips), "", ten)
    good, bad = sorted_out(source("moss", tmp_path))
    assert not bad
    assert [item.id for item in good] == [f"moss-003-sft-no-tools-{n:07d}" for n in (1, 2)]
    assert said(good[0]) == ["Hi there", "Hello!", "How?", 'Say "yes". Read. Rest']
    assert said(good[1])[-2:] == ["Question 11?", "Answer 11."], "turns in order of their numbers"
    assert [item.domain for item in good] == ["brainstorming", "harmless"]
    assert {(i.source, i.language, i.licence) for i in good} == {("moss", "en", manifest_licence("moss"))}


def test_moss_002_and_one_object_per_file(tmp_path: Path) -> None:
    first = plain(0, "how do i bake", "With [flour] and water.", "And then?", "Wait {a day}.", "And?", "Eat.")
    write(tmp_path / "en_helpfulness.json", [first, plain(1, "Hi", "Hello")])
    write(tmp_path / "zh_helpfulness.json", [plain(0, "你好", "你好！")])
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "tool_1.json").write_text(json.dumps(chat(HELLO, category="tool"), indent=4))
    good, bad = sorted_out(source("moss", tmp_path))
    assert not bad
    assert [item.id for item in good] == ["a-b-tool-1-0000001", "en-helpfulness-0000001", "en-helpfulness-0000002"]
    assert said(good[1]) == ["how do i bake", "With flour and water."], "braces are code"
    assert [item.domain for item in good] == ["tool", "helpfulness", "helpfulness"]
    (only,), _ = sorted_out(source("moss", tmp_path, language="zh"))
    assert (only.id, only.language, said(only)) == ("zh-helpfulness-0000001", "zh", ["你好", "你好！"])


@pytest.mark.parametrize("ascii_only", [True, False])
def test_languages_are_told_by_the_users_first_words(tmp_path: Path, ascii_only: bool) -> None:
    mixed = chat(HELLO, turn("Translate cat", "猫"), HELLO)
    zh = chat(NIHAO, turn("OK, 再见", "再见 my friend，欢迎再来"), turn("now in English please", "Of course I can"))
    path = lines(tmp_path / "a.jsonl", chat(HELLO), chat(NIHAO), mixed, zh, ascii_only=ascii_only)
    good, bad = sorted_out(source("moss", path))
    assert not bad
    assert [(item.id, len(item.turns)) for item in good] == [("a-0000001", 2), ("a-0000003", 2)]
    good, bad = sorted_out(source("moss", path, language="zh"))
    assert not bad
    assert [(item.id, len(item.turns)) for item in good] == [("a-0000002", 2), ("a-0000004", 4)]


def test_chinese_is_measured_in_characters(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", chat(NIHAO, turn("讲", "好" * 400)), chat(turn("讲", "好" * 400)))
    (short,), (long,) = sorted_out(source("moss", path, language="zh"))
    assert len(short.turns) == 2
    assert long.reason == "exchange 1: 401 words are more than max_words 380"


def test_bad_records_are_recorded(tmp_path: Path) -> None:
    no_marker = chat({**HELLO, "MOSS": "Hello!"})
    drawing = chat(turn("Draw a cat", "Here it is.", 'Text2Image("a cat")'))
    records = [
        "{",
        chat(HELLO),
        {"conversation": []},
        no_marker,
        drawing,
        chat(turn("Code!", "```x = 1```")),
        chat({**HELLO, "MOSS": 3}),  # type: ignore[dict-item]
        {**chat(), "chat": {"first": HELLO}},
        chat(),
        {"plain_text": "Human: Hi"},
        {"plain_text": "[Human]: Hi<eoh>"},
        chat(turn("Hi", "你好")),
    ]
    good, bad = sorted_out(source("moss", lines(tmp_path / "a.jsonl", *records)))
    assert [item.id for item in good] == ["a-0000002"]
    assert [item.where for item in bad] == [f"a.jsonl record {n}" for n in (1, *range(3, 13))]
    reasons = [
        "Invalid JSON",
        "neither chat nor plain_text",
        "turn_1: the marker <|MOSS|> is missing",
        "exchange 1: it draws a picture",
        "exchange 1: cannot be spoken: code",
        "chat.turn_1.MOSS",
        "first",
        "there is no exchange",
        "neither [Human]: nor [MOSS]: at 'Human: Hi'",
        "exchange 1: one side says nothing",
        "exchange 1: it is partly in Chinese",
    ]
    assert all(part in item.reason for part, item in zip(reasons, bad, strict=True))


def test_a_truncated_list_loses_only_its_end(tmp_path: Path) -> None:
    text = json.dumps([plain(n, "Hi", f"Hello {n}") for n in range(3)])
    (tmp_path / "en_a.json").write_text(text[:-20])
    good, bad = sorted_out(source("moss", tmp_path))
    assert [item.id for item in good] == ["en-a-0000001", "en-a-0000002"]
    assert [item.where for item in bad] == ["en_a.json record 3"]


strings = st.text(st.sampled_from('abc{}[]"\\,: \n\u00e9中😀'), max_size=12)
documents = st.lists(st.dictionaries(strings, strings | st.dictionaries(strings, strings), max_size=3), max_size=8)


@given(documents, st.booleans(), st.none() | st.integers(0, 4), st.integers(1, 40))
def test_objects_are_found_as_json_has_them(
    records: list[Any], ascii_only: bool, indent: int | None, at_a_time: int
) -> None:
    data = json.dumps(records, ensure_ascii=ascii_only, indent=indent).encode()
    before, _records.AT_A_TIME = _records.AT_A_TIME, at_a_time
    try:
        found = list(_records.objects(io.BytesIO(data)))
    finally:
        _records.AT_A_TIME = before
    assert [json.loads(part) for _, part in found] == records
    assert all(data[offset : offset + len(part)] == part for offset, part in found)


def test_any_range_in_any_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "PER_BLOCK", 3)
    lines(tmp_path / "a.jsonl", *[chat(HELLO), "", chat(NIHAO), "{"] * 4)
    write(tmp_path / "b.json", [plain(n, f"Hi {n}", "Hello") for n in range(5)])
    found = source("moss", tmp_path)
    whole = everything(found)
    assert found.size() == len(whole) == 13
    config = moss.Config(kind="moss", path=str(tmp_path))
    for start, stop in [(0, 0), (2, 9), (7, 13), (12, 13)]:
        assert list(moss.make(config).read(start, stop, seed=5)) == whole[start:stop]


def test_other_file_systems(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/moss/x.jsonl", b"\xef\xbb\xbf" + json.dumps(chat(HELLO)).encode())
    (only,) = everything(source("moss", "memory://moss"))
    assert isinstance(only, Dialogue)


def test_what_is_missing_or_packed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^path: .* set MOSS_HOME to the folder of the MOSS files"):
        source("moss", "$MOSS_HOME")
    packed = tmp_path / "moss-003-sft-no-tools.jsonl.zip"
    packed.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"is packed; run: unzip moss-003"):
        source("moss", packed)
    (need,) = moss.needs(moss.Config(kind="moss", path=str(tmp_path)))
    assert not need.found
    assert "holds no MOSS files" in need.remedy
    assert "hf download fnlp/moss-003-sft-data" in need.remedy
    write(tmp_path / "a" / "b.json", [])
    write(tmp_path / "a-b.json", [])
    with pytest.raises(ValueError, match=r"a-b.json, a/b.json would give dialogues the same ids"):
        source("moss", tmp_path)


def test_the_licence_is_one_of_the_two_that_are_stated(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", chat(HELLO))
    (only,), _ = sorted_out(source("moss", path, licence="CC BY 4.0"))
    config: Any = kinds.parse("sources", {"kind": "moss", "path": str(path), "licence": "CC BY 4.0"})
    assert moss.licences(config) == (only.licence,) == ("CC BY 4.0",)
    with pytest.raises(ValidationError, match="licence"):
        source("moss", path, licence="MIT")
