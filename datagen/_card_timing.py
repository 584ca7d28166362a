"""A timing profile in words, for the dataset card."""

from __future__ import annotations

from typing import Any

from datagen.core.distributions import Fixed, Lognormal, Quantiles, Uniform
from datagen.core.language import Timing

TIMING_NAMES = {
    "assistant_onset": "Offset when the assistant takes the floor",
    "user_onset": "Offset when the user takes the floor",
    "dyad_sd_ms": "Spread of the user's offsets between conversations",
    "barge_in_overlap": "Both heard when the user cuts in",
    "barge_in_cut": "Where the assistant is cut",
    "backchannel_delay": "From the last word to a backchannel",
    "pause": "Hesitation inside a turn",
    "invitation": "Silence that invites a backchannel",
}


def timing_lines(timing: Timing) -> list[tuple[str, str, str]]:
    """Quantity, value and source of every number of a timing profile."""
    return [
        (name, value_text(field, getattr(timing, field)), timing.sources[field]) for field, name in TIMING_NAMES.items()
    ]


def value_text(field: str, value: Any) -> str:
    """A timing prior in words."""
    match value:
        case Fixed():
            return f"{value.ms:g} ms"
        case Uniform():
            return f"uniform, {value.low_ms:g} to {value.high_ms:g} ms"
        case Lognormal():
            limits = f"{value.floor_ms:g} to {value.cap_ms:g} ms"
            return f"log-normal, median {value.median_ms:g} ms, sigma {value.sigma:g}, {limits}"
        case Quantiles():
            return "quantiles: " + ", ".join(f"{100 * p:g} % {ms:g} ms" for p, ms in value.points)
        case (low, high):
            return f"{100 * low:g} to {100 * high:g} % of the turn"
    return f"{value:g} ms" if field.endswith("_ms") else f"{value:g}"
