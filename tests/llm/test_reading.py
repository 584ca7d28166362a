"""What is taken for the JSON in an answer, and what a model is told about a bad one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.llm._reading import objection, unwrapped
from tests.llm.questions import Said

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
PROSE = st.text(st.characters(exclude_characters="{}[`", exclude_categories=["Cs"]), max_size=30)


@given(
    st.dictionaries(st.text(), JSON), PROSE, PROSE, st.sampled_from(["{}", "```json\n{}\n```", "```\n{}\n```", "`{}`"])
)
def test_one_object_is_found_in_any_prose(value: dict[str, Any], before: str, after: str, fence: str) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(unwrapped(f"{before}{fence.replace('{}', text)}{after}")) == value


@given(st.lists(JSON))
def test_lists_are_left_whole(value: list[Any]) -> None:
    text = json.dumps(value)
    assert json.loads(unwrapped(text)) == value
    assert json.loads(unwrapped(f"```json\n{text}\n```")) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1} or rather {"a": 2}',
        'use {braces}: {"a": 1}',
        '{"a": 1',
        '{"a": 1}}',
        "no JSON at all",
        "",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_is_in_doubt_stays_as_it_is(text: str) -> None:
    assert unwrapped(text) == text


def test_thinking_is_dropped() -> None:
    assert unwrapped('<think>\n{"a": 1}? no\n</think>\n\n{"a": 2}') == '{"a": 2}'


def test_an_objection_is_one_line_without_the_answer() -> None:
    with pytest.raises(ValidationError) as caught:
        Said.model_validate({"index": "secret\nsecret", "word": ""})
    assert objection(caught.value) == (
        "index: Input should be a valid integer, unable to parse string as an integer; "
        "word: String should have at least 1 character"
    )
    assert objection(ValueError("a\n  b")) == "a b"
    assert objection(ValueError()) == "ValueError"
    assert len(objection(ValueError("word " * 1000))) < 320
