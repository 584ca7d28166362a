"""Writes the golden timelines: ``make golden``. Review the diff before you commit it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datagen.blueprint import draw_up
from datagen.core.types import Unreadable
from datagen.preview import plans
from datagen.recipe import load
from datagen.stages import module_of

HERE = Path(__file__).parent
GOLDEN = HERE / "timelines.json"
STAGES = ("ingest", "annotate", "plan")


def current() -> dict[str, Any]:
    """What the code makes of the golden dialogues now: a short text per timeline, keyed by the stages' versions."""
    timelines: dict[str, list[str]] = {}
    for profile in ("paper", "polite", "natural"):
        for item in plans(draw_up(load(str(HERE / "golden.yaml"), [f"profile={profile}"]))):
            assert not isinstance(item, Unreadable), item
            lines = [
                f"{s.start:>8} {s.end:>8} {s.speaker} {s.kind}{' yielded' if s.yielded else ''}: {s.text}"
                for s in item.timeline.segments
            ]
            lines += [f"{e.start:>8} {e.end:>8} {e.actor} {e.type} {e.outcome}" for e in item.timeline.events]
            timelines[f"{profile}/{item.id}"] = lines
    return {"versions": {name: module_of(name).VERSION for name in STAGES}, "timelines": timelines}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(current(), indent=1, ensure_ascii=False) + "\n")
