"""Names of TAU Urban Acoustic Scenes, and slices of one second joined to the recording they were cut from. Pure.

airport-barcelona-0-0-a.wav           2018 to 2020: scene, city, location, segment of 10 s, device
airport-lisbon-1000-40000-0-a.wav     from 2022 on: the segment in ten slices of 1 s, numbered 0 to 9
0.wav                                 evaluation sets: nothing but a number
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

GAP = "{}"
"""Stands for the slice's number in the name of a recording."""
UNLABELLED = "unlabelled"
"""The scene of a file that neither its name nor a table tells."""
_NAME = re.compile(
    r"(?P<scene>[a-z_]+)-(?P<city>[a-z_]+)-(?P<location>\d+)-(?P<segment>\d+)(-(?P<slice>\d+))?-(?P<device>[a-z]\d*)"
)


class Named(NamedTuple):
    """What a file's name says."""

    scene: str
    device: str
    """Empty where the name does not say it."""
    recording: str
    """What the slices of one segment and device have in common: the name without the slice's number."""
    slice: int | None
    """None for a file that is whole."""


def named(name: str) -> Named:
    """The parts of a file's name (a path inside the data set).

    >>> named("audio/airport-lisbon-1000-40000-3-s1.wav")
    Named(scene='airport', device='s1', recording='audio/airport-lisbon-1000-40000-{}-s1.wav', slice=3)
    """
    path = PurePosixPath(name)
    parts = _NAME.fullmatch(path.stem)
    if parts is None:
        return Named(UNLABELLED, "", name, None)
    scene, device, number = parts["scene"], parts["device"], parts["slice"]
    if number is None:
        return Named(scene, device, name, None)
    whole = f"{scene}-{parts['city']}-{parts['location']}-{parts['segment']}-{GAP}-{device}{path.suffix}"
    return Named(scene, device, str(path.with_name(whole)), int(number))


def runs(numbered: Mapping[int, str]) -> list[tuple[int, ...]]:
    """The numbers of a recording's slices in stretches without a gap, in order.

    Over a gap the sound would jump, so what lies on its two sides stays two clips.

    >>> runs({0: "a", 1: "b", 3: "d"})
    [(0, 1), (3,)]
    """
    found: list[list[int]] = []
    for number in sorted(numbered):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return [tuple(run) for run in found]
