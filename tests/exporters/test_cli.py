"""`datagen export` and `datagen import` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datagen import cli
from tests.commanding import Command, datagen, refused
from tests.exporters.making import contents, export, hummed, rows
from tests.helpers import ROOT

__all__ = ["datagen", "hummed"]


def test_an_export_says_what_there_is_and_what_was_left(datagen: Command, hummed: Path, tmp_path: Path) -> None:
    said = datagen("export", hummed, "--format", "moshi", "--out", tmp_path / "out", "--workers", 1)
    assert (said.code, said.err) == (0, "")
    for text in (
        "export: done\n",
        "8 conversations, ",
        f" as moshi in {tmp_path}/out: 19 files",
        "channel 0 = assistant, channel 1 = user",
        f"train_data: {tmp_path}/out/train.jsonl",
        "the format cannot hold:\n  language\n",
    ):
        assert text in said.out
    again = datagen("export", hummed, "--format", "moshi", "--out", tmp_path / "out", "--workers", 1)
    assert "is complete already; nothing to do." in again.out


def test_settings_reach_the_workers(datagen: Command, hummed: Path, tmp_path: Path) -> None:
    export(hummed, "relays2s", tmp_path / "one", part_rows=3)
    parts = ("--set", "part_rows=3", "--workers", 2)
    assert datagen("export", hummed, "--format", "relays2s", "--out", tmp_path / "two", *parts).code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_there_and_back(datagen: Command, hummed: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    assert (
        datagen("export", hummed, "--format", "relays2s", "--out", there, "--split", "test", "--workers", 1).code == 0
    )
    told = ("--set", "licence=CC0-1.0", "--set", "language=en", "--workers", 1)
    said = datagen("import", there, "--format", "relays2s", "--out", back, *told)
    assert said.code == 0, said.err
    assert f"test: {len(rows(hummed, 'test'))} conversations" in said.out
    assert "the source does not say:\n  segments.words" in said.out
    assert json.loads((back / "manifest.json").read_text())["lost"]
    assert datagen("status", back).code == 0


def test_mistakes_end_in_one_line(datagen: Command, hummed: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    for arguments, message in (
        (
            ("export", hummed, "--format", "kaldi", *out),
            "--format kaldi: there is no such format; there are: fdb",
        ),
        (("export", hummed, "--format", "moshi", "--split", "dev", *out), "--split dev: there is no such split"),
        (("export", hummed, "--format", "moshi", "--set", "stereo=1", *out), "moshi: stereo: there is no such key"),
        (
            ("export", hummed, "--format", "nemo", "--set", "agent=assistant", *out),
            "nemo: agent: Input should be",
        ),
        (("export", tmp_path / "gone", "--format", "moshi", *out), "there is no folder"),
        (("import", hummed, "--format", "nemo", *out), "--format nemo: there is no such format; there are: moshi"),
        (("import", hummed, "--format", "relays2s", *out), "licence: relays2s does not tell"),
        (("export", hummed, "--format", "moshi", "--out", hummed), "is not empty"),
    ):
        assert message in refused(datagen(*arguments))


def test_the_commands_cost_nothing_until_they_are_used() -> None:
    code = "import sys, datagen.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"datagen.cli_export"} <= set(loaded.stdout.split())
    assert {"lhotse", "torch", "dask", "soundfile", "datagen.exporting"} & set(loaded.stdout.split()) == set()
    assert cli.app is not None


@pytest.mark.parametrize("command", ["export", "import"])
def test_help_is_there(command: str, datagen: Command) -> None:
    said = datagen(command, "--help")
    assert said.code == 0
    assert "--format" in said.out
