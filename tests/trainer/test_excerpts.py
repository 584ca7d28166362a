"""Excerpts: every word of the user keeps its samples, nobody else is in them, and they are whole ticks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Speaker, Word
from datagen.core.units import FRAME_SAMPLES
from trainer.data.excerpts import excerpt, spans_of, swapped
from trainer.data.rows import Row, Segment


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Segments of both sides at any times."""
    segments = []
    total = draw(st.integers(16_000, 400_000))
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, total - 2))
        end = draw(st.integers(start + 1, min(total, start + 80_000)))
        speaker: Speaker = draw(st.sampled_from(("user", "assistant")))
        word = Word(text="word", start=start, end=end)
        segments.append(
            Segment(speaker=speaker, kind="turn", start=start, end=end, text="word", text_full="word", words=(word,))
        )
    segments.sort(key=lambda s: s.start)
    return Row(
        id="a", language="en", domain="d", source="s", profile="polite", num_samples=total, segments=tuple(segments),
        events=(), user_voice="u", assistant_voice="v",
    )  # fmt: skip


@given(rows())
def test_every_segment_of_the_user_keeps_its_samples(row: Row) -> None:
    clock = np.arange(row.num_samples, dtype=np.float32)
    samples, cut = excerpt(clock, row)
    own = [s for s in row.segments if s.speaker == "user"]
    if not own:
        assert cut is row
        assert samples is clock
        return
    assert len(samples) == cut.num_samples == sum(end - start for start, end in spans_of(row))
    assert len(cut.segments) == len(own)
    for before, after in zip(own, cut.segments, strict=True):
        for old, new in ((before, after), (before.words[0], after.words[0])):
            assert samples[new.start : new.end].tolist() == clock[old.start : old.end].tolist()
        assert (before.start - after.start) % FRAME_SAMPLES == 0, "ticks stay ticks"
    assert Row.model_validate(cut.model_dump()) == cut


@given(rows())
def test_parts_are_in_order_and_apart(row: Row) -> None:
    spans = spans_of(row)
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    assert all(0 <= start < end <= row.num_samples for start, end in spans)


@given(rows())
def test_what_the_assistant_says_is_heard_in_the_users_noise(row: Row) -> None:
    """The user's channel holds 2 where the user speaks and 1 where not, the assistant's its own clock."""
    user = np.ones(row.num_samples, np.float32)
    for segment in row.segments:
        if segment.speaker == "user":
            user[segment.start : segment.end] = 2
    clock = np.arange(row.num_samples, dtype=np.float32)
    samples, told = swapped(user, clock, row)
    alone = bool(spans_of(row)) and sum(end - start for start, end in spans_of(row)) == row.num_samples
    np.testing.assert_array_equal(samples, clock if alone else clock + 1)
    assert [(s.start, s.words) for s in told.segments] == [
        (s.start, s.words) for s in row.segments if s.speaker == "assistant"
    ]
    assert {s.speaker for s in told.segments} <= {"user"}
    assert told.id != row.id


def test_a_turn_that_was_cut_is_not_learned_from() -> None:
    said = Segment(speaker="assistant", kind="turn", start=0, end=9_000, text="a", text_full="a b", yielded=True)
    row = Row(
        id="a", language="en", domain="d", source="s", profile="polite", num_samples=9_000, segments=(said,),
        events=(), user_voice="u", assistant_voice="v",
    )  # fmt: skip
    quiet = np.zeros(9_000, np.float32)
    assert swapped(quiet, quiet, row)[1].segments == ()
