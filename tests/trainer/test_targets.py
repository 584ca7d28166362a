"""Labels: the worked cases of the public loader, hand-made ones, and laws for any conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.units import FRAME_SAMPLES
from tests.trainer.references import references
from trainer.data.rows import Row, row_of
from trainer.targets import (
    ClassWeights,
    Item,
    Overflow,
    Rules,
    Said,
    Target,
    alone,
    class_weights,
    items_of,
    label_ticks,
    loss_weights,
    pad_to,
    target,
)
from trainer.tokens import ControlTokens

TOKENS = ControlTokens(pad=0, bos=1, eos=2, stp=3, boc=4, sil=5, hod=6, vocabulary=100_000)
NAME = {0: "_", 1: "BOS", 2: "EOS", 3: "STP", 4: "BOC", 5: ".", 6: "h"}


def numbers(text: str) -> list[int]:
    """A token per integer word."""
    return [100 + int(word) for word in text.split()]


def samples_of(seconds: float) -> int:
    return round(seconds * 16_000)


def say(
    speaker: Any, start: float, end: float, text: str, *, backchannel: bool = False, cut: bool = False, full: str = ""
) -> Item:
    kind: Any = "backchannel" if backchannel else "turn"
    return Item(speaker, kind, samples_of(start), samples_of(end), text, full or text, cut)


def labels(found: Sequence[Item], seconds: float, **rules: Any) -> str:
    """The labels as text: control tokens by name, words as their numbers."""
    made = target(found, samples_of(seconds), numbers, TOKENS, Rules(**rules))
    return " ".join(NAME.get(int(i), str(int(i) - 100)) for i in made.ids_K)


def cases() -> list[dict[str, Any]]:
    return json.loads((references() / "targets.json").read_text())["cases"]


@pytest.mark.parametrize("index", range(6))
def test_worked_cases_of_the_public_loader_are_exact(index: int):
    case = cases()[index]
    found = [
        say(speaker, start, end, text, backchannel=kind == "backchannel", cut=kind == "interrupted")
        for speaker, start, end, text, kind in case["supervisions"]
    ]
    found.sort(key=lambda item: item.start)
    made = target(found, samples_of(case["duration"]), numbers, TOKENS, Rules(mode="relays2s"))
    assert made.ids_K.tolist() == case["target_tokens"]
    assert [len(made.ids_K)] == case["target_len"]
    expected = [(s["start"], s["end"], tuple(s["tokens"])) for s in case["source_tokens"]]
    assert [t[:3] for t in made.transcripts] == expected
    contexts = {str(p.tick): [said.text for said in p.context] for p in made.points}
    assert contexts == {tick: p["context"] for tick, p in case["bos_positions_for_generation"].items()}


def test_public_rules_write_later_items_over_earlier_ones():
    found = [say("assistant", 0.16, 0.5, "1 2 3 4 5", backchannel=True), say("assistant", 0.64, 1.28, "7 8")]
    assert labels(found, 1.6, mode="relays2s") == ". BOC 1 2 BOS 7 8 EOS . ."


CUT = (say("user", 0, 0.3, "9"), say("assistant", 0.32, 1.12, "1 2", cut=True, full="1 2 3 4 5 6 7"))


@pytest.mark.parametrize(
    ("found", "rules", "expected"),
    [
        ([say("assistant", 0.16, 1.12, "1 2")], {}, ". BOS 1 2 EOS h h . . ."),
        ([say("assistant", 0.16, 1.13, "1 2")], {}, ". BOS 1 2 EOS h h h . ."),
        ([say("assistant", 0.16, 1.12, "1 2")], {"hold": False}, ". BOS 1 2 EOS . . . . ."),
        ([say("assistant", 0.16, 0.48, "1 2 3 4")], {}, ". BOS 1 2 3 4 EOS . . ."),
        ([say("assistant", 0.16, 0.48, "1 2 3 4 5 6 7 8 9")], {}, ". BOS 1 2 3 4 5 6 7 EOS"),
        ([say("assistant", 0.16, 0.48, "1 2 3"), say("assistant", 0.64, 1.28, "7")], {}, ". BOS 1 EOS BOS 7 EOS h . ."),
        ([say("assistant", 0.16, 0.8, "1", backchannel=True)], {}, ". BOC 1 EOS h . . . . ."),
        (CUT, {}, ". . BOS 1 2 h h STP . ."),
        (CUT, {"hold": False}, ". . BOS 1 2 . . STP . ."),
        (CUT, {"interrupted": "written"}, ". . BOS 1 2 3 4 STP . ."),
        ([CUT[1]._replace(written="1 2 3 4")], {"interrupted": "written"}, ". . BOS 1 2 3 4 STP . ."),
        ([CUT[1]._replace(written="1 2")], {"interrupted": "written"}, ". . BOS 1 2 EOS h STP . ."),
        ([CUT[1]._replace(text="1 2 3 4 5")], {}, ". . BOS 1 2 3 4 STP . ."),
        (CUT, {"mode": "relays2s"}, ". . BOS 1 2 STP . STP . ."),
        ([CUT[1], say("assistant", 1.25, 1.6, "7")], {}, ". . BOS 1 2 h h STP BOS EOS"),
    ],
)
def test_written_out(found: Sequence[Item], rules: dict[str, Any], expected: str):
    assert labels(found, 1.6, **rules) == expected


def test_overflow_is_counted():
    found = [
        say("assistant", 0.16, 0.48, "1 2 3 4"),
        say("assistant", 1.6, 1.92, "1 2 3"),
        say("assistant", 1.93, 2.0, "4"),
        say("assistant", 2.4, 3.2, "1 2 3 4 5 6 7", cut=True),
    ]
    made = target(found, samples_of(3.2), numbers, TOKENS)
    # The second has tick 10 and 11 alone; the third tick 12 to 14; the cut one 15 to 18 and its [STP] at 19.
    assert made.overflow == Overflow(items=4, tokens=15, overran=2, cut=2, lost_tokens=7, lost_ends=0, left_out=0)
    assert "4 assistant items, 15 text tokens" in str(made.overflow)
    both = made.overflow + made.overflow
    assert astuple(both) == tuple(2 * n for n in astuple(made.overflow))


def test_what_the_user_does_not_let_the_assistant_say_is_no_overflow():
    made = target(CUT, samples_of(1.6), numbers, TOKENS, Rules(interrupted="written"))
    assert made.overflow == Overflow(items=1, tokens=7)


def test_an_item_without_room_is_left_out_and_counted():
    found = [say("assistant", 0.32, 0.40, "1"), say("assistant", 0.42, 1.0, "2"), say("assistant", 1.55, 1.6, "3")]
    made = target(found, samples_of(1.6), numbers, TOKENS)
    assert labels(found, 1.6) == ". . BOS 2 EOS h h . . ."
    assert (made.overflow.left_out, made.overflow.lost_tokens) == (2, 2)
    assert [p.reference for p in made.points] == ["2"]


def test_public_rules_count_lost_ends():
    found = [say("assistant", 0.16, 0.64, "1 2"), say("assistant", 1.12, 1.6, "1 2 3 4")]
    made = target(found, samples_of(2.0), numbers, TOKENS, Rules(mode="relays2s"))
    assert (made.overflow.lost_ends, made.overflow.cut, made.overflow.lost_tokens) == (2, 1, 2)


def test_integer_time_has_no_early_ticks():
    starts = [say("assistant", k * 160 / 1000, k * 160 / 1000 + 0.4, "1") for k in range(0, 1_200, 3)]
    made = target(starts, 1_201 * FRAME_SAMPLES, numbers, TOKENS)
    assert np.flatnonzero(made.ids_K == TOKENS.bos).tolist() == list(range(0, 1_200, 3))


@given(st.integers(0, 10**8))
def test_a_tick_in_samples_is_a_tick_in_whole_milliseconds(samples: int):
    assert samples // FRAME_SAMPLES == samples // 16 // 160
    assert label_ticks(samples) == floor(Fraction(samples, FRAME_SAMPLES) + Fraction(1, 2))


def test_points_are_turns_that_were_not_cut_with_what_was_said_before():
    found = [
        say("user", 0, 1, "1"),
        say("assistant", 0.5, 0.7, "2", backchannel=True),
        say("assistant", 1.2, 2.5, "3 4", cut=True, full="3 4 5"),
        say("user", 2.0, 3.0, "6"),
        say("assistant", 3.2, 4.0, "7"),
    ]
    (point,) = target(found, samples_of(4.5), numbers, TOKENS).points
    assert (point.tick, point.item, point.reference) == (20, 4, "7")
    assert point.context == (Said("user", "1"), Said("assistant", "3 4"), Said("user", "6"))


def test_transcripts_are_cut_at_the_labels_end():
    found = [say("user", 0.16, 0.32, "1"), say("user", 0.9, 1.44, "2", backchannel=True)]
    transcripts = target(found, samples_of(1.44), numbers, TOKENS).transcripts
    assert [(t.start, t.end, t.tokens) for t in transcripts] == [(1, 3, (1, 101, 2)), (5, 9, (1, 102, 2))]
    assert [t.kind for t in transcripts] == ["turn", "backchannel"]


def test_a_turn_is_learned_alone_from_its_first_word_to_its_end():
    t = TOKENS
    ids = np.array([t.sil, t.bos, 150, 151, t.eos, t.hod, t.sil, t.bos, 152, t.stp, t.boc, 153, t.eos, t.bos, 154])
    always = alone(ids, t, np.random.default_rng(0), 1.0)
    assert np.flatnonzero(always).tolist() == [2, 3, 4, 11, 12], "not what a barge-in ends, nor what has no end"
    assert not alone(ids, t, np.random.default_rng(0), 0.0).any()
    shares = [alone(ids, t, np.random.default_rng(seed), 0.4)[2] for seed in range(400)]
    assert 0.3 < np.mean(shares) < 0.5


def test_weights_follow_the_class():
    ids = np.array([TOKENS.sil, TOKENS.bos, 150, TOKENS.hod, TOKENS.pad, TOKENS.eos])
    weighed = loss_weights(ids, TOKENS, ClassWeights(bos=2, text=0.5))
    np.testing.assert_array_equal(weighed, np.array([0.2, 2, 0.5, 0.2, 0, 1], np.float32))
    assert class_weights(TOKENS).shape == (TOKENS.vocabulary,)


def test_padding_has_no_label():
    made = target([say("assistant", 0, 0.5, "1")], samples_of(1), numbers, TOKENS)
    padded = pad_to(made.ids_K, 10, TOKENS)
    assert padded.tolist() == [*made.ids_K.tolist(), *[TOKENS.pad] * 4]
    assert pad_to(made.ids_K, 3, TOKENS).tolist() == made.ids_K[:3].tolist()


def test_labels_cannot_be_written_to():
    made = target([say("assistant", 0, 0.5, "1")], samples_of(1), numbers, TOKENS)
    with pytest.raises(ValueError, match="read-only"):
        made.ids_K[0] = 1


def test_a_conversation_without_a_tick_is_refused():
    with pytest.raises(ValueError, match="1000 samples has no tick of 2560"):
        target([say("assistant", 0, 0.05, "1")], 1_000, numbers, TOKENS)


def published_row(segments: list[dict[str, Any]], num_samples: int) -> Row:
    told = {"language": "en", "domain": "d", "source": "s", "profile": "p", "events": []}
    voices = {"user": {"id": "u"}, "assistant": {"id": "a"}}
    plain = {"kind": "turn", "text": "1", "text_full": "1", "words": [], "yielded": False}
    spoken = [plain | segment for segment in segments]
    return row_of({"id": "c-1", "num_samples": num_samples, "voices": voices, **told, "segments": spoken})


def test_rows_give_items_in_samples():
    segment = {"speaker": "assistant", "start": 1.5, "end": 2.0, "text_full": "1 2", "yielded": True}

    def found(**changes: Any) -> list[Item]:
        return items_of(published_row([{**segment, **changes}], 40_000))

    assert found() == [Item("assistant", "turn", 24_000, 32_000, "1", "1 2", True)]
    assert found(start=1.0000625)[0].start == 16_001
    with pytest.raises(ValueError, match="row c-1: row: Value error, a segment ends at sample 48000, after the 40000"):
        found(end=3.0)


# Laws for any conversation: item i says tokens 1000 i + 100, 1000 i + 101, ...


def coded(text: str) -> list[int]:
    index, count = map(int, text.split())
    return [1_000 * index + 100 + k for k in range(count)]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Item], int]:
    found: list[Item] = []
    at = draw(st.integers(0, 40_000))
    for index in range(draw(st.integers(1, 7))):
        end = at + draw(st.integers(1, 60_000))
        text, cut = f"{index} {draw(st.integers(1, 30))}", draw(st.booleans())
        backchannel = not cut and draw(st.booleans())
        found.append(Item("assistant", "backchannel" if backchannel else "turn", at, end, text, text, cut))
        at = end + draw(st.one_of(st.integers(0, 3_000), st.integers(0, 60_000)))
    return found, max(found[-1].end, FRAME_SAMPLES) + draw(st.integers(0, 40_000))


def kept(found: Sequence[Item], made: Target) -> list[Item]:
    """The items that were not left out: those of which a first token stands in their own ticks."""
    firsts = np.flatnonzero(np.isin(made.ids_K, [TOKENS.bos, TOKENS.boc]))
    assert len(firsts) == made.overflow.items - made.overflow.left_out
    owners = [max((i for i in found if i.start // FRAME_SAMPLES <= at), key=lambda i: i.start) for at in firsts]
    assert len(set(owners)) == len(owners), "two items share ticks"
    return owners


@given(conversations())
def test_every_turn_ends_and_every_barge_in_has_one_stop_at_its_tick(conversation: tuple[list[Item], int]):
    found, num_samples = conversation
    made = target(found, num_samples, coded, TOKENS)
    assert len(made.ids_K) == label_ticks(num_samples)
    present = kept(found, made)
    assert np.count_nonzero(made.ids_K == TOKENS.eos) == sum(not item.yielded for item in present)
    last = len(made.ids_K) - 1
    stops = [min(item.end // FRAME_SAMPLES, last) for item in present if item.yielded]
    assert np.flatnonzero(made.ids_K == TOKENS.stp).tolist() == stops


@given(conversations())
def test_text_stands_in_order_and_what_is_missing_is_counted(conversation: tuple[list[Item], int]):
    found, num_samples = conversation
    made = target(found, num_samples, coded, TOKENS)
    written = [int(i) for i in made.ids_K if i >= 100]
    said = [coded(item.text) for item in found]
    assert written == [t for text in said for t in text if t in set(written)]
    for text in said:
        there = [t for t in text if t in set(written)]
        assert there == text[: len(there)]
    assert made.overflow.tokens - made.overflow.lost_tokens == len(written)


@given(conversations())
def test_hold_marks_exactly_the_audible_ticks_after_the_text(conversation: tuple[list[Item], int]):
    found, num_samples = conversation
    made = target(found, num_samples, coded, TOKENS)
    tick_K = np.arange(len(made.ids_K))
    audible_K = np.zeros(len(made.ids_K), bool)
    for item in kept(found, made):
        audible_K |= (tick_K * FRAME_SAMPLES < item.end) & ((tick_K + 1) * FRAME_SAMPLES > item.start)
    assert not np.any((made.ids_K == TOKENS.hod) & ~audible_K)
    late = {item.start // FRAME_SAMPLES for item in found}  # a first tick that belonged to a barge-in before it
    silent = np.flatnonzero((made.ids_K == TOKENS.sil) & audible_K)
    assert set(silent.tolist()) <= late
    plain = target(found, num_samples, coded, TOKENS, Rules(hold=False))
    np.testing.assert_array_equal(np.where(made.ids_K == TOKENS.hod, TOKENS.sil, made.ids_K), plain.ids_K)


@given(conversations())
def test_public_rules_hold_for_any_conversation(conversation: tuple[list[Item], int]):
    found, num_samples = conversation
    made = target(found, num_samples, coded, TOKENS, Rules(mode="relays2s"))
    assert len(made.ids_K) == label_ticks(num_samples)
    assert TOKENS.hod not in made.ids_K
    assert all(made.ids_K[point.tick] == TOKENS.bos for point in made.points)


def test_labels_stand_a_fixed_time_after_what_is_heard() -> None:
    words = [{"word": "a", "start": 0.5, "end": 1.0, "estimated": False}]
    row = published_row(
        [
            {"speaker": "user", "start": 0.5, "end": 2.0, "words": words},
            {"speaker": "assistant", "kind": "backchannel", "start": 1.15, "end": 1.4},
            {"speaker": "assistant", "start": 2.1, "end": 4.5, "yielded": True},
            {"speaker": "user", "start": 4.0, "end": 6.0},
            {"speaker": "assistant", "start": 6.9, "end": 8.0},
        ],
        160_000,
    )
    rules = Rules(answer_ms=270, nod_ms=220, stop_ms=480)
    moved = [(item.start / 16_000, item.end / 16_000) for item in items_of(row, rules)]
    assert moved == [(0.5, 2.0), (1.22, 1.4), (2.27, 4.48), (4.0, 6.0), (6.9, 8.0)], "900 ms are no jitter"
    assert items_of(row) == items_of(row, Rules())
