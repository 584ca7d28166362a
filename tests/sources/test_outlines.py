"""Outlines: the same dialogues, marked, under other ids, alone and in a mixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen import kinds
from datagen.core.types import Dialogue, Turn, Unreadable
from datagen.sources import mixture, outlines
from tests.sources.reading import everything


def lines(path: Path, *texts: list[str] | str, **more: Any) -> dict[str, Any]:
    """A config of dialogues of these turns; a string is a line that cannot be read."""
    written = [
        one
        if isinstance(one, str)
        else json.dumps(
            {"turns": [{"speaker": ("user", "assistant")[n % 2], "text": t} for n, t in enumerate(one)], **more}
        )
        for one in texts
    ]
    path.write_text("".join(f"{line}\n" for line in written))
    return {"kind": "jsonl", "path": str(path), "language": "en", "licence": "CC0-1.0"}


def made(**config: Any) -> kinds.Source:
    return kinds.make("sources", kinds.parse("sources", config))


def test_dialogues_become_outlines_one_for_one(tmp_path: Path) -> None:
    inner = lines(tmp_path / "a.jsonl", ["Hi", "Hello", "Bye"], "{", ["One"])
    scripts = everything(made(**inner))
    found = everything(made(kind="outlines", source=inner))
    assert made(kind="outlines", source=inner).size() == len(scripts) == 3
    for script, item in zip(scripts, found, strict=True):
        if isinstance(script, Unreadable):
            assert item == script
            continue
        assert isinstance(item, Dialogue)
        assert item.use == "outline"
        assert item.id == f"outline-{script.id}"
        assert {**dict(item), "id": script.id, "use": script.use} == dict(script)
    assert list(made(kind="outlines", source=inner).read(1, 3, seed=4)) == found[1:3]


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=9), st.none() | st.integers(1, 9), st.none() | st.integers(1, 30)
)
def test_limits_keep_whole_turns_from_the_beginning(counts: list[int], turns: int | None, words: int | None) -> None:
    said = tuple(Turn(speaker=("user", "assistant")[n % 2], text=" ".join("w" * k)) for n, k in enumerate(counts))
    config: Any = kinds.parse(
        "sources", {"kind": "outlines", "source": {"kind": "grammar"}, "max_turns": turns, "max_words": words}
    )
    kept = outlines._whole_turns(said, config)
    assert 1 <= kept <= min(len(said), turns or 99)
    assert kept == 1 or words is None or sum(counts[:kept]) <= words
    more = kept + 1
    assert more > len(said) or more > (turns or 99) or sum(counts[:more]) > (words or 999), "no turn too few"


def test_the_same_dialogue_can_be_script_and_outline_in_a_mixture(tmp_path: Path) -> None:
    inner = lines(tmp_path / "a.jsonl", ["Hi", "Hello"], ["Ho", "Hello"])
    parts = [{"source": inner}, {"source": {"kind": "outlines", "source": inner}, "id_prefix": "x"}]
    found = cast(list[Dialogue], everything(made(kind="mixture", parts=parts)))
    assert sorted((item.id, item.use) for item in found) == [
        ("a-0000001", "script"),
        ("a-0000002", "script"),
        ("x-outline-a-0000001", "outline"),
        ("x-outline-a-0000002", "outline"),
    ]


def test_an_id_that_grows_too_long_is_unreadable(tmp_path: Path) -> None:
    twice = {"kind": "outlines", "source": {"kind": "outlines", "source": lines(tmp_path / "a.jsonl", ["Hi"])}}
    assert [item.id for item in everything(made(**twice))] == ["outline-outline-a-0000001"]
    inner: dict[str, Any] = lines(tmp_path / "b.jsonl", ["Hi"], id="x" * 100)
    for _ in range(4):
        inner = {"kind": "outlines", "source": inner}
    (item,) = everything(made(**inner))
    assert isinstance(item, Unreadable)
    assert "\n" not in item.reason


def test_needs_and_licences_are_those_of_the_sources(tmp_path: Path) -> None:
    inner = lines(tmp_path / "a.jsonl", ["Hi"])
    missing = {"kind": "topical_chat", "path": "$TOPICAL_CHAT_HOME"}
    raw = {
        "kind": "mixture",
        "parts": [
            {"source": inner},
            {"source": {"kind": "outlines", "source": missing}},
            {"source": {"kind": "outlines", "source": inner, "max_turns": 3}},
            {"source": {"kind": "grammar"}},
        ],
    }
    config = cast(mixture.Config, kinds.parse("sources", raw))
    assert [(need.name, bool(need.found)) for need in mixture.needs(config)] == [
        ("jsonl files", True),
        ("topical_chat files", False),
        ("jsonl files", True),
        ("grammar", True),
    ]
    assert mixture.licences(config) == ("CC0-1.0", "CDLA-Sharing-1.0", "Apache-2.0")


def test_bad_recipes_are_refused() -> None:
    for source, message in [
        ({"kind": "nosuch"}, "unknown kind 'nosuch'"),
        ({"kind": "jsonl", "path": "x"}, "jsonl: language: Field required"),
    ]:
        with pytest.raises(ValidationError, match=message):
            kinds.parse("sources", {"kind": "outlines", "source": source})


def test_the_config_survives_a_round_trip() -> None:
    raw = {"kind": "outlines", "source": {"kind": "convai2", "path": "x", "max_words": 99}, "max_turns": 5}
    config = kinds.parse("sources", raw)
    assert type(config).model_validate_json(config.model_dump_json()) == config
