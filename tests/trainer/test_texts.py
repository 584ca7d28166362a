"""Which written dialogues a run reads: none that its dataset holds, and one clear line where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen import kinds
from tests.tiny import Tiny, built, dialogue, write_lines
from trainer.texts import FAR, Texts, read, texts_of

__all__ = ["built"]

GRAMMAR = {"kind": "grammar", "grammar": "en"}


def recipe(folder: Path, source: str) -> str:
    (folder / "recipe.yaml").write_text(f"seed: 7\nsource: {source}\n")
    return str(folder)


def test_a_source_that_never_ends_is_read_far_behind_the_dataset(tmp_path: Path) -> None:
    texts = texts_of("auto", recipe(tmp_path, "{kind: grammar, grammar: en}"))
    assert texts is not None
    assert texts == Texts(source=GRAMMAR, first=FAR, seed=7)
    found = read(texts, 5)
    source = kinds.make("sources", kinds.parse("sources", GRAMMAR))
    held = {d.turns for d in source.read(0, 200, 7)}
    assert len({d.id for d in found}) == 5
    assert not held & {d.turns for d in found if len(d.turns) > 4}
    assert read(texts, 5) == found


def test_a_source_that_ends_may_hold_the_test_split_and_is_not_read_unasked(built: Tiny, tmp_path: Path) -> None:
    for folder in (built.out, tmp_path):
        with pytest.raises(ValueError, match="finds no source that never ends"):
            texts_of("auto", str(folder))
    assert texts_of("none", recipe(tmp_path, "{kind: grammar, grammar: en}")) is None


def test_dialogues_of_ones_own(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "own.jsonl", [dialogue(n) for n in range(6)])
    texts = texts_of(f"{{kind: jsonl, path: {lines}, licence: CC0-1.0, language: en}}", str(tmp_path))
    assert texts is not None
    assert len(read(texts, 4)) == 4
    assert len(read(texts, 100)) == 6


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("[1, 2]", "names no kind; give none, auto"),
        ("{kind: [", "is no YAML"),
        ("{kind: gramar}", "unknown kind 'gramar' of sources"),
    ],
)
def test_what_cannot_be_read_is_said_at_once(tmp_path: Path, asked: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        texts_of(asked, str(tmp_path))


def test_no_dialogue_at_all_is_said(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "own.jsonl", ['{"turns": 3}'])
    texts = texts_of(f"{{kind: jsonl, path: {lines}, licence: CC0-1.0, language: en}}", str(tmp_path))
    assert texts is not None
    with pytest.raises(ValueError, match="--texts none goes without"):
        read(texts, 4)
