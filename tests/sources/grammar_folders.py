"""A small grammar on disk for tests, and ways of damaging it."""

from __future__ import annotations

from pathlib import Path

SHARED = """\
language: en
licence: CC0-1.0
silent: [um, uh]
slots:
  day: [Monday, Tuesday, Friday]
phrases:
  sure: [2x sure, of course, (all right|okay)]
flows:
  start:
    - maybe: 0.3
      steps:
        - assistant: hello (there|), how can I help?
    - topic: any
    - maybe: 0.3
      steps:
        - user: (thanks|thank you). one more thing.
        - topic: same
  bye:
    - user: (thanks|great), bye.
    - assistant: goodbye!
"""
FOOD = """\
slots:
  new_day: {like: day}
  dish: {fields: [say, time], values: [pizza | ten minutes, soup | an hour]}
topics:
  order:
    weight: 2
    steps:
      - user: I'd like (a|some) $dish (for $day|), please.
      - unless: day
        steps:
          - assistant: <sure>, for which day?
          - user: (|um,) for $day.
      - maybe: 0.4
        steps:
          - assistant: <sure>, $dish on $day, is that right?
          - user: sorry, not $day, $new_day.
          - set: {day: new_day}
      - assistant: <sure>, your $dish will be ready on $day, it takes $dish.time.
      - flow: bye
  hours:
    - user: when do you open?
    - assistant: we open at ten.
"""


def write(folder: Path, shared: str = SHARED, food: str = FOOD) -> Path:
    """A folder called ``mini`` with two files; returns its path."""
    path = folder / "mini"
    path.mkdir()
    (path / "shared.yaml").write_text(shared, encoding="utf-8")
    (path / "food.yaml").write_text(food, encoding="utf-8")
    return path
