"""What holds of every timeline, whatever the script, its voices and the profile."""

from __future__ import annotations

from itertools import pairwise
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.language import PAPER
from datagen.core.mixing import ClipLevels
from datagen.core.overlay import OWN_MARGIN
from datagen.core.records import Event, Piece, Plan, Segment, Utterance, VoicedScript
from datagen.core.turntaking import from_timeline, transfers
from datagen.core.types import Cue, other
from datagen.core.units import from_ms
from datagen.kinds import KindConfig
from datagen.phenomena import backchannel, interruption, pause
from datagen.stages import plan
from tests.strategies import (
    annotated,
    chatter,
    english,
    plan_config,
    plans,
    scripts,
    voiced,
)

HISS = ClipLevels(id="hiss", num_samples=160_000, levels_db=(-20.0,) * 100)
ALL: tuple[KindConfig, ...] = (
    backchannel.Config(kind="backchannel", assistant_per_minute=20, user_per_minute=20),
    pause.Config(kind="pause", per_minute=20),
    interruption.Config(kind="interruption", probability=0.6),
)


def planned(record: VoicedScript, config: plan.Config) -> Plan:
    return plan.plan(record, config, clips=())


def utterance_of(made: Plan, segment: Segment) -> Utterance:
    return made.voiced.utterances[segment.utterance]


def heard_at(segment: Segment, sample: int) -> int | None:
    """When a sample of the utterance is heard; None when it is cut off."""
    for piece in segment.pieces:
        if piece.start <= sample < piece.end:
            return piece.at + sample - piece.start
    return None


@given(plans())
def test_no_speech_is_lost_or_said_twice(made: Plan) -> None:
    """Every sample of an utterance is in exactly one piece; of a cut one, exactly those before the cut."""
    for segment in made.timeline.segments:
        pieces = segment.pieces
        assert pieces[0].start == 0
        assert all(left.end == right.start and left.stop <= right.at for left, right in pairwise(pieces))
        size = utterance_of(made, segment).num_samples
        assert pieces[-1].end <= size if segment.yielded else pieces[-1].end == size


@given(plans())
def test_every_utterance_is_heard_once_unless_its_cue_was_dropped(made: Plan) -> None:
    heard = sorted(s.utterance for s in made.timeline.segments)
    dropped = [id(d.cue) for d in made.timeline.dropped]
    cues = made.voiced.script.cues
    expected = [
        number for number, u in enumerate(made.voiced.utterances) if u.cue is None or id(cues[u.cue]) not in dropped
    ]
    assert heard == expected


@given(plans())
def test_the_label_holds_the_words_that_are_heard(made: Plan) -> None:
    for segment in made.timeline.segments:
        words, whole = segment.text.split(), segment.text_full.split()
        assert [w.text for w in segment.words] == words
        assert words == whole[: len(words)]
        assert words
        assert segment.yielded or words == whole
        assert segment.text_full == utterance_of(made, segment).text
        assert all(left.end <= right.start for left, right in pairwise(segment.words))
        assert segment.start <= segment.words[0].start
        assert segment.words[-1].end <= segment.end


@given(plans())
def test_a_word_is_where_its_sound_is(made: Plan) -> None:
    for segment in made.timeline.segments:
        for said, word in zip(utterance_of(made, segment).words, segment.words, strict=False):
            if said.start < said.end:
                assert heard_at(segment, said.start) == word.start
                last = heard_at(segment, said.end - 1)
                assert word.end == (segment.end if last is None else last + 1)


@given(plans())
def test_words_without_sound_stay_in_order_and_inside(made: Plan) -> None:
    for segment in made.timeline.segments:
        clock = [t for w in segment.words for t in (w.start, w.end)]
        assert clock == sorted(clock)


@given(plans())
def test_a_floor_change_is_as_asked_or_says_that_it_is_not(made: Plan) -> None:
    segments = made.timeline.segments
    turns = [n for n, s in enumerate(segments) if s.kind == "turn"]
    assert [(t.before, t.after) for t in made.timeline.transitions] == list(pairwise(turns))
    for transition in made.timeline.transitions:
        before, after = segments[transition.before], segments[transition.after]
        assert (before.speaker, before.turn + 1) == (other(after.speaker), after.turn)
        assert transition.achieved == after.start - before.end
        assert transition.clipped == (transition.asked != transition.achieved)
        assert transition.achieved >= transition.asked
        assert (transition.kind == "barge_in") == before.yielded


@given(plans())
def test_an_offset_is_clipped_only_where_it_must_be(made: Plan) -> None:
    segments = made.timeline.segments
    turns = [s for s in segments if s.kind == "turn"]
    for number, transition in enumerate(made.timeline.transitions):
        before, after = segments[transition.before], segments[transition.after]
        if transition.clipped:
            own_end = turns[number - 1].end if number else 0
            limits = {own_end, (before.start + before.end) // 2, before.end - (after.end - after.start) // 2}
            assert after.start in limits


@given(plans())
def test_every_turn_takes_the_floor_and_no_backchannel_does(made: Plan) -> None:
    """The floor changes that an observer finds are the planned ones, with and without backchannels."""
    conversation = from_timeline(made.timeline)
    with_backchannels = transfers(conversation.spans)
    assert transfers(s for s in conversation.spans if s.kind == "turn") == with_backchannels
    assert [t.offset for t in with_backchannels] == [t.achieved for t in made.timeline.transitions]
    assert [t.cut for t in with_backchannels] == [t.kind == "barge_in" for t in made.timeline.transitions]


def is_consistent(event: Event, segments: tuple[Segment, ...]) -> bool:
    """Whether an event points at a segment it can have happened in or to."""
    target = segments[event.target]
    inside = target.start <= event.start <= event.end <= target.end
    if event.type == "backchannel":
        said = any(s.kind == "backchannel" and (s.start, s.end) == (event.start, event.end) for s in segments)
        return target.kind == "turn" and target.speaker == other(event.actor) and inside and said
    if event.type == "barge_in":
        cut_in = any(s.kind == "turn" and s.turn == target.turn + 1 and s.start == event.start for s in segments)
        return target.yielded and target.speaker == other(event.actor) and event.end == target.end and cut_in
    return target.kind == "turn" and target.speaker == event.actor and inside


@given(plans())
def test_events_point_at_segments_of_the_right_speaker(made: Plan) -> None:
    segments = made.timeline.segments
    assert all(is_consistent(event, segments) for event in made.timeline.events)
    starts = [event.start for event in made.timeline.events]
    assert starts == sorted(starts)
    spoken = [s for s in segments if s.kind == "backchannel"]
    assert len(spoken) == sum(e.type == "backchannel" for e in made.timeline.events)


@given(plans())
def test_an_interrupted_turn_goes_on_after_the_other_has_started(made: Plan) -> None:
    segments = made.timeline.segments
    yielded = [n for n, s in enumerate(segments) if s.yielded]
    barge_ins = {e.target: e for e in made.timeline.events if e.type == "barge_in"}
    assert sorted(barge_ins) == yielded
    for number, event in barge_ins.items():
        assert segments[number].start < event.start < segments[number].end


@given(plans())
def test_a_listener_who_signals_stops_nobody(made: Plan) -> None:
    """The assistant speaks on without a break under the user's backchannels and yields to planned barge-ins alone."""
    segments = made.timeline.segments
    interrupted = {c.turn for c in made.voiced.script.cues if c.phenomenon == "interruption"}
    for event in made.timeline.events:
        if (event.type, event.actor) == ("backchannel", "user"):
            held = segments[event.target]
            assert len(held.pieces) == 1
            assert event.end <= held.pieces[0].stop
            assert not held.yielded or held.turn in interrupted


@given(plans())
def test_both_labels_of_a_backchannel_have_room(made: Plan) -> None:
    """640 ms lie between a backchannel and whatever else its speaker says."""
    for index, segment in enumerate(made.timeline.segments):
        if segment.kind == "backchannel":
            own = [s for n, s in enumerate(made.timeline.segments) if s.speaker == segment.speaker and n != index]
            assert all(s.start >= segment.end + OWN_MARGIN or s.end + OWN_MARGIN <= segment.start for s in own)


@given(scripts(max_turns=4), st.integers(0, 5))
def test_the_same_seed_gives_the_same_plan_in_any_order_of_work(
    drawn: tuple[plan.Script, tuple[KindConfig, ...]], seed: int
) -> None:
    script, phenomena = drawn
    config = plan_config(phenomena, english().profiles["natural"], seed)
    alone = planned(voiced(script), config)
    planned(voiced(annotated(chatter(3), ALL)), plan_config(ALL, seed=seed))
    assert planned(voiced(script), config).model_dump_json() == alone.model_dump_json()


def test_the_paper_profile_has_the_papers_constants() -> None:
    gaps, overlaps, shares = set[int](), set[int](), list[float]()
    for number in range(40):
        made = planned(voiced(annotated(chatter(number, words=(6, 30)), ALL)), plan_config(ALL, PAPER))
        for transition in made.timeline.transitions:
            assert not transition.clipped
            (gaps if transition.kind == "smooth" else overlaps).add(transition.achieved)
        shares += [(s.end - s.start) / utterance_of(made, s).num_samples for s in made.timeline.segments if s.yielded]
    assert gaps == {from_ms(200)}
    assert overlaps == {-from_ms(320)}
    assert len(shares) > 30
    assert 0.19 < min(shares) < 0.3
    assert 0.5 < max(shares) <= 0.6


@pytest.mark.parametrize(("words", "turns", "fits"), [((2, 2), 1, False), ((20, 30), 60, False), ((10, 20), 6, True)])
def test_conversations_of_the_wrong_length_are_refused(words: tuple[int, int], turns: int, fits: bool) -> None:
    config = plan_config(()).model_copy(update={"margins": plan.Margins(lead_ms=(0, 0), tail_ms=(400, 400))})
    record = voiced(annotated(chatter(1, turns, words), ()))
    if fits:
        assert 3 * 16_000 <= planned(record, config).timeline.num_samples <= 180 * 16_000
    else:
        with pytest.raises(ValueError, match=r"lasts [\d.]+ s; conversations last 3 to 180 s \(margins.min_s"):
            planned(record, config)


@given(plans())
def test_a_plan_survives_its_file(made: Plan) -> None:
    assert Plan.model_validate_json(made.model_dump_json()) == made


def test_silence_around_the_conversation_lies_within_its_margins() -> None:
    for number in range(20):
        told = chatter(number)
        told = told.model_copy(update={"turns": told.turns[number % 2 :]})
        timeline = planned(voiced(annotated(told, ALL)), plan_config(ALL)).timeline
        first = timeline.segments[0]
        assert first.start <= from_ms(800) if first.speaker == "user" else from_ms(900) <= first.start <= from_ms(1100)
        assert from_ms(400) <= timeline.num_samples - max(s.end for s in timeline.segments) <= from_ms(1200)


@pytest.mark.parametrize("limits", [(-1.0, 5.0), (5.0, 4.0), (0.0, float("inf"))])
def test_impossible_margins_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two lengths in ms"):
        plan.Margins(lead_ms=limits)


def test_a_cue_of_a_phenomenon_the_recipe_lacks_is_refused() -> None:
    script = annotated(chatter(1), ()).model_copy(
        update={"cues": (Cue(phenomenon="laughter", turn=0, actor="user", after_word=0, probability=0.5),)}
    )
    with pytest.raises(ValueError, match="'laughter' has no phenomenon in the recipe"):
        planned(voiced(script), plan_config(ALL))


def test_a_cue_without_room_is_dropped_with_its_reason() -> None:
    """Backchannels long after their clause reach beyond the turn or into the listener's own words."""
    late = PAPER.model_copy(update={"backchannel_delay": PAPER.pause})
    made = [planned(voiced(annotated(chatter(n), ALL)), plan_config(ALL, late)) for n in range(10)]
    reasons = {d.reason.split(" turn")[0] for m in made for d in m.timeline.dropped}
    assert {"it would reach beyond", "the assistant speaks within 640 ms of it"} <= reasons


def test_process_plans_with_the_noise_bank() -> None:
    record, config = voiced(annotated(chatter(2), ALL)), plan_config(ALL)
    inputs = Mock(noise_clips={"hiss": Mock(levels=HISS)})
    made = plan.process(record, config, inputs, Mock())
    assert made == plan.plan(record, config, [HISS])
    assert {block.clip for block in made.mix.noise} == {"hiss"}


def test_pieces_know_where_they_stop() -> None:
    assert Piece(start=10, end=30, at=100).stop == 120
