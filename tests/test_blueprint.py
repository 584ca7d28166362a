"""A stage's identity changes when its bytes may change, and at no other time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from datagen import kinds
from datagen.blueprint import UPSTREAM, Blueprint, draw_up
from datagen.recipe import load
from datagen.stages import module_of
from tests.tiny import CONVERSATIONS, dialogue, voices, write_lines, write_recipe

STAGES = [stage for stage in UPSTREAM if stage != "write"]
"""Of a recipe without a writer."""


def drawn(recipe: Path, *overrides: str) -> Blueprint:
    return draw_up(load(str(recipe), overrides))


def changed(before: Blueprint, after: Blueprint) -> list[str]:
    """Stages of another identity."""
    return [stage for stage in UPSTREAM if before.identities.get(stage) != after.identities.get(stage)]


SINCE_INGEST = [stage for stage in STAGES if stage != "noise"]
SINCE_PLAN = ["plan", "render", "check", "package"]


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("conversations_per_shard=5", SINCE_INGEST),
        ("conversations=11", SINCE_INGEST),
        ("splits={train: 1}", SINCE_INGEST),
        ("source.licence=CC-BY-4.0", SINCE_INGEST),
        ("phenomena.pause.per_minute=9", [s for s in SINCE_INGEST if s != "ingest"]),
        ("tts.max_seconds=20", ["synthesize", *SINCE_PLAN]),
        ("noise.clip_seconds=3", ["noise", *SINCE_PLAN]),
        ("noise=null", ["noise", *SINCE_PLAN]),
        ("margins.min_s=2", SINCE_PLAN),
        ("profile=natural", SINCE_PLAN),
        ("levels.floor_dbfs=[-70, -60]", SINCE_PLAN),
        ("package.file_mb=1", ["package"]),
        ("name=other", ["package"]),
        ("seed=2", STAGES),
        ("seed=1", []),
    ],
)
def test_a_change_reaches_its_stage_and_those_below_it(tmp_path: Path, override: str, stages: list[str]) -> None:
    path = write_recipe(tmp_path)
    assert changed(drawn(path), drawn(path, override)) == stages


WRITER = {"kind": "gemini", "model": "gemini-2.5-flash"}
"""Only named: nobody asks it."""
SINCE_WRITE = ["write", *(stage for stage in SINCE_INGEST if stage != "ingest")]


def test_without_a_writer_annotate_reads_the_texts_as_they_came(tmp_path: Path) -> None:
    blueprint = drawn(write_recipe(tmp_path))
    assert "write" not in blueprint.configs
    assert blueprint.upstream("annotate") == ("ingest",)


def test_with_a_writer_annotate_reads_what_was_written(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    without, written = drawn(path), drawn(write_recipe(tmp_path, {"writer": WRITER}))
    assert list(written.configs) == list(written.identities) == list(UPSTREAM)
    assert written.upstream("write") == ("ingest",)
    assert written.upstream("annotate") == ("write",)
    assert changed(without, written) == SINCE_WRITE
    assert ("writer", "gemini") in [engine[:2] for engine in written.package.provenance.engines]
    assert written.num_shards("write") == without.num_shards("ingest")
    assert written.resources("write") == written.needs() == {"API": 1}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("writing.domain=gardens", SINCE_WRITE),
        ("writer.model=gemini-2.5-pro", SINCE_WRITE),
        ("conversations_per_shard=5", ["ingest", *SINCE_WRITE]),
        ("phenomena.pause.per_minute=9", SINCE_WRITE[1:]),
        ("writer.timeout_s=7", []),
    ],
)
def test_a_change_reaches_the_writer_from_above_alone(tmp_path: Path, override: str, stages: list[str]) -> None:
    path = write_recipe(tmp_path, {"writer": WRITER})
    assert changed(drawn(path), drawn(path, override)) == stages


def test_a_raised_version_of_the_writer_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recipe(tmp_path, {"writer": WRITER})
    before = drawn(path)
    monkeypatch.setattr(module_of("write"), "VERSION", 999)
    assert changed(before, drawn(path)) == SINCE_WRITE


def test_a_moved_recipe_keeps_its_identities(tmp_path: Path) -> None:
    here, there = write_recipe(tmp_path / "here"), write_recipe(tmp_path / "there" / "deep")
    assert changed(drawn(here), drawn(there)) == []


def test_other_texts_are_another_dataset(tmp_path: Path) -> None:
    here = write_recipe(tmp_path / "here")
    there = write_recipe(tmp_path / "there", lines=[dialogue(number + 1) for number in range(CONVERSATIONS)])
    assert changed(drawn(here), drawn(there)) == SINCE_INGEST


def test_other_voices_are_spoken_anew(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    before = drawn(path)
    found = voices()
    found[0]["params"]["pitch"] = 40
    (tmp_path / "voices.yaml").write_text(yaml.safe_dump({"voices": found}))
    assert changed(before, drawn(path)) == ["synthesize", *SINCE_PLAN]


@pytest.mark.parametrize("stage", STAGES)
def test_a_raised_version_is_another_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    path = write_recipe(tmp_path)
    before = drawn(path)
    monkeypatch.setattr(module_of(stage), "VERSION", 999)
    below = {stage}
    for name in STAGES:
        if below & set(UPSTREAM[name]):
            below.add(name)
    assert set(changed(before, drawn(path))) == below


def test_there_are_as_many_shards_as_the_texts_fill(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    assert drawn(path).num_shards("check") == 3
    assert drawn(path, "conversations=9").num_shards("check") == 3
    assert drawn(path, "conversations=8").num_shards("check") == 2
    assert drawn(path, "conversations=1000").num_shards("check") == 3
    assert drawn(path).num_shards("noise") == 1
    assert drawn(path, "noise.clips_per_scene=3").num_shards("noise") == 2


def test_a_bad_line_counts_as_a_position(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    write_lines(tmp_path / "dialogues.jsonl", [dialogue(0), "not json", dialogue(1)])
    assert drawn(path, "conversations_per_shard=1").num_shards("ingest") == 3


def test_everything_that_made_the_data_is_named(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    engines = drawn(path).package.provenance.engines
    assert [(role, kind) for role, kind, _ in engines] == [
        ("source", "jsonl"),
        ("annotator", "rules"),
        ("tts", "espeak"),
        ("noise", "synthetic"),
    ]
    assert all(revision for _, _, revision in engines)
    assert len(drawn(path, "noise=null").package.provenance.engines) == 3


def test_an_engine_says_what_its_workers_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blueprint = drawn(write_recipe(tmp_path))
    assert all(blueprint.resources(stage) == {} for stage in STAGES)
    assert blueprint.needs() == {}
    espeak = kinds.module("tts", "espeak")
    monkeypatch.setattr(
        kinds, "module", lambda family, kind: SimpleNamespace(RESOURCES={"GPU": 1}) if family == "tts" else espeak
    )
    assert blueprint.resources("synthesize") == {"GPU": 1}
    assert blueprint.resources("plan") == {}
    assert blueprint.needs() == {"GPU": 1}


def test_another_revision_of_an_engine_speaks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recipe(tmp_path)
    before = drawn(path)
    monkeypatch.setattr(kinds.module("tts", "espeak"), "revision", lambda config: "1.99", raising=False)
    after = drawn(path)
    assert changed(before, after) == ["synthesize", *SINCE_PLAN]
    assert ("tts", "espeak", "1.99") in after.package.provenance.engines
