"""Running the command line inside the test process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from datagen import cli, providing, terminal
from datagen.tasks import Executor, Inline
from tests.tiny import dialogue, write_recipe


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
    def here(workers: int, gpus: int, scheduler: str | None, needs: dict[str, float]) -> Iterator[Executor]:
        yield Inline()

    for module in (terminal, providing):
        monkeypatch.setattr(module, "cluster", here)

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
