"""Ways a training run ends that are nobody's mistake in a command."""

from __future__ import annotations


class Diverged(RuntimeError):
    """The loss is no number any more."""
