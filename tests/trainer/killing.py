"""A training that dies at a step, as by a signal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from trainer.stages import run as running


class Killed(BaseException):
    """As a signal would."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is trained inside dies at the start of its step so-and-so, counted over all stages; it must come to it."""
    original = running._Run.compute_loss
    steps = 0

    def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == step:
            raise Killed
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(running._Run, "compute_loss", dying)
        with pytest.raises(Killed):
            yield
