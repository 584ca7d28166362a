"""What a latency is: one set of definitions for the evaluation and the live runtime. Pure; milliseconds.

Onset latency as the paper defines it (section 4.3): from the decision to answer ([BOS], or the end point of a cascade)
to the first N words that a synthesizer can start with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def onset_ms(commit: bool, words_ms: float | None, decide_ms: float | None, slow_ms: float) -> float:
    """Of the relay, in one turn.

    Args:
        commit: the verifier lets the draft's words through.
        words_ms: until the draft shows its N-th word, or its last; None where it has none.
        decide_ms: the verifier's own time; None without one.
        slow_ms: until the slow path's first words, recognition included.

    >>> onset_ms(True, 70.0, 10.0, 1091.0), onset_ms(False, 70.0, 10.0, 1091.0), onset_ms(True, None, None, 420.0)
    (80.0, 1091.0, 420.0)
    """
    return words_ms + (decide_ms or 0.0) if commit and words_ms is not None else slow_ms


def margin_ms(prefix_ends_ms: float, slow_audio_ms: float) -> float:
    """The relay margin: how long before the prefix has been heard the slow path's first audio is there; at 0 and above
    the seam is not heard."""
    return prefix_ends_ms - slow_audio_ms


def spread(values: Sequence[float]) -> tuple[float, float]:
    """P50 and P90 (numpy's percentile, as the paper's code)."""
    return float(np.percentile(values, 50)), float(np.percentile(values, 90))
