"""Laws of choosing evenly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.spreading import shares, spread


@given(sizes=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 30)), total=st.integers(0, 90))
def test_shares_are_even_and_use_all_there_is(sizes: dict[str, int], total: int) -> None:
    taken = shares(sizes, total)
    assert sum(taken.values()) == min(total, sum(sizes.values()))
    assert all(taken[name] <= sizes[name] for name in sizes)
    for name, count in taken.items():
        if count < sizes[name]:
            assert max(taken.values()) <= count + 1


@given(items=st.lists(st.integers(), unique=True), count=st.integers(1, 20))
def test_spread_keeps_the_order_and_reaches_far(items: list[int], count: int) -> None:
    kept = spread(items, count)
    places = [items.index(item) for item in kept]
    assert len(kept) == min(count, len(items))
    assert places == sorted(set(places))
    steps = np.diff([*places, len(items)])
    assert not kept or (places[0] == 0 and steps.max() - steps.min() <= 1)
