"""What the tests of whole builds share: a small recipe, its results without trouble, and eyes on the stages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datagen.files import ASIDE
from datagen.stages import RECORD_STAGES, module_of
from tests.tiny import build_here, contents, dialogue, write_recipe

RECORDS = [stage for stage in RECORD_STAGES if stage not in ("noise", "write")]
"""Of a recipe without a writer."""
SMALL: dict[str, Any] = {"noise": None, "conversations": 6, "conversations_per_shard": 2, "splits": {"train": 1}}


def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.report.write_report", lambda *_, **__: None)
    monkeypatch.setattr("datagen.card.write_card", lambda *_: "")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds without card and report: theirs are other tests, and they take half of the time."""
    _without_pictures(monkeypatch)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of six short conversations in three shards."""
    return write_recipe(tmp_path_factory.mktemp("small"), SMALL, [dialogue(number, turns=2) for number in range(6)])


@pytest.fixture(scope="module")
def clean(small: Path) -> dict[str, bytes]:
    """The contents of a run without trouble, which lies in ``clean`` beside the recipe."""
    out = small.parent / "clean"
    with pytest.MonkeyPatch.context() as patch:
        _without_pictures(patch)
        build_here(small, out)
    return contents(out)


class Spy:
    """Counts the records a stage really works on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worked: Counter[str] = Counter()
        for stage in RECORDS:
            monkeypatch.setattr(module_of(stage), "process", self._counted(stage, module_of(stage).process))

    def _counted(self, stage: str, process: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.worked[stage] += 1
            return process(*args)

        return counted


def litter(out: Path) -> list[str]:
    """Half-written files."""
    return [name for _, _, names in os.walk(out) for name in names if ASIDE.fullmatch(name)]
