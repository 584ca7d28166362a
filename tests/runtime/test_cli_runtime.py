"""The runtime's commands: what they refuse, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT
from trainer.cli_runtime import kind_of, voice_of


def refused(*arguments: str) -> str:
    """The one line of a command that must fail with exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_kind_is_a_name_or_a_mapping() -> None:
    assert kind_of("answering", "grammar") == {"kind": "grammar"}
    raw = kind_of("answering", "{kind: simulated, first_ms: 5, answering: {kind: grammar}}")
    assert raw["first_ms"] == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nobody", "unknown kind 'nobody' of answering; there are: gemini"),
        ("{kind: simulated, late: 5}", "late: there is no such key"),
        ("[1, 2]", "names no kind"),
        ("{kind", "no YAML"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind_of("answering", text)


def test_a_voice_is_an_entry_of_a_manifest() -> None:
    entry = "{id: ada, language: en, split: train, origin: recorded, licence: CC-BY-4.0}"
    assert voice_of(entry).id == "ada"
    for wrong in ("ada", "{id: ada}", "{id"):
        with pytest.raises(ValueError, match="give an entry of a voices manifest"):
            voice_of(wrong)


@pytest.mark.slow
def test_what_is_not_there_is_named_with_its_remedy(tmp_path: Path) -> None:
    assert "write one with `python -m trainer export" in refused("serve", str(tmp_path / "no"))
    assert "there is no such sound file" in refused("replay", str(tmp_path), "a.wav")
    assert "train" in refused("export", str(tmp_path / "run"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
