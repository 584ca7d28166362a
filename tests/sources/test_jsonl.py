"""The jsonl source: one line, one item; bad lines are told apart by file and line; any range, any process."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen import kinds
from datagen.core.types import Dialogue, Unreadable
from datagen.sources import jsonl
from datagen.sources._turns import cut

HI = {"turns": [{"speaker": "user", "text": "Hi."}, {"speaker": "assistant", "text": "Hello!"}]}

CONFIG = {"kind": "jsonl", "language": "en", "licence": "CC0-1.0"}


def write(path: Path, *lines: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def source(path: Path | str, **more: Any) -> kinds.Source:
    return kinds.make("sources", kinds.parse("sources", {**CONFIG, "path": str(path), **more}))


def everything(found: kinds.Source) -> list[Dialogue | Unreadable]:
    return list(found.read(0, found.size() or 0, seed=0))


def only(path: Path, **more: Any) -> Dialogue | Unreadable:
    (item,) = everything(source(path, **more))
    return item


def test_both_forms_give_the_same_turns(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello!"},
    ]
    path = write(tmp_path / "a.jsonl", {"id": "call 17", "domain": "billing", **HI}, {"messages": messages})
    first, second = everything(source(path))
    assert isinstance(first, Dialogue)
    assert isinstance(second, Dialogue)
    assert first.turns == second.turns
    assert (first.id, first.domain, first.source, first.licence) == ("call-17", "billing", "jsonl", "CC0-1.0")
    assert (second.id, second.domain) == ("a-0000002", "general")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        ({}, "either turns or messages"),
        ({**HI, "messages": []}, "either turns or messages"),
        ({**HI, "lang": "en"}, "lang: unknown key"),
        ({"turns": [{"speaker": "user", "text": "Hi", "n": 1}]}, "turns.0.n: unknown key"),
        ({"turns": [{"speaker": "agent", "text": "Hi"}]}, "turns.0.speaker"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages.0.role"),
        ({"turns": []}, "nothing|anything to say"),
        ({"turns": [{"speaker": "user", "text": " ... "}]}, "anything to say"),
        ({"turns": [{"speaker": "user", "text": "see www.x.org"}]}, "cannot be spoken: a web address"),
        ({"turns": [{"speaker": "user", "text": "word " * 500}]}, "2499 characters"),
        ({"id": "über" * 99, **HI}, "usable characters"),
        ({"id": "...", **HI}, "usable characters"),
        ({"id": True, **HI}, "id"),
    ],
)
def test_a_bad_line_is_recorded_and_does_not_stop_the_others(tmp_path: Path, line: Any, reason: str) -> None:
    good, bad, after = everything(source(write(tmp_path / "b.jsonl", HI, line, HI)))
    assert isinstance(good, Dialogue)
    assert isinstance(after, Dialogue)
    assert isinstance(bad, Unreadable)
    assert (bad.id, bad.where) == ("b-0000002", "b.jsonl:2")
    assert "\n" not in bad.reason
    assert any(part in bad.reason for part in reason.split("|"))


def test_bytes_that_are_not_utf8_spoil_one_line_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", HI)
    path.write_bytes(b'\xef\xbb\xbf{"turns": [{"speaker": "user", "text": "caf\xe9"}]}\r\n\r\n' + path.read_bytes())
    bad, good = everything(source(path))
    assert isinstance(bad, Unreadable)
    assert isinstance(good, Dialogue)
    assert good.id == "a-0000003", "blank lines are no items but count as lines"


def test_an_id_is_used_once(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"id": "x_1", **HI}, HI)
    write(tmp_path / "b.jsonl", {"id": "x 1", **HI}, {"id": "a-0000002", **HI}, {"id": "new", **HI})
    for limits in ({}, {"max_words": 50}):
        found = everything(source(tmp_path, **limits))
        again = [item for item in found if isinstance(item, Unreadable)]
        assert [item.reason for item in again] == ["id used before at a.jsonl:1", "id used before at a.jsonl:2"]
        assert [item.id for item in again] == ["b-0000001", "b-0000002"]
        assert len({item.id for item in found}) == 5


def test_folders_globs_and_compressed_files(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", HI)
    write(tmp_path / "a" / "b.jsonl", HI)
    write(tmp_path / ".hidden" / "c.jsonl", HI)
    (tmp_path / "notes.txt").write_text("not mine")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as stream:
        stream.write(json.dumps(HI) + "\n")
    ids = [item.id for item in everything(source(tmp_path))]
    assert ids == ["a-b-0000001", "b-0000001", "c-0000001"], "names in the folder, in their order"
    assert [item.id for item in everything(source(tmp_path / "*.jsonl"))] == ["b-0000001"]
    assert [item.id for item in everything(source(f"file://{tmp_path}/c.jsonl.gz"))] == ["c-0000001"]


def test_any_range_gives_the_same_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LINES_PER_BLOCK", 3)
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", *[HI, "", "{"] * 7)
    found = source(tmp_path)
    whole = everything(found)
    assert found.size() == len(whole) == 28
    for start, stop in [(0, 0), (3, 11), (13, 15), (27, 28), (5, 6)]:
        assert list(found.read(start, stop, seed=9)) == whole[start:stop]
    config = kinds.parse("sources", CONFIG | {"path": str(tmp_path)})
    assert isinstance(config, jsonl.Config)
    fresh = jsonl.make(config)
    assert list(fresh.read(9, 20, seed=0)) == whole[9:20], "without having read what comes before"
    with pytest.raises(ValueError, match="not within the 28"):
        list(found.read(20, 29, seed=0))


def test_turns_are_merged_and_empty_ones_dropped(tmp_path: Path) -> None:
    turns = [("user", "So"), ("assistant", "…"), ("user", "you know."), ("assistant", "Yes.  I **do**"), ("user", ":)")]
    item = only(write(tmp_path / "a.jsonl", {"turns": [{"speaker": s, "text": t} for s, t in turns]}))
    assert isinstance(item, Dialogue)
    assert [(t.speaker, t.text) for t in item.turns] == [("user", "So you know."), ("assistant", "Yes. I do")]


def test_language_replacements_are_applied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"turns": [{"speaker": "user", "text": "40% off"}]})
    item = only(path, replace=[["%", " percent"]])
    assert isinstance(item, Dialogue)
    assert item.turns[0].text == "40 percent off"


def test_cutting_is_asked_for(tmp_path: Path) -> None:
    turns = [{"speaker": s, "text": "one two three four five"} for s in ("user", "assistant") * 6]
    path = write(tmp_path / "a.jsonl", {"id": "long", "turns": turns})
    assert only(path).id == "long"
    parts = everything(source(path, max_words=25))
    assert [item.id for item in parts] == ["long-p0", "long-p1", "long-p2"]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=12),
    st.sampled_from(["user", "assistant"]),
    st.none() | st.integers(20, 60),
    st.none() | st.integers(3, 9),
)
def test_cut_law(words: list[int], first: Any, max_words: int | None, max_turns: int | None) -> None:
    order = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    turns: list[Any] = [(order[i % 2], " ".join(["w"] * n)) for i, n in enumerate(words)]
    if max_words is not None and any(sum(words[i : i + 3]) > max_words for i in range(len(words))):
        return  # an exchange alone may be too long
    parts = cut(turns, max_words, max_turns)
    assert [turn for part in parts for turn in part] == turns
    assert all(part[0][0] == "user" for part in parts[1:])
    lengths = [sum(len(text.split()) for _, text in part) for part in parts]
    assert max_words is None or max(lengths) <= max_words
    assert max_turns is None or max(map(len, parts)) <= max_turns
    if max_words is None and max_turns is None:
        assert len(parts) == 1


def test_an_exchange_over_the_limit_is_unreadable(tmp_path: Path) -> None:
    turns = [{"speaker": "user", "text": "Hi"}, {"speaker": "assistant", "text": "la " * 40}]
    bad = only(write(tmp_path / "a.jsonl", {"turns": turns}), max_words=20)
    assert isinstance(bad, Unreadable)
    assert "max_words 20" in bad.reason


@pytest.mark.parametrize("path", ["missing", "missing/*.jsonl", "nosuch://x/y", "."])
def test_nothing_to_read_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^path: ") as caught:
        source(path)
    assert "\n" not in str(caught.value)


def test_licence_and_language_are_required() -> None:
    with pytest.raises(ValidationError, match="licence"):
        kinds.parse("sources", {"kind": "jsonl", "path": "x", "language": "en"})
