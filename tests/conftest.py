"""Hypothesis settings of all tests: no deadline (machines differ), and on CI the same examples in every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "datagen", deadline=None, print_blob=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("datagen"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "datagen")
