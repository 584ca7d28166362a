"""Golden timelines: a changed plan must be a decision, and a decision raises the stage's VERSION."""

from __future__ import annotations

import json

from tests.golden.write import GOLDEN, current


def test_timelines_are_as_reviewed() -> None:
    golden, now = json.loads(GOLDEN.read_text()), current()
    assert now["timelines"] == golden["timelines"], (
        "timelines changed: raise VERSION of the stage that changed, run `make golden`, review the diff"
    )
    assert now["versions"] == golden["versions"], "a VERSION was raised: run `make golden` and review the diff"
