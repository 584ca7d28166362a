from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.overlay import OWN_MARGIN, Scene, add_backchannel, finish
from datagen.core.records import Dropped, Utterance
from datagen.core.timeline import Layout, Unfit, assemble, lay
from datagen.core.types import Cue, Speaker, other
from datagen.core.units import FRAME_SAMPLES, from_ms
from tests.strategies import word_times

LONG = "and then we went to the harbour to look at the old ships that had come in over night"
TURNS: list[tuple[Speaker, str]] = [("user", LONG), ("assistant", LONG), ("user", LONG)]


def layout(number: int, text: str) -> Layout:
    words = word_times(text, 170, 0, 0)
    size = words[-1].end
    return lay(
        number,
        Utterance(turn=0, speaker="user", text=text, num_samples=size, words=words, active_power=0.1, peak=0.5),
    )


def scene(offsets: tuple[int, int] = (3_200, 3_200)) -> Scene:
    return Scene(draft=assemble([layout(n, text) for n, (_, text) in enumerate(TURNS)], TURNS, offsets, 1_000))


def test_the_margin_is_four_frames() -> None:
    assert OWN_MARGIN == 4 * FRAME_SAMPLES == from_ms(640)


@given(st.integers(0, 2), st.integers(-20_000, 400_000), st.integers(-40_000, 20_000))
def test_a_backchannel_fits_or_is_refused(turn: int, at: int, offset: int) -> None:
    before = scene((offset, offset))
    holder, actor = before.draft.segments[turn], other(TURNS[turn][0])
    signal = layout(9, "yes")
    inside = holder.start <= at and at + signal.end <= holder.end
    own = [s for s in before.draft.segments if s.speaker == actor]
    free = all(at >= s.end + OWN_MARGIN or at + signal.end + OWN_MARGIN <= s.start for s in own)
    if at >= 0 and inside and free:
        after = add_backchannel(before, signal, turn, actor, "yes", at, 0.5)
        assert after.draft == before.draft
        assert [(s.start, s.speaker, s.kind, s.text) for s in after.segments] == [(at, actor, "backchannel", "yes")]
        assert [(e.start, e.target, e.outcome) for e in after.events] == [(at, turn, "floor kept")]
    else:
        with pytest.raises(ValueError, match=r"beyond turn|within 640 ms|greater than or equal to 0"):
            add_backchannel(before, signal, turn, actor, "yes", at, 0.5)


def test_two_signals_of_a_listener_keep_their_distance() -> None:
    first = add_backchannel(scene(), layout(9, "yes"), 0, "assistant", "yes", 30_000, 0.5)
    end = first.segments[0].end
    with pytest.raises(Unfit, match="the assistant speaks within 640 ms of it"):
        add_backchannel(first, layout(9, "yes"), 0, "assistant", "yes", end + OWN_MARGIN - 1, 0.5)
    second = add_backchannel(first, layout(9, "yes"), 0, "assistant", "yes", end + OWN_MARGIN, 0.5)
    assert len(second.own("assistant")) == 3


@pytest.mark.parametrize("at", [999, 0])
def test_a_signal_before_the_turn_is_refused(at: int) -> None:
    with pytest.raises(Unfit, match="beyond turn 0"):
        add_backchannel(scene(), layout(9, "yes"), 0, "assistant", "yes", at, 0.5)


def test_the_finished_timeline_points_at_segments() -> None:
    with_late = add_backchannel(
        scene(), layout(9, "yes"), 2, "assistant", "yes", scene().draft.segments[2].start + 16_000, 0.5
    )
    both = add_backchannel(with_late, layout(9, "yes"), 0, "assistant", "yes", 30_000, 0.25)
    cue = Cue(phenomenon="backchannel", turn=1, actor="user", after_word=2, text="yes", probability=0.5)
    dropped = (Dropped(cue=cue, reason="no room"),)
    made = finish("c-1", both, 800, dropped)
    assert [(s.kind, s.turn) for s in made.segments] == [
        ("turn", 0),
        ("backchannel", 0),
        ("turn", 1),
        ("turn", 2),
        ("backchannel", 2),
    ]
    assert [(e.target, e.probability) for e in made.events] == [(0, 0.25), (3, 0.5)]
    assert [(t.before, t.after) for t in made.transitions] == [(0, 2), (2, 3)]
    assert made.num_samples == made.segments[3].end + 800
    assert (made.id, made.dropped) == ("c-1", dropped)
