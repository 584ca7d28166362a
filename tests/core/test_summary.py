from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.distributions import Quantiles
from datagen.core.histogram import distance, distance_to_points
from datagen.core.records import Event, SegmentKind
from datagen.core.rng import stream
from datagen.core.summary import Summary
from datagen.core.turntaking import Conversation, Span
from datagen.core.types import Speaker

MS, SECOND, MINUTE = 16, 16_000, 960_000
PEOPLE = ((0.0, -600.0), (0.1, -80.0), (0.25, 70.0), (0.5, 250.0), (0.75, 540.0), (0.9, 890.0), (1.0, 2000.0))


def talk(offsets_ms: list[float], first: Speaker = "user", turn_ms: int = 3000) -> Conversation:
    """Alternating turns of one length with these offsets between them."""
    spans, end = [Span(first, "turn", 0, turn_ms * MS)], turn_ms * MS
    for k, offset in enumerate(offsets_ms):
        speaker: Speaker = "assistant" if (k % 2 == 0) == (first == "user") else "user"
        start = end + round(offset * MS)
        end = start + turn_ms * MS
        spans.append(Span(speaker, "turn", start, end))
    return Conversation(end, tuple(spans))


def summed(conversations: list[Conversation]) -> Summary:
    summary = Summary()
    for conversation in conversations:
        summary.add(conversation)
    return summary


talks = st.lists(st.lists(st.integers(-900, 2000), max_size=6).map(lambda o: talk([*o])), max_size=4)


@settings(max_examples=30)
@given(talks, talks, talks)
def test_merging_parts_gives_the_whole_in_any_order(a, b, c):
    x, y, z = summed(a), summed(b), summed(c)
    assert x.merge(y) == y.merge(x)
    assert x.merge(y).merge(z) == x.merge(y.merge(z)) == summed(a + b + c)
    assert Summary.model_validate_json(x.model_dump_json()) == x


def test_counts_and_rates_of_a_conversation_counted_by_hand():
    kind: SegmentKind = "backchannel"
    words = tuple((k * SECOND, k * SECOND + SECOND // 2) for k in range(4))
    spans = (
        Span("user", "turn", 0, 4 * SECOND, words=words),
        Span("assistant", kind, 2 * SECOND, 2 * SECOND + SECOND // 4),
        Span("assistant", "turn", 5 * SECOND, 15 * SECOND, yielded=True),
        Span("user", "turn", 14 * SECOND, 20 * SECOND),
    )
    events = (
        Event(type="backchannel", actor="assistant", start=0, end=1, target=0, outcome="floor kept", probability=0.4),
        Event(type="barge_in", actor="user", start=0, end=1, target=2, outcome="yielded", probability=0.25),
    )
    summary = summed([Conversation(MINUTE, spans, events)])
    rates = summary.rates()
    assert summary.transfers("assistant").quantile(0.5) == SECOND
    assert summary.transfers("user").quantile(0.5) == -SECOND
    assert summary.offsets["user"].n == 0, "an interruption is no ordinary floor change"
    assert summary.stops.quantile(0.5) == SECOND
    assert summary.pauses.n == 3
    assert summary.chances == {"backchannel/assistant": {400: 1}, "barge_in/user": {250: 1}}
    assert rates.transfers_per_minute == 2
    assert rates.gap_seconds_per_minute == 1
    assert rates.overlap_share == {"user": 1, "assistant": 0}
    assert rates.backchannels_per_minute == {"user": 0, "assistant": 1}
    assert rates.backchannels_per_heard_minute["assistant"] == pytest.approx(60 / 8)
    assert rates.barge_ins_per_minute == {"user": 1, "assistant": 0}
    assert rates.yield_probability == {"turn": 1, "backchannel": 0}
    assert rates.yield_probability_all == 0.5
    assert rates.speech_share["user"] == pytest.approx(8 / 60)
    assert rates.simultaneous_share == pytest.approx((1 + 0.25) / 60)
    assert rates.words_per_minute == 4
    assert rates.words_per_speaking_minute["user"] == pytest.approx(4 / 8 * 60)


def test_rates_of_nothing_are_nan():
    rates = Summary().rates()
    assert math.isnan(rates.transfers_per_minute)
    assert math.isnan(rates.yield_probability_all)


@pytest.fixture(scope="module")
def drawn() -> list[list[float]]:
    """Offsets of 60 conversations: quick assistants, human users, and each conversation with its own pace."""
    human, rng = Quantiles(dist="quantiles", points=PEOPLE), stream(1, "drawn", "offsets")
    out = []
    for _ in range(60):
        pace = rng.normal(0, 150)
        row = [
            220 * np.exp(0.2 * rng.normal()) if k % 2 == 0 else human.quantile(rng.random()) + pace for k in range(12)
        ]
        out.append([float(max(x, -900)) for x in row])
    return out


def to_people(summary: Summary) -> float:
    points = tuple((p, ms * MS) for p, ms in PEOPLE)
    return distance_to_points(summary.transfers("user"), points)


def to_quick(summary: Summary) -> float:
    return distance(summary.transfers("assistant"), lambda p: 220 * MS)


def test_fixing_the_gaps_makes_them_less_human(drawn):
    honest = summed([talk(row) for row in drawn])
    fixed = summed([talk([200.0] * len(row)) for row in drawn])
    assert to_people(fixed) > 3 * to_people(honest)


def test_shuffling_gaps_between_the_speakers_makes_both_directions_worse(drawn):
    honest = summed([talk(row) for row in drawn])
    rng = stream(1, "shuffled", "offsets")
    shuffled = summed([talk([float(x) for x in rng.permutation(row)]) for row in drawn])
    assert to_people(shuffled) > 1.5 * to_people(honest)
    assert to_quick(shuffled) > 1.5 * to_quick(honest)


def test_shuffling_gaps_between_conversations_makes_pairs_too_alike(drawn):
    honest = summed([talk(row) for row in drawn])
    users = stream(1, "mixed", "offsets").permutation(np.array([row[1::2] for row in drawn]).ravel()).reshape(60, -1)
    mixed = summed(
        [
            talk([x for pair in zip(row[::2], own, strict=True) for x in pair])
            for row, own in zip(drawn, users, strict=True)
        ]
    )
    assert mixed.transfers("user") == honest.transfers("user"), "the offsets themselves are the same"
    assert mixed.dyads["user"].sd() < 0.9 * honest.dyads["user"].sd()
