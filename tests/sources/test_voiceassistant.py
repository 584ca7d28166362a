"""VoiceAssistant-400K: conversations from rows wherever they stand, without a byte of their audio."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import _registry
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Dialogue
from datagen.files import fingerprint
from datagen.sources import voiceassistant
from tests.sources.parquet_files import AUDIO_BYTES, CountingFileSystem, Row, parquet, row, write_parquet
from tests.sources.reading import everything, manifest_licence, sorted_out, source

FOOTER = 65_536
"""What pyarrow reads of the end of a file to find its footer."""
ROWS: list[Row] = [
    row(
        "qa_assistant_v1_7k",
        "000000000",
        None,
        "How do I boil an egg?",
        "Put it into boiling water.\n\n1. Wait\n2. Eat",
    ),
    row("identity", "000000000", None, "Who are you?", "I am Omni."),
    row("rlhf", "000000007", "1", "And then?", "Then you rest."),
    row("trivia_multichoice", "000000000", "None", "Which is red?\nA. Grass\nB. Blood", "It is B, blood."),
    row("rlhf", "000000007", "0", "How do I run?", "Quickly."),
    row("rlhf", "000000007", "3", "Why?", "There is a gap before this."),
]


def test_the_published_form(tmp_path: Path) -> None:
    for number in range(3):
        write_parquet(tmp_path / "data" / f"train-{number:05d}-of-00003.parquet", ROWS[2 * number : 2 * number + 2])
    good, bad = sorted_out(source("voiceassistant", tmp_path))
    assert not bad
    assert [item.id for item in good] == [
        "va-qa-assistant-v1-7k-000000000",
        "va-rlhf-000000007",
        "va-trivia-multichoice-000000000",
    ]
    assert [[turn.text for turn in item.turns] for item in good] == [
        ["How do I boil an egg?", "Put it into boiling water. Wait. Eat"],
        ["How do I run?", "Quickly.", "And then?", "Then you rest."],
        ["Which is red? A. Grass. B. Blood", "It is B, blood."],
    ]
    assert [turn.speaker for turn in good[1].turns] == ["user", "assistant", "user", "assistant"]
    assert [item.domain for item in good] == ["qa-assistant-v1-7k", "rlhf", "trivia-multichoice"]
    assert {(i.source, i.language, i.use) for i in good} == {("voiceassistant", "en", "script")}
    assert {item.licence for item in good} == {manifest_licence("voiceassistant")}


def test_sets_are_left_out_by_name(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    ids = [item.id for item in everything(source("voiceassistant", path, skip=["rlhf", "trivia_multichoice"]))]
    assert ids == ["va-qa-assistant-v1-7k-000000000", "va-identity-000000000"]


def test_no_audio_is_read() -> None:
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    fs = fsspec.filesystem("counting")
    size = 0
    for number in range(2):
        content = parquet([row("q", f"{number}-{n}", None, f"Question {n}?", "Yes.") for n in range(20)], group=5)
        fs.pipe_file(f"/va/train-{number}.parquet", content)
        size += len(content)
    assert size > 40 * 2 * AUDIO_BYTES, "audio and its tokens are there"
    CountingFileSystem.total = 0
    found = everything(source("voiceassistant", "counting://va"))
    assert len(found) == 40
    assert all(isinstance(item, Dialogue) for item in found)
    assert CountingFileSystem.total < 2 * FOOTER + 10_000, "two footers, and the texts"


def test_bad_records_and_files_are_recorded(tmp_path: Path) -> None:
    rows = [
        row("q", "1", None, "See www.x.org", "Fine."),
        row("q", "2", None, "Fine?", None),
        row("q", "3", None, "", "Fine."),
        row("q", "4", None, "Hi.", "```x```"),
        row("rlhf", "5", "2", "Fine?", "Fine."),
        row("rlhf", "6", "x", "Fine?", "Fine."),
        row("rlhf", "7", "0", "Fine?", "Fine."),
        row("rlhf", "7", "0", "Fine?", "Fine."),
        row("q", "8", None, "Fine?", "word " * 400),
        row("q", "9", None, "Fine?", ":)"),
        row("q", "10", None, "Fine?", "Fine."),
    ]
    write_parquet(tmp_path / "a.parquet", rows)
    (tmp_path / "b.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    write_parquet(tmp_path / "c.parquet", rows[-1:], text_only=True)
    good, bad = sorted_out(source("voiceassistant", tmp_path / "a.parquet"))
    assert [item.id for item in good] == ["va-q-10"]
    assert [item.where for item in bad] == [f"a.parquet row {n}" for n in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
    for item, reason in zip(
        bad,
        [
            "exchange 1: cannot be spoken: a web address",
            "the answer is missing",
            "the question is missing",
            "exchange 1: cannot be spoken: code",
            "round 0 is missing, the first is 2",
            "a round is no number",
            "round 0 is there twice",
            "exchange 1: 401 words are more than max_words 380",
            "exchange 1: one side says nothing",
        ],
        strict=True,
    ):
        assert item.reason.startswith(reason)
    (broken,) = [item for item in everything(source("voiceassistant", tmp_path)) if item.id.startswith("b")]
    assert not isinstance(broken, Dialogue)
    assert broken.where == "b.parquet"
    assert broken.reason.startswith("not a file of this corpus: ")


def test_a_conversation_ends_before_what_cannot_be_spoken(tmp_path: Path) -> None:
    texts = ["One.", "Two.", "See www.x.org", "Four."]
    rows = [row("rlhf", "1", str(n), f"Question {n}?", text) for n, text in enumerate(texts)]
    path = write_parquet(tmp_path / "a.parquet", rows)
    (whole,), _ = sorted_out(source("voiceassistant", path))
    assert [turn.text for turn in whole.turns] == ["Question 0?", "One.", "Question 1?", "Two."]
    (short,), _ = sorted_out(source("voiceassistant", path, max_turns=3))
    assert len(short.turns) == 2
    (fewer,), _ = sorted_out(source("voiceassistant", path, max_words=None))
    assert fewer.turns == whole.turns


sets = st.sampled_from(["q", "rlhf", "identity"])


@given(st.data())
@settings(max_examples=25)
def test_rows_in_any_order_and_cut_anywhere_give_the_same_conversations(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.tuples(sets, st.integers(1, 4)), min_size=1, max_size=6))
    rows = [
        row(name, str(index), str(number), f"Question {index} {number}?", f"Answer {index} {number}.")
        for index, (name, rounds) in enumerate(counts)
        for number in range(rounds)
    ]
    shuffled = data.draw(st.permutations(rows))
    at = data.draw(st.integers(0, len(rows)))
    fs = fsspec.filesystem("memory")
    if fs.exists("/shuffled"):
        fs.rm("/shuffled", recursive=True)
    for name, part in (("a", shuffled[:at]), ("b", shuffled[at:])):
        if part:
            fs.pipe_file(f"/shuffled/{name}.parquet", parquet(part, data.draw(st.integers(1, 4)), text_only=True))
    config = voiceassistant.Config(kind="voiceassistant", path="memory://shuffled")
    found = voiceassistant.make(config)
    good, bad = sorted_out(found)
    assert not bad
    expected = {
        f"va-{name}-{index}": [
            text for n in range(rounds) for text in (f"Question {index} {n}?", f"Answer {index} {n}.")
        ]
        for index, (name, rounds) in enumerate(counts)
        if name != "identity"
    }
    assert {item.id: [turn.text for turn in item.turns] for item in good} == expected
    first = {f"va-{r[0]}-{r[1]}": n for n, r in reversed(list(enumerate(shuffled)))}
    assert [item.id for item in good] == sorted(expected, key=lambda name: first[name]), "in order of first rows"
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, len(good)))
    assert list(voiceassistant.make(config).read(start, stop, seed=3)) == good[start:stop]


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "x" / "a.parquet", ROWS[:1])
    for path in (tmp_path, tmp_path / "x" / "a.parquet", tmp_path / "*" / "*.parquet", f"file://{tmp_path}"):
        assert len(everything(source("voiceassistant", path))) == 1
    with pytest.raises(ValueError, match=r"^path: .* set VOICEASSISTANT_HOME to the folder of the VoiceAssistant"):
        source("voiceassistant", "$VOICEASSISTANT_HOME/data")
    with pytest.raises(ValueError, match=r"^path: .* does not exist; give"):
        source("voiceassistant", tmp_path / "gone")
    monkeypatch.delitem(_registry, "hf", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"run: pip install 'duplexkit\[hub\]'$"):
        source("voiceassistant", "hf://datasets/gpt-omni/VoiceAssistant-400K/data")


@pytest.mark.parametrize("path", ["$VOICEASSISTANT_HOME/data", "/nosuch/folder", "{folder}", "nosuch://x"])
def test_what_is_missing_is_told_with_its_remedy(tmp_path: Path, path: str) -> None:
    config = voiceassistant.Config(kind="voiceassistant", path=path.format(folder=tmp_path))
    (need,) = voiceassistant.needs(config)
    assert not need.found
    assert "\n" not in need.remedy
    assert need.remedy.startswith("path: ")
    assert "load_dataset" in need.remedy


def test_what_is_there_is_told(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS[:1])
    config: Any = kinds.parse("sources", {"kind": "voiceassistant", "path": str(tmp_path)})
    (need,) = voiceassistant.needs(config)
    assert need.found == f"1 file in {tmp_path}"
    assert voiceassistant.licences(config) == ("Apache-2.0",)
    before = fingerprint(str(tmp_path))
    fingerprint.cache_clear()
    write_parquet(tmp_path / "a.parquet", ROWS[3:4])
    assert fingerprint(str(tmp_path)) != before, "other texts are another source"
