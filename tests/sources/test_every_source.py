"""What every source kind says of itself before it is made: what it needs, and under which licences its texts are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Dialogue
from datagen.sources._turns import count_words, cut
from tests.sources.reading import manifest_licence

CORPORA = (
    *("blended_skill_talk", "convai2", "moss", "schema_guided"),
    *("taskmaster", "topical_chat", "voiceassistant"),
)
FILES: dict[str, dict[str, Any]] = {name: {} for name in CORPORA} | {"jsonl": {"language": "en", "licence": "MIT"}}
DIALOGUES: dict[str, Any] = {
    "topical_chat": {"t": {"config": "A", "content": [{"agent": "agent_1", "message": "Hi"}]}},
    "taskmaster": [{"conversation_id": "a", "utterances": [{"speaker": "USER", "text": "Hi"}]}],
    "schema_guided": [{"dialogue_id": "1", "services": ["A"], "turns": [{"speaker": "USER", "utterance": "Hi"}]}],
    "jsonl": {"turns": [{"speaker": "user", "text": "Hi"}]},
}


def config_of(kind: str, **more: Any) -> Any:
    return kinds.parse("sources", {"kind": kind, **FILES.get(kind, {}), **more})


@pytest.mark.parametrize("kind", kinds.names("sources"))
def test_every_kind_says_what_it_needs_and_its_licences(kind: str) -> None:
    module = kinds.module("sources", kind)
    assert callable(module.needs)
    assert callable(module.licences)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("path", ["$SOME_HOME/x", "/nosuch/folder", "{here}", "nosuch://x"])
def test_missing_files_come_with_a_remedy(kind: str, path: str, tmp_path: Path) -> None:
    config = config_of(kind, path=path.format(here=tmp_path))
    module = kinds.module("sources", kind)
    (need,) = module.needs(config)
    assert need.name == f"{kind} files"
    assert not need.found
    assert "\n" not in need.remedy
    assert ("set SOME_HOME to the folder of the" in need.remedy) == path.startswith("$")
    with pytest.raises(ValueError, match=r"^path: ") as caught:
        module.make(config)
    assert need.remedy.startswith(str(caught.value)), "the same reason, and how to get the files"


@pytest.mark.parametrize("kind", FILES)
def test_a_path_on_another_machine_is_not_asked_for(kind: str) -> None:
    pytest.importorskip("huggingface_hub")
    (need,) = kinds.module("sources", kind).needs(config_of(kind, path="hf://datasets/some/thing"))
    assert need.found == "hf://datasets/some/thing, to be read over the network"


@pytest.mark.parametrize("kind", DIALOGUES)
def test_licences_are_those_of_the_dialogues(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("dialogues_001.json" if kind != "jsonl" else "a.jsonl")
    path.write_text(json.dumps(DIALOGUES[kind]) + "\n")
    config, module = config_of(kind, path=str(tmp_path)), kinds.module("sources", kind)
    (need,) = module.needs(config)
    assert need.found == f"1 file in {tmp_path}"
    (item,) = module.make(config).read(0, 1, 0)
    assert isinstance(item, Dialogue)
    assert module.licences(config) == (item.licence,)


@pytest.mark.parametrize("kind", CORPORA)
def test_licences_are_those_of_the_manifest(kind: str) -> None:
    assert kinds.module("sources", kind).licences(config_of(kind, path="x")) == (manifest_licence(kind),)


def test_a_grammar_needs_its_folder() -> None:
    module = kinds.module("sources", "grammar")
    (need,) = module.needs(config_of("grammar"))
    assert need.found
    (item,) = module.make(config_of("grammar")).read(0, 1, 0)
    assert module.licences(config_of("grammar")) == (item.licence,)
    (need,) = module.needs(config_of("grammar", grammar="/nosuch/folder"))
    assert not need.found
    assert "there is no grammar" in need.remedy


@given(st.text(st.characters(exclude_categories=["Lo"])))
def test_words_are_what_spaces_part(text: str) -> None:
    assert count_words(text) == len(text.split())


@pytest.mark.parametrize(
    ("text", "words"), [("你好，世界", 4), ("我用 Python 3 写 code。", 6), ("カナ", 2), ("नमस्ते दुनिया", 2), ("…", 1)]
)
def test_characters_count_where_words_are_not_parted(text: str, words: int) -> None:
    assert count_words(text) == words


def test_chinese_is_cut_by_its_characters() -> None:
    turns: list[Any] = [(("user", "assistant")[n % 2], "好" * 15) for n in range(4)]
    assert [len(part) for part in cut(turns, 30, None)] == [2, 2]
