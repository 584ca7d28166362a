"""The command line as a user meets it: what it prints, and one line with an exit code for whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from datagen import cli, kinds, terminal
from datagen.build import Interrupted, run
from datagen.files import Aside
from datagen.pipeline import Executor, Inline, Stop, Task
from datagen.recipe import load
from tests.helpers import ROOT
from tests.tiny import Silent, Tiny, build_here, built, dialogue, make_build, voices, write_lines, write_recipe

__all__ = ["built"]


class Said(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def datagen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in this process, its workers included."""

    @contextmanager
    def here(workers: int, scheduler: str | None, needs: set[str]) -> Iterator[Executor]:
        yield Inline()

    monkeypatch.setattr(terminal, "cluster", here)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["datagen", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recipe of three short conversations."""
    changes = {"noise": None, "conversations": 3, "splits": {"train": 1}}
    return write_recipe(tmp_path, changes, [dialogue(number, turns=2) for number in range(3)])


def refused(said: Said, code: int = 2) -> str:
    """The one line on standard error."""
    assert said.code == code, said
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


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
    assert "missing  tts       voice en-train-m1: params.variant" in said.out


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


# -- looking ---------------------------------------------------------------------------------------------------------


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
    assert "Invalid JSON" in said.out


def test_check_answers_for_every_need(datagen: Command, built: Tiny) -> None:
    said = datagen("check", built.recipe)
    assert said.code == 0
    lines = [line.split() for line in said.out.splitlines()]
    assert [line[1] for line in lines] == ["language", "voices", "source", "tts", "noise", "disk", "workers"]
    assert all(line[0] == "ok" for line in lines)


def test_check_says_what_is_missing_and_how_to_get_it(datagen: Command, small: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = datagen(
        "check", small, "--set", "source.path=nowhere", "--set", "noise={kind: folder, path: empty, licence: x}"
    )
    assert said.code == 2
    missing = [line for line in said.out.splitlines() if line.startswith("missing")]
    assert [line.split()[1] for line in missing] == ["source", "noise"]
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
    assert ["ingest", "1", "3", "0"] in [line.split() for line in half.out.splitlines()]
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
