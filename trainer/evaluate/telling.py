"""How far an evaluation is, and for how long it will go on: lines on standard error.

[3/8] Table 3 on 794 conversations: 40 %, 2:10 so far, about 5:00 left
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

EVERY_S = 10.0
"""Between the lines of one step."""
_KNOWN = 0.03
"""Of everything must be done before the rest can be guessed."""


def _error(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Telling:
    """Steps with weights: rough guesses of their lengths beside each other, from which the time left is told."""

    def __init__(
        self,
        weights: dict[str, float],
        write: Callable[[str], None] = _error,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``weights``: of every step that is to come, in order."""
        self._weights, self._write, self._clock = weights, write, clock
        self._done, self._total = 0.0, sum(weights.values())
        self._began = self._said = clock()
        self._step, self._running = "", 0.0

    @contextmanager
    def step(self, name: str, what: str = "") -> Iterator[None]:
        """Around a step; ``what`` is said with it."""
        number = list(self._weights).index(name) + 1
        self._step = f"[{number}/{len(self._weights)}] {name}" + (f" {what}" if what else "")
        self._running = self._weights[name]
        self._line(0.0)
        yield
        self._done += self._weights[name]

    def at(self, share: float) -> None:
        """Somewhere in the step, from 0 to 1; not every call is told."""
        if self._clock() - self._said >= EVERY_S:
            self._line(share)

    def say(self, text: str) -> None:
        """Something else worth a line."""
        self._write(f"      {text}")

    def finished(self) -> None:
        """The last line."""
        self._write(f"done in {self._passed()}")

    def _line(self, share: float) -> None:
        self._said = self._clock()
        done = self._done + share * self._running
        left = ""
        if done >= _KNOWN * self._total:
            seconds = (self._said - self._began) * (self._total - done) / done
            left = f", {self._passed()} so far, about {timedelta(seconds=round(seconds))} left"
        self._write(f"{self._step}{f': {share:.0%}' if share else ''}{left}")

    def _passed(self) -> str:
        return str(timedelta(seconds=round(self._clock() - self._began)))
