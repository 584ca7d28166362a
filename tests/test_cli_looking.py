"""The commands that only look: plan, check, explain, status, show, report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.build import Interrupted, run
from datagen.tasks import Inline, Stop, Task
from tests.commanding import Command, Said, datagen, refused, small
from tests.tiny import Silent, Tiny, build_here, built, dialogue, make_build, write_lines

__all__ = ["built", "datagen", "small"]


def test_plan_prints_the_figures_and_writes_nothing(
    datagen: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    said = datagen("plan", small)
    assert said.code == 0
    assert said.out.startswith("3 conversations planned, 0 refused\n")
    assert "backchannels per minute" in said.out
    assert sorted(os.listdir(tmp_path)) == before


def test_plan_counts_what_it_refuses(datagen: Command, small: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "dialogues.jsonl", [dialogue(0), "broken"])
    said = datagen("plan", small, "--set", "margins.min_s=2")
    assert said.out.startswith("1 conversations planned, 1 refused\n")
    assert "dialogues-0000002 (dialogues.jsonl:2): Invalid JSON" in said.out


def test_check_answers_for_every_need(datagen: Command, built: Tiny) -> None:
    said = datagen("check", built.recipe)
    assert said.code == 0
    *lines, _, last = said.out.splitlines()
    roles = ["language", "source:", "source", "tts", "voices", "noise", "licences", "disk", "workers"]
    assert [line.split()[:2] for line in lines] == [["ok", role] for role in roles]
    assert last == "everything is here"


def test_check_says_what_is_missing_and_how_to_get_it(datagen: Command, small: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = datagen(
        "check", small, "--set", "source.path=nowhere", "--set", "noise={kind: folder, path: empty, licence: x}"
    )
    assert said.code == 2
    missing = [line for line in said.out.splitlines() if line.startswith("missing")]
    assert [line.split()[1] for line in missing] == ["source:", "noise"]
    assert said.out.endswith("2 missing\n")
    assert "does not exist; give" in said.out
    assert "has no usable file" in said.out


def test_check_knows_when_texts_are_of_another_language(datagen: Command, small: Path) -> None:
    said = datagen("check", small, "--set", "source.language=de")
    assert said.code == 2
    assert "the texts are of language 'de', the recipe asks for 'en'" in said.out


def test_explain_shows_the_resolved_recipe_and_the_stages(datagen: Command, built: Tiny) -> None:
    said = datagen("explain", built.recipe, "--out", built.out)
    assert said.code == 0
    resolved, table = said.out.split("\nstage ")
    assert yaml.safe_load(resolved)["margins"]["max_s"] == 180
    stages = {line.split()[0]: line.split()[1:] for line in table.splitlines()[1:-1]}
    job = make_build(built.recipe, built.out)
    assert {name: identity[:12] for name, identity in job.blueprint.identities.items()} == {
        name: cells[0] for name, cells in stages.items()
    }
    assert stages["render"][1:] == ["3", "3"]
    assert said.out.endswith("complete, nothing would run\n")


def test_explain_counts_what_a_build_would_not_run_again(datagen: Command, built: Tiny, tmp_path: Path) -> None:
    said = datagen("explain", built.recipe, "--out", tmp_path / "new")
    assert said.out.endswith("a build runs what is not done\n")
    assert not (tmp_path / "new").exists()
    assert [line.split()[-1] for line in said.out.splitlines() if line.startswith("render ")] == ["0"]


def test_explain_knows_when_a_build_would_be_refused(datagen: Command, built: Tiny) -> None:
    said = datagen("explain", built.recipe, "--out", built.out, "--set", "margins.min_s=2")
    assert said.code == 0
    assert said.out.endswith("begun with another plan, different from stage plan on; a build there needs --update\n")


def test_status_of_nothing_of_a_half_and_of_a_whole_build(
    datagen: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert "no build was begun here; start one with" in refused(datagen("status", out))

    class Half(Inline):
        def next(self) -> tuple[Task, Any]:
            stop.asked = True
            return super().next()

    job, stop = make_build(small, out), Stop()
    job.claim(False)
    with pytest.raises(Interrupted):
        run(job, Half(), Silent(), stop)
    half = datagen("status", out)
    assert half.code == 0
    assert half.out.startswith("recipe tiny: not complete\n")
    assert ["ingest", "1", "of", "1", "3", "0"] in [line.split() for line in half.out.splitlines()]
    assert ["render", "0", "of", "1", "0", "0"] in [line.split() for line in half.out.splitlines()]
    assert half.out.endswith("run the same build command again to go on\n")

    build_here(small, out)
    whole = datagen("status", out)
    assert whole.out.startswith("recipe tiny: complete\n")
    assert "train" in whole.out
    (out / ".work" / "plan.json").unlink()
    assert datagen("status", out) == whole


def test_show_prints_a_timeline_and_writes_picture_and_sound(
    datagen: Command, built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.show.picture", lambda row, path: Path(path).write_bytes(b"png"))
    said = datagen("show", "walk-0003", "--data", built.out, "--to", tmp_path / "shown")
    assert said.code == 0
    assert said.out.startswith("walk-0003\n")
    assert "I would like" in said.out
    assert sorted(os.listdir(tmp_path / "shown")) == ["walk-0003.png", "walk-0003.wav"]
    assert "walk-9999" in refused(datagen("show", "walk-9999", "--data", built.out))
    refused(datagen("show", "x", "--data", tmp_path / "nowhere"))


def test_report_can_be_written_again(datagen: Command, built: Tiny, tmp_path: Path) -> None:
    target = tmp_path / "again" / "report.html"
    said = datagen("report", built.out, "--out", target)
    assert said == Said(0, f"wrote {target}\n", "")
    assert "<html" in target.read_text()
    assert "give the folder that holds data/" in refused(datagen("report", tmp_path / "nowhere"))
