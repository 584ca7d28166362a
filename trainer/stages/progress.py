"""How far a stage is: a bar on a terminal, elsewhere a line whenever the loss is known anew.

duplex ━━━━━━━━━━╺━━━━━━━━━━━━━ 425/1,200  loss 2.318, 1.13 steps/s, 0:11:26 left
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from transformers import TrainerCallback


def told(step: int, total: int, loss: float | None, rate: float) -> str:
    """Loss, speed (steps per second) and the time that the rest takes at it; what is not known yet is left out.

    >>> told(425, 1200, 2.3178, 1.13)
    'loss 2.318, 1.13 steps/s, 0:11:26 left'
    """
    parts = [] if loss is None else [f"loss {loss:.4g}"]
    if rate > 0:
        parts += [f"{rate:.3g} steps/s", f"{timedelta(seconds=math.ceil((total - step) / rate))} left"]
    return ", ".join(parts)


class Progress(TrainerCallback):
    """Shows a stage; a context manager, so that a run which fails gives the terminal back.

    Args:
        stage: its name.
        console: where to; standard error by default, so that what a command prints stays apart.
        clock: seconds.
    """

    def __init__(self, stage: str, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stage, self._clock = stage, clock
        self._console = console or Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=32),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
        )
        self._task: TaskID | None = None
        self._began, self._first = 0.0, 0
        self._loss: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From here on steps are timed; those that an earlier run took do not count."""
        self._began, self._first = self._clock(), state.global_step
        if state.is_world_process_zero and self._console.is_interactive:
            self._task = self._bar.add_task(self._stage, total=state.max_steps, completed=self._first, note="")
            self._bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._bar.update(self._task, completed=state.global_step, note=self._note(state))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """The mean loss since the last time."""
        if "loss" not in (logs or {}):
            return
        self._loss = float((logs or {})["loss"])
        if self._task is not None:
            self._bar.update(self._task, note=self._note(state))
        else:
            self._line(state, f"{state.global_step:,}/{state.max_steps:,}  {self._note(state)}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """How long it took in all."""
        taken = timedelta(seconds=round(self._clock() - self._began))
        self._close()
        steps = state.global_step - self._first
        self._line(state, f"{steps:,} {'step' if steps == 1 else 'steps'} in {taken}")

    def _close(self) -> None:
        if self._task is not None:
            self._bar.stop()

    def _note(self, state: Any) -> str:
        seconds = self._clock() - self._began
        rate = (state.global_step - self._first) / seconds if seconds > 0 else 0.0
        return told(state.global_step, state.max_steps, self._loss, rate)

    def _line(self, state: Any, text: str) -> None:
        if state.is_world_process_zero:
            self._console.print(f"{self._stage}: {text}", markup=False, highlight=False, soft_wrap=True)
