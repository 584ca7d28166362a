"""One line of the benchmark table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What was asked, what was measured."""

    what: str
    asked: str
    measured: str
    met: bool
