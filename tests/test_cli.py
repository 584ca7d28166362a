"""The command line as a user meets it: what it prints, and one line with an exit code for whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen import kinds, terminal
from datagen.files import Aside
from datagen.recipe import load
from datagen.tasks import Executor, Inline, Task
from tests.commanding import Command, datagen, refused, small
from tests.helpers import ROOT
from tests.tiny import dialogue, voices, write_lines

__all__ = ["datagen", "small"]


# -- build -----------------------------------------------------------------------------------------------------------


def test_build_says_what_it_did_and_where_to_look(datagen: Command, small: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "dialogues.jsonl", [dialogue(0), "broken", dialogue(1)])
    said = datagen("build", small, "--out", tmp_path / "out", "--workers", 1)
    assert said.code == 0
    assert said.err == ""
    for text in (
        "ingest: 2 out, 1 rejected\n",
        "train              2",
        "ingest: 3 in = 2 out + 1 rejected",
        "1 x dialogues.jsonl:N: Invalid JSON",
        "worker seconds: ingest ",
        f"look and listen: {tmp_path}/out/report.html",
        f'datasets.load_dataset("{tmp_path}/out")',
    ):
        assert text in said.out
    again = datagen("build", small, "--out", tmp_path / "out")
    assert again.code == 0
    assert "is complete already; nothing to do." in again.out
    assert "train              2" in again.out


def test_build_goes_to_data_and_the_recipes_name(
    datagen: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert datagen("build", small, "--set", "name=mine").code == 0
    assert (tmp_path / "data" / "mine" / "manifest.json").is_file()


def test_limit_builds_the_first_conversations_only(datagen: Command, small: Path, tmp_path: Path) -> None:
    assert datagen("build", small, "--out", tmp_path / "out", "--limit", 2).code == 0
    assert load(str(tmp_path / "out" / "recipe.yaml")).conversations == 2
    assert "2 conversations planned" in datagen("plan", small, "--limit", 2).out
    assert "3 conversations planned" in datagen("plan", small, "--limit", 99).out


def test_another_recipe_is_refused_until_it_may_update(datagen: Command, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    datagen("build", small, "--out", out)
    line = refused(datagen("build", small, "--out", out, "--set", "margins.min_s=2"))
    assert "was begun with another plan (recipe 'tiny', different from stage plan on)" in line
    assert "--out" in line
    assert "--update" in line
    assert datagen("build", small, "--out", out, "--set", "margins.min_s=2", "--update").code == 0


def test_a_full_disk_is_one_line_and_code_1(
    datagen: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Aside, "write", full)
        line = refused(datagen("build", small, "--out", tmp_path / "out"), 1)
    assert line == "error: No space left on device; make room\n"
    assert datagen("build", small, "--out", tmp_path / "out").code == 0


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_one_line_and_code_1(
    datagen: Command, small: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory; choose" in refused(datagen("build", small, "--out", tmp_path / place), 1)


def test_a_run_that_rejects_everything_is_one_line_and_code_1(datagen: Command, small: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "dialogues.jsonl", ["broken"])
    said = datagen("build", small, "--out", tmp_path / "out")
    assert said.code == 1
    assert said.err.startswith("error: every conversation was rejected; see ")


@pytest.mark.parametrize(("presses", "words"), [(1, "stopped; the same command goes on"), (2, "stopped at once; the")])
def test_an_interrupt_is_one_line_and_code_130(
    datagen: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, presses: int, words: str
) -> None:
    class Pressed(Inline):
        def next(self) -> tuple[Task, Any]:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)
            return super().next()

    @contextmanager
    def pressed(*_: object) -> Iterator[Executor]:
        yield Pressed()

    with monkeypatch.context() as patch:
        patch.setattr(terminal, "cluster", pressed)
        said = datagen("build", small, "--out", tmp_path / "out")
    assert said.code == 130
    assert said.err.startswith(f"error: {words}")
    assert said.err.count("\n") == 1
    assert "finishing what is running; Ctrl-C again stops at once\n" in said.out
    assert datagen("build", small, "--out", tmp_path / "out").code == 0


def test_a_voice_the_engine_does_not_have_is_refused_before_anything_runs(
    datagen: Command, small: Path, tmp_path: Path
) -> None:
    found = voices()
    found[0]["params"]["variant"] = "m99"
    (tmp_path / "voices.yaml").write_text(yaml.safe_dump({"voices": found}))
    line = refused(datagen("build", small, "--out", tmp_path / "out"))
    assert "voice en-train-m1: params.variant: espeak-ng has no usable 'm99'; did you mean m" in line
    assert not (tmp_path / "out").exists()
    said = datagen("check", small)
    assert said.code == 2
    assert re.search(r"missing  tts\n +voice en-train-m1: params.variant", said.out)


# -- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = {
    "a key twice": ([], "{good}name: x\n", "key 'name' appears twice"),
    "an unknown key": ([], "{good}sedd: 3\n", "sedd: there is no such key; did you mean seed?"),
    "a wrong type": (["--set", "conversations=many"], "{good}", "conversations: "),
    "an unknown kind": (["--set", "source.kind=reddit"], "{good}", "unknown kind 'reddit' of sources; there are: "),
    "an unknown language": (["--set", "language=xx"], "{good}", "language 'xx' is unknown; there are: "),
    "an unknown profile": (["--set", "profile=rude"], "{good}", "'paper', 'polite' or 'natural' (given: 'rude')"),
    "no voices": (["--set", "voices=no.yaml"], "{good}", "no.yaml; name a voice manifest"),
    "no corpus": (["--set", "source.path=nowhere"], "{good}", "source.jsonl: path: "),
    "no noise": (["--set", "noise={kind: folder, path: no, licence: x}"], "{good}", "noise.folder: path: "),
    "a list": ([], "- a\n", "the file holds a list"),
    "a circle": ([], "base: case.yaml\n", "the file stands above itself"),
    "an override without a value": (["--set", "seed"], "{good}", "--set seed: write it as key=value"),
    "an override of nothing": (["--set", "a.b.c=1"], "{good}", "a: there is no such key"),
}


@pytest.mark.parametrize("command", ["build", "explain", "plan"])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_code_2(
    datagen: Command, small: Path, tmp_path: Path, name: str, command: str
) -> None:
    options, text, message = MISTAKES[name]
    case = tmp_path / "case.yaml"
    case.write_text(text.format(good=small.read_text()))
    assert message in refused(datagen(command, case, *options))
    assert not (tmp_path / "data").exists()


def test_a_recipe_that_is_not_there_names_its_neighbours(datagen: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    line = refused(datagen("plan", "asistant"))
    assert "recipes/asistant.yaml: no such recipe; in recipes there are: assistant.yaml" in line


def test_storage_that_is_not_installed_is_one_line(datagen: Command, small: Path) -> None:
    assert "Protocol not known: zz" in refused(datagen("build", small, "--out", "zz://x"))


def test_a_kind_whose_package_is_missing_is_one_line(
    datagen: Command, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(family: str, kind: str) -> Any:
        raise ModuleNotFoundError("No module named 'google.genai'; pip install google-genai")

    monkeypatch.setattr(kinds, "module", missing)
    assert "No module named 'google.genai'" in refused(datagen("explain", small))


def test_a_developer_can_ask_for_the_traceback(datagen: Command, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAGEN_DEBUG", "1")
    with pytest.raises(ValueError, match="language 'xx' is unknown"):
        datagen("explain", small, "--set", "language=xx")


@pytest.mark.parametrize("arguments", [["build"], ["build", "x", "--workers", "0"], ["bulid"], ["plan", "x", "--nope"]])
def test_wrong_usage_is_code_2_and_shows_the_usage(datagen: Command, arguments: list[str]) -> None:
    said = datagen(*arguments)
    assert said.code == 2
    assert "Usage: datagen" in said.err


# -- the real thing --------------------------------------------------------------------------------------------------


def test_the_module_is_a_program(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "datagen", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    end = program("status", "nowhere")
    assert (end.returncode, end.stdout) == (2, "")
    assert end.stderr.startswith("error: nowhere: no build was begun here")
    assert json.dumps(end.stderr).count("\\n") == 1
