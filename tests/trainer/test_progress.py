"""What a stage shows: a line per log elsewhere, a bar on a terminal that is gone again when a run fails."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState

from tests.tiny import Tiny, built
from tests.trainer.tiny_preset import STEPS, tiny
from trainer.failing import Diverged
from trainer.fit import Fit, fit
from trainer.stages import run as running
from trainer.stages.progress import Progress, told

__all__ = ["built"]

SECONDS = 2.0
"""Of a step."""


def shown(terminal: bool, resumed: int = 0, failing: bool = False, main: bool = True) -> str:
    """What is written while eight steps of two seconds are taken, with a loss at every fourth."""
    now = 100.0
    out = Console(file=io.StringIO(), force_terminal=terminal, force_interactive=terminal, width=120, color_system=None)
    state = TrainerState(global_step=resumed, max_steps=1_008, is_world_process_zero=main)
    given: Any = (None, state, TrainerControl())
    with pytest.raises(Diverged) if failing else Progress("idle"), Progress("duplex", out, lambda: now) as progress:
        progress.on_train_begin(*given)
        for step in range(1, 9):
            now += SECONDS
            state.global_step = resumed + step
            progress.on_step_end(*given)
            if step % 4 == 0:
                progress.on_log(*given, logs={"loss": 10 / step, "lr": 1.0})
        if failing:
            raise Diverged("no number")
        progress.on_log(*given, logs={"train_runtime": 1.0})
        progress.on_train_end(*given)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_without_a_terminal_there_is_a_line_per_loss() -> None:
    assert shown(terminal=False).splitlines() == [
        "duplex: 4/1,008  loss 2.5, 0.5 steps/s, 0:33:28 left",
        "duplex: 8/1,008  loss 1.25, 0.5 steps/s, 0:33:20 left",
        "duplex: 8 steps in 0:00:16",
    ]


def test_steps_of_an_earlier_run_are_not_timed() -> None:
    assert shown(terminal=False, resumed=500).splitlines() == [
        "duplex: 504/1,008  loss 2.5, 0.5 steps/s, 0:16:48 left",
        "duplex: 508/1,008  loss 1.25, 0.5 steps/s, 0:16:40 left",
        "duplex: 8 steps in 0:00:16",
    ]


def test_a_terminal_has_a_bar_with_the_loss_and_the_time_left() -> None:
    written = shown(terminal=True)
    assert re.search(r"duplex 8/1,008 loss 1\.25, 0\.5 steps/s, 0:33:20 left", re.sub(r" +", " ", written))
    assert written.rstrip().endswith("duplex: 8 steps in 0:00:16")


def test_a_run_that_fails_gives_the_terminal_back() -> None:
    hidden, there = "\x1b[?25l", "\x1b[?25h"
    written = shown(terminal=True, failing=True)
    assert written.rfind(there) > written.rfind(hidden) >= 0, "the cursor is there again"


@pytest.mark.parametrize("terminal", [True, False])
def test_one_process_of_many_speaks(terminal: bool) -> None:
    assert not shown(terminal, main=False)


def test_what_is_not_known_is_left_out() -> None:
    assert told(0, 10, None, 0.0) == ""
    assert told(1, 10, None, 3.0) == "3 steps/s, 0:00:03 left"
    assert told(10, 10, 0.5, 1 / 7) == "loss 0.5, 0.143 steps/s, 0:00:00 left"


@pytest.mark.slow
def test_a_run_tells_and_logs_and_prints_nothing_else(
    built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "LOG_STEPS", 2)
    fit(Fit(data=str(built.out), preset=tiny()), tmp_path / "run")
    out, err = capfd.readouterr()
    assert out == ""
    for stage in ("encoder", "duplex"):
        lines = [line for line in err.splitlines() if line.startswith(f"{stage}: ")]
        assert [line.split()[1] for line in lines] == ["2/6", "4/6", "6/6", str(STEPS)]
        assert all(re.search(r" loss [\d.]+, [\d.]+ steps/s, 0:\d\d:\d\d left$", line) for line in lines[:-1])
    assert "{" not in err


@pytest.mark.slow
def test_curves_are_kept_for_tensorboard(built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr(running, "LOG_STEPS", 2)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "elsewhere"))
    fit(Fit(data=str(built.out), preset=tiny()), tmp_path / "run")
    for stage in ("encoder", "duplex"):
        events = accumulator.EventAccumulator(str(tmp_path / "run" / stage / "logs"))
        events.Reload()
        assert [event.step for event in events.Scalars("train/loss")] == [2, 4, 6]
        assert {"train/transcript", "train/letters", "train/learning_rate"} <= set(events.Tags()["scalars"])
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_without_tensorboard_a_run_is_the_same(built: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "is_tensorboard_available", lambda: False)
    fit(Fit(data=str(built.out), preset=tiny()), tmp_path / "run")
    assert (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "encoder" / "logs").exists()
