"""What is measured on two finished signals, before they are encoded. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from datagen.core.audio import FULL_SCALE, Pcm, clicks, from_pcm16, longest_zero_run, power
from datagen.core.records import Measured, Segment, Timeline
from datagen.core.units import from_ms

_AROUND = from_ms(20)
"""Samples on each side of a cut that the click measure looks at, with room to spare."""


def measure(user: Pcm, assistant: Pcm, timeline: Timeline) -> Measured:
    """Peaks, the longest digital silence the assistant hears, and whether the assistant's channel clicks or sounds
    where it should not."""
    own = [s for s in timeline.segments if s.speaker == "assistant"]
    return Measured(
        user_peak=_peak(user),
        assistant_peak=_peak(assistant),
        longest_zero_run=longest_zero_run(user),
        outside_power=_outside_power(assistant, own),
        click=max((_click(assistant, at) for at in _cuts(own)), default=0.0),
    )


def _peak(pcm: Pcm) -> float:
    return round(max(int(pcm.max()), -int(pcm.min())) / FULL_SCALE, 5)


def _outside_power(pcm: Pcm, segments: Sequence[Segment]) -> float:
    """Mean square between the segments, the loudest stretch of them."""
    borders = [0, *(b for s in segments for b in (s.start, s.end)), pcm.size]
    return max((power(pcm[a:b]) for a, b in zip(borders[::2], borders[1::2], strict=True) if b > a), default=0.0)


def _cuts(segments: Sequence[Segment]) -> list[int]:
    """Where pieces of speech begin or end in mid-utterance."""
    parted = [at for s in segments for left, right in pairwise(s.pieces) for at in (left.stop, right.at)]
    return parted + [s.end for s in segments if s.yielded]


def _click(pcm: Pcm, at: int) -> float:
    first = max(at - _AROUND, 0)
    return clicks(from_pcm16(pcm[first : at + _AROUND]), [at - first])
