"""Laws of the strict YAML loader."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.strict_yaml import load_yaml, parse_yaml


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("1e-4", 1e-4),
        ("-3", -3),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("~", None),
        ("''", ""),
    ],
)
def test_scalars_follow_the_core_schema(scalar: str, value: object) -> None:
    got = parse_yaml(f"key: {scalar}", "x.yaml")["key"]
    assert got == value
    assert type(got) is type(value)


@given(st.floats(allow_nan=False))
def test_numbers_come_back_as_written(number: float) -> None:
    assert parse_yaml(f"key: {number!r}".replace("inf", ".inf"), "x.yaml")["key"] == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "x.yaml:4: key 'c' appears twice (first on line 3)"),
        ("a: 1\n'a': 2", "x.yaml:2: key 'a' appears twice (first on line 1)"),
        ("a: [1,\n", "x.yaml:2: "),
        ("a: !!python/object:os.system {}", "x.yaml:1: could not determine a constructor"),
        ("? [a]\n: 1", "x.yaml:1: a key must be plain text"),
        ("- a", "x.yaml:1: the file holds a list; write a mapping"),
        ("", "x.yaml:1: the file holds nothing; write a mapping"),
    ],
)
def test_mistakes_are_one_line_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_yaml(text, "x.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("name: café\n", encoding="utf-8")
    bad.write_bytes(b"a: \xff")
    assert load_yaml(good) == {"name": "café"}
    for path in (bad, tmp_path / "absent.yaml"):
        with pytest.raises(ValueError, match=f"{path.name}:1: cannot be read"):
            load_yaml(path)
