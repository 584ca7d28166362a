"""The playout clock keeps time and loses no sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.runtime.playout import Playout

PIECES = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 8_000)), min_size=1, max_size=12)
"""(milliseconds until it comes, samples)."""


@given(PIECES)
def test_everything_is_played_once_and_underruns_are_the_silence_between(pieces: list[tuple[int, int]]) -> None:
    now, playout, position = 0.0, Playout(), 0
    for wait, samples in pieces:
        now += wait
        assert position <= playout.position(now) <= playout.available
        position = playout.position(now)
        playout = playout.added(samples, now)
        assert playout.position(now) == position
    playout = playout.closed()
    total = sum(samples for _, samples in pieces)
    end = playout.ends_ms
    assert playout.position(end) == total == playout.available
    assert playout.over(end)
    assert not playout.over(end - 1)
    began = playout.began_ms
    assert began is not None
    assert abs((end - began) - (total / 16 + playout.underrun_ms)) < 1e-6


@given(PIECES, st.floats(0, 3_000))
def test_a_stop_keeps_what_was_heard(pieces: list[tuple[int, int]], after: float) -> None:
    now, playout = 0.0, Playout()
    for wait, samples in pieces:
        now += wait
        playout = playout.added(samples, now)
    heard = playout.position(now + after)
    stopped = playout.stopped(now + after)
    assert stopped.available == heard == stopped.position(now + after + 10_000)
    assert stopped.over(now + after)


def test_silence_before_the_first_sample_is_no_underrun() -> None:
    playout = Playout().added(0, 100)
    assert playout.began_ms is None
    playout = playout.added(1_600, 500)
    assert (playout.began_ms, playout.underrun_ms, playout.ends_ms) == (500, 0, 600)
