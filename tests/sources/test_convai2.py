"""ConvAI2: ParlAI's numbered lines, one version of a folder, no chat twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import other
from datagen.sources import convai2
from datagen.sources.convai2 import Line, episodes, utterances
from tests.sources.reading import everything, manifest_licence, sorted_out, source

CANDIDATES = "my mom was single .|i am so weird ."
PERSONAS = ("your persona: i like to remodel homes.", "partner's persona: i eat exclusively meat.")


def episode(*texts: str, personas: Sequence[str] = (), candidates: str = "") -> list[str]:
    """The lines of an episode in which ``texts`` are said in turn."""
    pairs = [list(texts[n : n + 2]) for n in range(0, len(texts), 2)]
    said = ["\t".join(pair + (["", candidates] if candidates and len(pair) == 2 else [])) for pair in pairs]
    return [f"{number} {text}" for number, text in enumerate([*personas, *said], 1)]


def write(path: Path, *parts: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for part in parts for line in part), encoding="utf-8")
    return path


def test_the_published_form(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train_both_original.txt",
        episode("hi , how are you ?", "you must be very fast .", "i am !", "nice", personas=PERSONAS),
        episode("hey", "hello there ! what's up ?", candidates=CANDIDATES),
        episode("__SILENCE__", "hi , how are you ?", "you must be very fast .", "i am !", personas=PERSONAS),
        episode("i'm alone here"),
    )
    good, bad = sorted_out(source("convai2", path))
    assert not bad
    assert [[turn.text for turn in item.turns] for item in good] == [
        ["hi, how are you?", "you must be very fast.", "i am!", "nice"],
        ["hey", "hello there! what's up?"],
        ["i'm alone here"],
    ]
    assert [item.id for item in good] == [f"convai2-train-both-original-{n:06d}" for n in (1, 5, 10)]
    assert [turn.speaker for turn in good[0].turns] == ["user", "assistant"] * 2
    assert {(i.source, i.domain, i.language) for i in good} == {("convai2", "chat", "en")}
    assert {item.licence for item in good} == {manifest_licence("convai2")}
    swapped, _ = sorted_out(source("convai2", path, user="second"))
    assert [other(t.speaker) for t in swapped[0].turns] == [t.speaker for t in good[0].turns]


def test_one_version_of_a_folder_is_read(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        for version in ("none_original", "self_original", "both_revised"):
            for candidates in ("", "_no_cands"):
                write(tmp_path / "ConvAI2" / f"{part}_{version}{candidates}.txt", episode("hi", version))
    for version in ("none_original", "both_revised"):
        good = everything(source("convai2", tmp_path, version=version))
        assert [item.id for item in good] == [
            f"convai2-ConvAI2-{part}-{version}-no-cands-000001".replace("_", "-") for part in ("train", "valid")
        ]


def test_bad_records_are_recorded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt",
        episode("hi", "see www.x.org"),
        ["1 hi\thello", "3 and\tthen"],
        ["1 hi\thello"],
        ["no number at all"],
        ["1 :)\t..."],
        episode(personas=PERSONAS),
    )
    path.write_bytes(path.read_bytes() + b"1 caf\xe9\thi\n1 bye\tbye bye\n")
    write(tmp_path / "b.txt")
    good, bad = sorted_out(source("convai2", tmp_path / "*.txt"))
    assert [item.id for item in good] == ["convai2-a-000010"]
    assert [item.where for item in bad] == [*(f"a.txt record {n}" for n in range(1, 7)), "b.txt"]
    reasons = [
        "a web address",
        "line 3: expected the number 2",
        "line 5: expected the number 2",
        "no turn has anything",
    ]
    reasons += ["no turn has anything", "damaged characters", "it is empty"]
    assert all(part in item.reason for part, item in zip(reasons, bad, strict=True))


spoken = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=12).filter(
    lambda text: text.strip() and "persona:" not in text and "\\n" not in text and "__" not in text
)


@given(
    st.lists(
        st.tuples(st.lists(spoken, min_size=1, max_size=7), st.lists(st.sampled_from(PERSONAS), max_size=3)), max_size=5
    ),
    st.sampled_from(["", CANDIDATES]),
)
def test_what_is_written_is_read_back(chats: list[tuple[list[str], list[str]]], candidates: str) -> None:
    lines = [line for texts, who in chats for line in episode(*texts, personas=who, candidates=candidates)]
    found = episodes([Line(number, text) for number, text in enumerate(lines, 1)])
    assert [list(utterances(part)) for part in found] == [texts for texts, _ in chats]


def test_any_range_in_any_process_on_any_file_system() -> None:
    fs = fsspec.filesystem("memory")
    for name in ("train", "valid"):
        lines = [line for n in range(6) for line in episode(f"hi {n}", "hello" if n % 4 else "www.x.y")]
        fs.pipe_file(f"/convai2/{name}_none_original_no_cands.txt", "\n".join(lines).encode())
    config = convai2.Config(kind="convai2", path="memory://convai2")
    whole = everything(convai2.make(config))
    assert len(whole) == 12
    for start, stop in [(0, 0), (3, 8), (11, 12)]:
        assert list(convai2.make(config).read(start, stop, seed=2)) == whole[start:stop]


def test_needs_and_licences(tmp_path: Path) -> None:
    config: Any = kinds.parse("sources", {"kind": "convai2", "path": "$CONVAI2_HOME"})
    (need,) = convai2.needs(config)
    assert not need.found
    assert need.remedy.startswith("path: '$CONVAI2_HOME' is not known here; set CONVAI2_HOME to")
    assert "convai2_fix_723.tgz" in need.remedy
    with pytest.raises(ValueError, match="set CONVAI2_HOME"):
        convai2.make(config)
    write(tmp_path / "train_none_original_no_cands.txt", episode("hi", "hello"))
    (need,) = convai2.needs(config.model_copy(update={"path": str(tmp_path)}))
    assert need.found
    assert convai2.licences(config) == ("CC BY 4.0",)
