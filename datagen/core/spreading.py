"""Choosing some of many evenly, without dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the items, evenly over their order.

    >>> spread("abcdefghij", 3)
    ['a', 'd', 'g']
    """
    kept = min(count, len(items))
    return [items[place * len(items) // kept] for place in range(kept)]


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """How many of each group to take for ``total`` in all: as even as the groups allow, earlier names first.

    >>> shares({"airport": 2, "bus": 9, "park": 9}, 9)
    {'airport': 2, 'bus': 4, 'park': 3}
    """
    taken = dict.fromkeys(sorted(sizes), 0)
    left = min(total, sum(sizes.values()))
    while left:
        open_groups = [name for name in taken if taken[name] < sizes[name]]
        each = max(left // len(open_groups), 1)
        for name in open_groups[:left]:
            more = min(each, sizes[name] - taken[name])
            taken[name] += more
            left -= more
    return taken
