"""Hypothesis settings of all tests: no deadline (machines differ), on CI the same examples in every run, and a third of
the examples where only the quick tests are wanted (``-m "not slow"``).

Numbers are crunched on one thread: the models of tests are so small that threads only wait for one another, and the
tests run side by side anyway.

Ctrl-C is listened to in whatever way the tests were started: a shell has its background jobs ignore it.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "datagen", deadline=None, print_blob=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("datagen"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "datagen")
os.environ.setdefault("OMP_NUM_THREADS", "1")
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Fewer examples for the quick tests alone; the whole suite draws them all."""
    if config.getoption("markexpr") == "not slow":
        settings.register_profile("quick", settings(), max_examples=20)
        settings.load_profile("quick")


def pytest_runtest_teardown() -> None:
    """The commands of the trainer take all processors for their process, which here goes on with other tests."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
