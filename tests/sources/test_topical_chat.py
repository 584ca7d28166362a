"""Topical-Chat's own files: two people without roles, one of whom becomes the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datagen.core.types import other
from tests.helpers import samples
from tests.sources.reading import everything, manifest_licence, sorted_out, source, whole, write


def chat(*messages: tuple[int, str], config: str = "C") -> dict[str, Any]:
    return {
        "article_url": "",
        "config": config,
        "content": [{"agent": f"agent_{n}", "message": text, "sentiment": "Neutral"} for n, text in messages],
        "conversation_rating": {},
    }


def test_a_conversation(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", {"t_1": chat((2, "Hey.You?"), (1, "Hi"), (1, "there :)"), (2, "\n"))})
    ((only,), bad) = sorted_out(source("topical_chat", path))
    assert not bad
    assert (only.id, only.domain, only.source, only.licence) == ("t-1", "chat-c", "topical_chat", "CDLA-Sharing-1.0")
    assert [(t.speaker, t.text) for t in only.turns] == [("assistant", "Hey. You?"), ("user", "Hi there")]


def test_the_roles_can_be_swapped(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", {"t_1": chat((1, "Hi"), (2, "Hello"), (1, "Bye"))})
    (one,), _ = sorted_out(source("topical_chat", path))
    (two,), _ = sorted_out(source("topical_chat", path, user="agent_2"))
    assert [other(t.speaker) for t in one.turns] == [t.speaker for t in two.turns]
    assert [t.text for t in one.turns] == [t.text for t in two.turns]


def test_a_checkout_holds_more_than_conversations(tmp_path: Path) -> None:
    write(tmp_path / "conversations" / "valid_freq.json", {"t_2": chat((1, "Two"))})
    write(tmp_path / "conversations" / "train.json", {"t_1": chat((1, "One"))})
    for name in ("reading_sets/pre-build/train.json", "src/wiki/wiki.json", "TopicalChatASR/actual/x_audio.json"):
        write(tmp_path / name, {"t_1": {"config": "A"}})
    assert [item.id for item in everything(source("topical_chat", tmp_path))] == ["t-1", "t-2"]


def test_bad_records_are_recorded(tmp_path: Path) -> None:
    found = {
        "t_1": chat((3, "Hi")),
        "t_2": chat((1, "see www.x.org")),
        "t_3": {},
        "t_4": chat((1, ":)")),
        "t_5": chat((1, "Hi")),
    }
    write(tmp_path / "a.json", found)
    write(tmp_path / "b.json", [])
    (tmp_path / "c.json").write_text("{")
    good, bad = sorted_out(source("topical_chat", tmp_path))
    assert [item.id for item in good] == ["t-5"]
    assert [item.where for item in bad] == [*(f"a.json record {n}" for n in (1, 2, 3, 4)), "b.json", "c.json"]
    reasons = [
        "content.0.agent",
        "cannot be spoken",
        "config",
        "anything to say",
        "expected an object",
        "not a file of",
    ]
    assert all(part in item.reason for part, item in zip(reasons, bad, strict=True))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^path: .*gone' does not exist; give a file, a folder or a glob of"):
        source("topical_chat", tmp_path / "gone")


def test_the_real_file() -> None:
    folder = samples() / "dialogues" / "topical_chat"
    good, bad = sorted_out(source("topical_chat", folder))
    assert not bad
    assert len({whole(item.id) for item in good}) == 539
    assert {item.licence for item in good} == {manifest_licence("topical_chat")}
    assert {item.domain for item in good} == {"chat-a", "chat-b", "chat-c", "chat-d"}
    assert max(sum(len(t.words) for t in item.turns) for item in good) <= 380
    uncut, _ = sorted_out(source("topical_chat", folder, max_words=None))
    texts: dict[str, list[str]] = {}
    for item in good:
        texts.setdefault(whole(item.id), []).extend(turn.text for turn in item.turns)
    assert texts == {item.id: [turn.text for turn in item.turns] for item in uncut}, "cutting loses nothing"
