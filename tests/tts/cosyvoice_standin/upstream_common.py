"""Stands in for ``cosyvoice.utils.common``."""

from __future__ import annotations

import random

import numpy as np


def set_all_random_seed(seed: int) -> None:
    """Seeds every global generator, as the original does with those of Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (global, like the original)
