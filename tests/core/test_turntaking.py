from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.records import Event, Piece, Segment, SegmentKind, Timeline
from datagen.core.turntaking import (
    Conversation,
    Span,
    from_row,
    from_timeline,
    onsets,
    pauses,
    simultaneous,
    transfers,
    units,
)
from datagen.core.types import Speaker, Word

MS = 16
KINDS: tuple[SegmentKind, ...] = ("turn", "backchannel")


def span(speaker: Speaker, start: int, end: int, kind: SegmentKind = "turn", yielded: bool = False) -> Span:
    return Span(speaker, kind, start * MS, end * MS, yielded)


def offsets(*spans: Span) -> list[tuple[str, float]]:
    return [(t.after.speaker, t.offset / MS) for t in transfers(sorted(spans, key=lambda s: s.start))]


@st.composite
def conversations(draw: st.DrawFn) -> list[Span]:
    """Any spans in which no speaker overlaps itself."""
    spans: list[Span] = []
    for speaker in ("user", "assistant"):
        clock = 0
        for _ in range(draw(st.integers(0, 6))):
            start = clock + draw(st.integers(0, 3000))
            words = []
            at = start
            for _ in range(draw(st.integers(0, 4))):
                at += draw(st.integers(0, 6000))
                words.append((at, at := at + draw(st.integers(1, 3000))))
            clock = max(at, start + draw(st.integers(1, 5000)))
            kind: SegmentKind = draw(st.sampled_from(KINDS))
            spans.append(Span(speaker, kind, start, clock, draw(st.booleans()), tuple(words)))
    return sorted(spans, key=lambda s: (s.start, s.end))


def test_offsets_are_signed_and_never_clamped():
    found = offsets(span("user", 0, 1000), span("assistant", 1200, 2000), span("user", 1700, 3000))
    assert found == [("assistant", 200), ("user", -300)]


def test_a_backchannel_does_not_take_the_floor():
    plain = [span("user", 0, 2000), span("assistant", 2200, 3000)]
    assert offsets(*plain, span("assistant", 900, 1200, "backchannel")) == offsets(*plain) == [("assistant", 200)]


def test_turns_of_one_speaker_in_a_row_are_no_transfer_but_a_pause():
    spans = (span("user", 0, 1000), span("user", 1500, 2000), span("assistant", 2100, 3000))
    assert offsets(*spans) == [("assistant", 100)]
    assert pauses(spans) == [500 * MS]


def test_a_turn_inside_the_others_turn_did_not_take_the_floor():
    assert offsets(span("assistant", 0, 5000), span("user", 1000, 2000), span("user", 5200, 6000)) == [("user", 200)]


@settings(max_examples=30)
@given(conversations())
def test_transfers_change_the_speaker_and_chain(spans):
    found = transfers(spans)
    assert all(t.before.speaker != t.after.speaker for t in found)
    assert all(t.before.kind == t.after.kind == "turn" for t in found)
    assert all(t.after.end > t.before.end for t in found)


def test_units_split_at_silences_of_200_ms_and_not_below():
    words = ((0, 100 * MS), (299 * MS, 400 * MS), (600 * MS, 700 * MS))
    whole = Span("user", "turn", 0, 700 * MS, words=words)
    assert units(whole) == [(0, 400 * MS), (600 * MS, 700 * MS)]
    assert pauses([whole]) == [200 * MS]
    assert units(span("user", 3, 9)) == [(3 * MS, 9 * MS)]


@settings(max_examples=30)
@given(conversations())
def test_units_hold_all_words_and_are_200_ms_apart(spans):
    for s in spans:
        found = units(s)
        assert all(b[0] - a[1] >= 200 * MS for a, b in pairwise(found))
        assert all(any(a <= w[0] and w[1] <= b for a, b in found) for w in s.words)


@settings(max_examples=30)
@given(conversations())
def test_simultaneous_speech_equals_counting_samples(spans):
    end = max((s.end for s in spans), default=0)
    masks = {"user": np.zeros(end, bool), "assistant": np.zeros(end, bool)}
    for s in spans:
        for a, b in units(s):
            masks[s.speaker][a:b] = True
    assert simultaneous(spans) == int((masks["user"] & masks["assistant"]).sum())


def test_the_last_contested_start_is_the_one_that_was_yielded_to():
    spans = [
        span("assistant", 0, 3000, yielded=True),
        span("user", 1000, 1300, "backchannel"),
        span("user", 2600, 5000),
    ]
    assert [(o.span.kind, o.contested, o.yielded) for o in onsets(spans)] == [
        ("backchannel", True, False),
        ("turn", True, True),
    ]
    assert onsets(spans)[0].entry == pytest.approx(1 / 3)


def test_a_turn_that_anticipates_the_end_contests_nothing():
    early, late = span("user", 1000, 4000), span("user", 1800, 4000)
    holder = span("assistant", 0, 2000)
    assert onsets([holder, early])[0].contested
    assert not onsets([holder, late])[0].contested
    assert onsets([holder, span("user", 1800, 2100, "backchannel")])[0].contested


@settings(max_examples=30)
@given(conversations())
def test_onsets_lie_inside_the_others_turn(spans):
    for o in onsets(spans):
        assert o.span.speaker != o.holder.speaker
        assert 0 < o.entry < 1
        assert not o.yielded or (o.contested and o.holder.yielded)


def test_a_plan_and_its_published_row_give_the_same_conversation():
    word = Word(text="yes", start=1601, end=4803)
    segment = Segment(
        speaker="user",
        kind="turn",
        turn=0,
        utterance=0,
        pieces=(Piece(start=0, end=6007, at=1601),),
        text="yes",
        text_full="yes",
        words=(word,),
    )
    event = Event(type="pause", actor="user", start=1607, end=4801, target=0, outcome="turn kept", probability=0.25)
    timeline = Timeline(id="one", num_samples=9001, segments=(segment,), events=(event,))
    row = {
        "num_samples": 9001,
        "segments": [
            {"speaker": "user", "kind": "turn", "start": 1601 / 16_000, "end": 7608 / 16_000, "yielded": False}
            | {"words": [{"start": 1601 / 16_000, "end": 4803 / 16_000}]}
        ],
        "events": [
            {"type": "pause", "actor": "user", "start": 1607 / 16_000, "end": 4801 / 16_000, "target": 0}
            | {"outcome": "turn kept", "probability": 0.25}
        ],
    }
    assert from_row(row) == from_timeline(timeline)
    assert isinstance(from_row(row), Conversation)


def test_a_row_without_segments_is_refused():
    with pytest.raises(ValueError, match="no column events, segments"):
        from_row({"num_samples": 1})
