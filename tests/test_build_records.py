"""Bad records never stop a build and never vanish: in = out + rejected, at every stage."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.build import BuildError
from datagen.stages import module_of
from datagen.tally import Tally
from tests.building import RECORDS, SMALL, no_pictures, small
from tests.tiny import build_here, dialogue, make_build, rows, write_recipe

__all__ = ["no_pictures", "small"]
pytestmark = pytest.mark.slow


ANSWER = dialogue(0)["turns"][1]
BAD_LINES: list[tuple[Any, str]] = [
    ('{"id": "broken"', "Invalid JSON: EOF while parsing an object"),
    (b'{"id": "\xff"}', "Invalid JSON: invalid unicode"),
    ('{"id": "x1", "turns": [{"speaker": "user", "text": "\\ud800 hello"}]}', "Invalid JSON: unexpected end of hex"),
    ('"a word"', "Input should be an object"),
    ({"id": "x2", "turns": 7}, "turns: Input should be a valid array"),
    ({"id": "x3", "turns": []}, "no turn has anything to say"),
    ({"id": "x4", "turns": [{"speaker": "user", "text": " \u0007\u200b"}]}, "no turn has anything to say"),
    ({"id": "x5", "turns": [{"speaker": "user", "text": "word " * 900}, ANSWER]}, "4499 characters, at most 2000 fit"),
    ({"id": "x6", "turns": [{"speaker": "user", "text": "see https://a.org/b"}]}, "cannot be spoken: a web address"),
    ({"id": "x7", "turns": [{"speaker": "narrator", "text": "Once."}]}, "turns.0.speaker: Input should be 'user' or"),
    ({"id": "x8", "turn": []}, "turn: unknown key"),
    (dialogue(0), "id used before at dialogues.jsonl:1"),
]


def test_bad_lines_are_rejected_with_file_and_line_and_the_run_goes_on(tmp_path: Path) -> None:
    lines = [dialogue(0), *(line for line, _ in BAD_LINES), dialogue(1)]
    manifest = build_here(write_recipe(tmp_path, {**SMALL, "conversations": 99}, lines), tmp_path / "out")
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows(tmp_path / "out")] == ["walk-0000", "walk-0001"]
    assert manifest["counts"]["ingest"] == {"in": len(lines), "out": 2, "rejected": len(BAD_LINES)}
    for number, (found, (_, reason)) in enumerate(zip(rejected, BAD_LINES, strict=True), 2):
        assert found["reason"].startswith(f"dialogues.jsonl:{number}: ")
        assert reason in found["reason"]
        assert found["stage"] == "ingest"


def test_control_characters_within_words_are_cleaned_away(tmp_path: Path) -> None:
    line = dialogue(0)
    line["turns"][0]["text"] = "Hello\u0000 there,\r\nhow\u0007 do I get\u200b to the harbour today?"
    path = write_recipe(tmp_path, {**SMALL, "phenomena": []}, [line])
    build_here(path, tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert row["segments"][0]["text_full"] == "Hello there, how do I get to the harbour today?"


def test_a_record_that_cannot_be_written_is_rejected(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a surrogate pair is text to Python, but not to any file."""
    ingest = module_of("ingest")
    process = ingest.process

    def odd(record: Any, *args: Any) -> Any:
        made = process(record, *args)
        domain = "\ud800" if record.id == "walk-0003" else "travel"
        return made.model_copy(update={"dialogue": made.dialogue.model_copy(update={"domain": domain})})

    monkeypatch.setattr(ingest, "process", odd)
    assert build_here(small, tmp_path / "out")["counts"]["ingest"] == {"in": 6, "out": 5, "rejected": 1}
    assert '"id": "walk-0003"' in (tmp_path / "out" / "rejected.jsonl").read_text()


def test_a_run_in_which_nothing_is_left_says_so(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, SMALL, ["x", "y"])
    with pytest.raises(BuildError, match=r"every conversation was rejected; see .*rejected\.jsonl"):
        build_here(path, tmp_path / "out")
    assert len((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "out" / "manifest.json").exists()


ERRORS: list[Callable[[], Exception]] = [
    lambda: ValueError("out of range"),
    lambda: KeyError("missing"),
    lambda: ZeroDivisionError("division by zero"),
    lambda: AssertionError(),
    lambda: RuntimeError("engine\nfailed \ud800"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
]
Failures = dict[tuple[str, str], int]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(RECORDS), st.integers(0, 5).map(lambda n: f"walk-{n:04d}")),
        st.integers(0, len(ERRORS) - 1),
        max_size=7,
    )
)
@settings(max_examples=10)
def test_a_record_that_fails_anywhere_is_rejected_once_and_never_lost(small: Path, failures: Failures) -> None:
    def failing(stage: str, process: Callable[..., Any]) -> Callable[..., Any]:
        def call(record: Any, *args: Any) -> Any:
            if (stage, record.id) in failures:
                raise ERRORS[failures[stage, record.id]]()
            return process(record, *args)

        return call

    out = f"memory://build/{uuid.uuid4().hex}"
    job = make_build(small, out)
    with pytest.MonkeyPatch.context() as patch:
        for stage in RECORDS:
            patch.setattr(module_of(stage), "process", failing(stage, module_of(stage).process))
        counts = None
        with suppress(BuildError):
            counts = build_here(small, out)["counts"]
    first = {}
    for stage in reversed(RECORDS):
        first |= {name: stage for failed, name in failures if failed == stage}
    rejected = [json.loads(line) for line in job.out.read("rejected.jsonl").splitlines()]
    assert {r["id"]: r["stage"] for r in rejected} == first
    assert len(rejected) == len(first)
    assert all(r["reason"] for r in rejected)
    if counts is None:
        assert len(first) == 6
        return
    for before, stage in zip(["", *RECORDS], RECORDS, strict=False):
        assert counts[stage]["in"] == (counts[before]["out"] if before else 6)
        assert counts[stage]["rejected"] == sum(failed == stage for failed in first.values())
        assert counts[stage]["in"] == counts[stage]["out"] + counts[stage]["rejected"]
    assert counts["package"]["out"] == 6 - len(first)


def test_a_leak_between_stages_is_found() -> None:
    tally = Tally.begin(["ingest", "plan"])
    tally.counts["ingest"].update({"in": 5, "out": 4, "rejected": 1})
    tally.counts["plan"].update({"in": 3, "out": 3, "rejected": 0})
    assert tally.leak({}) == ""
    assert tally.leak({"plan": "ingest"}) == "plan: 3 in, but 4 out of ingest"
    tally.counts["ingest"]["out"] = 3
    assert tally.leak({}) == "ingest: 5 in, but 3 out and 1 rejected"
