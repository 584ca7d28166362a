"""What the relay does, action by action, in every mode."""

from __future__ import annotations

import pytest

from trainer.runtime import relay
from trainer.runtime.events import (
    Action,
    Ask,
    Cancelled,
    Draft,
    Drafted,
    End,
    Event,
    Heard,
    Judge,
    Judged,
    Mode,
    Played,
    Requested,
    Say,
    SlowEnded,
    SlowFailed,
    SlowText,
    Stop,
    Transcribe,
    Transcribed,
)

BOS, BOC, STP = Heard("bos"), Heard("boc"), Heard("stp")
PREFIX = "Sure, I can help you"
DRAFTED, WHOLE = Drafted(0, PREFIX, False), Drafted(0, "Of course.", True)
COMMIT, FALL_BACK = Judged(0, True, 0.9), Judged(0, False, 0.2)
USER = Transcribed(0, "can you help")
SAY_PREFIX = Say(0, PREFIX, "fast", last=False)
BEGUN = (Draft(0, "turn", 5), Transcribe(0))
COMPLETED = (End(0, "completed"),)

Step = tuple[Event, tuple[Action, ...]]


def slow(text: str, last: bool = False, turn: int = 0) -> Say:
    return Say(turn, text, "slow", last)


def play(*steps: Step, mode: Mode = "relay") -> relay.State:
    """Every event is answered by exactly these actions; back comes the last state."""
    state = relay.start(mode)
    for number, (event, expected) in enumerate(steps):
        state, actions = relay.next(state, event)
        assert actions == expected, f"step {number}: {event}"
    return state


def over(state: relay.State, turn: int = 1) -> bool:
    return state == relay.Listening(state.mode, 5, turn)


HEAD: dict[str, tuple[Step, ...]] = {
    "transcript first": ((BOS, BEGUN), (USER, ()), (DRAFTED, (Judge(0),))),
    "draft first": ((BOS, BEGUN), (DRAFTED, (Judge(0),)), (USER, ())),
}
ASKED: tuple[Step, ...] = (*HEAD["draft first"], (FALL_BACK, (Ask(0, "", "can you help"),)))


@pytest.mark.parametrize("head", HEAD)
def test_a_committed_prefix_is_said_and_the_slow_path_goes_on(head: str) -> None:
    end = play(
        *HEAD[head],
        (COMMIT, (SAY_PREFIX, Ask(0, PREFIX, "can you help"))),
        (SlowText(0, " with th"), (slow("with"),)),
        (SlowText(0, "at. Which"), (slow("that."),)),
        (SlowEnded(0), (slow("Which", last=True),)),
        (Played(0), COMPLETED),
    )
    assert over(end)


def test_the_verdict_does_not_wait_for_the_transcript_but_the_slow_path_does() -> None:
    end = play(
        (BOS, BEGUN),
        (DRAFTED, (Judge(0),)),
        (COMMIT, (SAY_PREFIX,)),
        (USER, (Ask(0, PREFIX, "can you help"),)),
        (SlowText(0, "I can help you now."), ()),
        (SlowEnded(0), (slow("now.", last=True),)),
        (Played(0), COMPLETED),
    )
    assert over(end)


@pytest.mark.parametrize("head", HEAD)
def test_a_refused_prefix_is_never_said(head: str) -> None:
    end = play(
        *HEAD[head],
        (FALL_BACK, (Ask(0, "", "can you help"),)),
        (SlowText(0, "Sure, I"), (slow("Sure,"),)),
        (SlowText(0, " can."), (slow("I"),)),
        (SlowEnded(0), (slow("can.", last=True),)),
        (Played(0), COMPLETED),
    )
    assert over(end)


def test_falling_back_waits_for_the_transcript() -> None:
    play((BOS, BEGUN), (DRAFTED, (Judge(0),)), (FALL_BACK, ()), (USER, (Ask(0, "", "can you help"),)))


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_draft_is_not_judged(text: str) -> None:
    play((BOS, BEGUN), (USER, ()), (Drafted(0, text, True), (Ask(0, "", "can you help"),)))
    play((BOS, BEGUN), (Drafted(0, text, True), ()), (USER, (Ask(0, "", "can you help"),)))


def test_a_draft_that_is_the_whole_answer_needs_no_slow_path() -> None:
    said = Say(0, "Of course.", "fast", last=True)
    end = play((BOS, BEGUN), (WHOLE, (Judge(0),)), (COMMIT, (said,)), (USER, ()), (Played(0), COMPLETED))
    assert over(end)
    assert over(play((BOS, BEGUN), (USER, ()), (WHOLE, (Judge(0),)), (COMMIT, (said,)), (Played(0), COMPLETED)))
    play((BOS, BEGUN), (USER, ()), (WHOLE, (Judge(0),)), (FALL_BACK, (Ask(0, "", "can you help"),)))


def test_a_prefix_has_so_many_words_and_no_more() -> None:
    long = Drafted(0, f"{PREFIX} with that.", True)
    play((BOS, BEGUN), (USER, ()), (long, (Judge(0),)), (COMMIT, (SAY_PREFIX, Ask(0, PREFIX, "can you help"))))


@pytest.mark.parametrize("said", [(SlowText(0, "now or "), (slow("now or"),)), (SlowText(0, "I can he"), ())])
def test_a_slow_path_that_breaks_ends_what_was_said_gracefully(said: Step) -> None:
    end = play(
        *HEAD["draft first"],
        (COMMIT, (SAY_PREFIX, Ask(0, PREFIX, "can you help"))),
        said,
        (SlowFailed(0, "timed out"), (slow("", last=True),)),
        (SlowText(0, " more "), ()),
        (SlowEnded(0), ()),
        (Played(0), (End(0, "completed", "timed out"),)),
    )
    assert over(end)


def test_an_answer_of_one_word_is_known_at_its_end() -> None:
    said: Step = (SlowEnded(0), (slow("No.", last=True),))
    assert over(play(*ASKED, (SlowText(0, "No."), ()), said, (Played(0), COMPLETED)))


@pytest.mark.parametrize("nothing", [(), ((SlowText(0, "  "), ()),)])
def test_where_nothing_was_said_a_slow_path_without_an_answer_fails_the_turn(nothing: tuple[Step, ...]) -> None:
    assert over(play(*ASKED, *nothing, (SlowFailed(0, "gone"), (End(0, "failed", "gone"),))))
    assert over(play(*ASKED, *nothing, (SlowEnded(0), (End(0, "failed", "the slow path's answer is empty"),))))


def test_a_word_that_was_cut_off_by_a_failure_is_not_said() -> None:
    assert over(play(*ASKED, (SlowText(0, "neve"), ()), (SlowFailed(0, "gone"), (End(0, "failed", "gone"),))))
    said: Step = (SlowText(0, "never who"), (slow("never"),))
    graceful: Step = (SlowFailed(0, "gone"), (slow("", last=True),))
    assert over(play(*ASKED, said, graceful, (Played(0), (End(0, "completed", "gone"),))))


def test_an_empty_answer_after_a_prefix_ends_it_gracefully() -> None:
    head = (*HEAD["draft first"], (COMMIT, (SAY_PREFIX, Ask(0, PREFIX, "can you help"))))
    assert over(play(*head, (SlowEnded(0), (slow("", last=True),)), (Played(0), COMPLETED)))
    repeated = (SlowText(0, PREFIX), ())
    assert over(play(*head, repeated, (SlowEnded(0), (slow("", last=True),)), (Played(0), COMPLETED)))


def test_a_recogniser_that_breaks_leaves_the_prefix() -> None:
    broken, graceful = SlowFailed(0, "deaf"), slow("", last=True)
    end = (Played(0), (End(0, "completed", "deaf"),))
    play((BOS, BEGUN), (DRAFTED, (Judge(0),)), (broken, ()), (COMMIT, (SAY_PREFIX, graceful)), end)
    play((BOS, BEGUN), (broken, ()), (DRAFTED, (Judge(0),)), (COMMIT, (SAY_PREFIX, graceful)), end)
    play((BOS, BEGUN), (DRAFTED, (Judge(0),)), (COMMIT, (SAY_PREFIX,)), (broken, (graceful,)), end)
    assert over(play((BOS, BEGUN), (broken, ()), (DRAFTED, (Judge(0),)), (FALL_BACK, (End(0, "failed", "deaf"),))))
    assert over(play((BOS, BEGUN), (broken, ()), (Drafted(0, "", True), (End(0, "failed", "deaf"),))))
    said = Say(0, "Of course.", "fast", last=True)
    play((BOS, BEGUN), (broken, ()), (WHOLE, (Judge(0),)), (COMMIT, (said,)), (Played(0), COMPLETED))


def test_the_first_verdict_and_the_first_transcript_stand() -> None:
    play(
        (BOS, BEGUN),
        (DRAFTED, (Judge(0),)),
        (DRAFTED, ()),
        (USER, ()),
        (Transcribed(0, "another"), ()),
        (COMMIT, (SAY_PREFIX, Ask(0, PREFIX, "can you help"))),
        (FALL_BACK, ()),
        (COMMIT, ()),
        (USER, ()),
    )


WAY: tuple[Step, ...] = (
    (BOS, BEGUN),
    (DRAFTED, (Judge(0),)),
    (COMMIT, (SAY_PREFIX,)),
    (USER, (Ask(0, PREFIX, "can you help"),)),
    (SlowText(0, "now. "), (slow("now."),)),
    (SlowEnded(0), (slow("", last=True),)),
)


@pytest.mark.parametrize("length", range(1, len(WAY) + 1))
@pytest.mark.parametrize(("event", "outcome"), [(STP, "interrupted"), (Cancelled(), "cancelled")])
def test_a_turn_is_stopped_wherever_it_is_and_what_comes_late_changes_nothing(
    length: int, event: Event, outcome: str
) -> None:
    late: list[Step] = [(result, ()) for result, _ in WAY[1:]]
    silent: list[Step] = [*late, (SlowFailed(0, "gone"), ()), (Played(0), ()), (event, ())]
    assert over(play(*WAY[:length], (event, (Stop(0), End(0, outcome))), *silent))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("length", range(1, len(WAY) + 1))
def test_a_turn_under_way_is_not_begun_again(length: int) -> None:
    again: list[Step] = [(BOS, ()), (BOC, ()), (Requested(), ())]
    assert play(*WAY[:length], *again) == play(*WAY[:length])


def test_while_listening_only_a_beginning_counts() -> None:
    silent: list[Step] = [(STP, ()), (Cancelled(), ()), (Played(0), ()), *((event, ()) for event, _ in WAY[1:])]
    assert over(play(*silent), turn=0)
    play(*silent, (Requested(), BEGUN))


def test_a_backchannel_is_said_and_leaves_the_user_the_floor() -> None:
    drafting = (Draft(0, "backchannel", None),)
    end = play(
        (BOC, drafting),
        (STP, ()),
        (Drafted(0, "Uh", False), ()),
        (Drafted(0, "Uh huh.", True), (Say(0, "Uh huh.", "fast", last=True),)),
        (STP, ()),
        (BOC, ()),
        (Drafted(0, "Uh huh. Yes.", True), ()),
        (Played(0), COMPLETED),
    )
    assert over(end)
    assert over(play((BOC, drafting), (Drafted(0, "", True), (End(0, "empty"),))))
    assert over(play((BOC, drafting), (Cancelled(), (Stop(0), End(0, "cancelled")))))


@pytest.mark.parametrize("begin", [BOS, Requested()])
def test_a_turn_that_begins_in_a_backchannel_ends_it(begin: Event) -> None:
    both = (Stop(0), End(0, "interrupted"), Draft(1, "turn", 5), Transcribe(1))
    uh = Drafted(0, "Uh huh.", True)
    play(
        (BOC, (Draft(0, "backchannel", None),)),
        (uh, (Say(0, "Uh huh.", "fast", last=True),)),
        (begin, both),
        (uh, ()),
        (Played(0), ()),
        (Drafted(1, "No", False), (Judge(1),)),
        (STP, (Stop(1), End(1, "interrupted"))),
    )


def test_the_fast_path_alone_says_its_draft_as_it_grows() -> None:
    end = play(
        (BOS, (Draft(0, "turn", None), Transcribe(0))),
        (Drafted(0, "", False), ()),
        (Drafted(0, "Su", False), ()),
        (USER, ()),
        (Drafted(0, "Sure, I c", False), (Say(0, "Sure, I", "fast", last=False),)),
        (Drafted(0, "Sure, I", False), ()),
        (SlowFailed(0, "deaf"), ()),
        (Drafted(0, "Sure, I can ", False), (Say(0, "can", "fast", last=False),)),
        (Played(0), ()),
        (Drafted(0, "Sure, I can help.", True), (Say(0, "help.", "fast", last=True),)),
        (Played(0), COMPLETED),
        mode="s2s",
    )
    assert over(end)


def test_the_fast_path_alone_may_have_nothing_to_say_or_no_more() -> None:
    begun: Step = (BOS, (Draft(0, "turn", None), Transcribe(0)))
    assert over(play(begun, (Drafted(0, " ", True), (End(0, "empty"),)), mode="s2s"))
    more: Step = (Drafted(0, "Yes. ", False), (Say(0, "Yes.", "fast", last=False),))
    last: Step = (Drafted(0, "Yes.", True), (Say(0, "", "fast", last=True),))
    assert over(play(begun, more, last, (Played(0), COMPLETED), mode="s2s"))
    assert over(play(begun, more, (STP, (Stop(0), End(0, "interrupted"))), (last[0], ()), mode="s2s"))


def test_a_cascade_recognises_and_then_asks() -> None:
    end = play(
        (BOC, ()),
        (BOS, (Transcribe(0),)),
        (USER, (Ask(0, "", "can you help"),)),
        (SlowText(0, "Sure, "), (slow("Sure,"),)),
        (SlowEnded(0), (slow("", last=True),)),
        (Played(0), COMPLETED),
        mode="cascade",
    )
    assert over(end)
    failed = (SlowFailed(0, "deaf"), (End(0, "failed", "deaf"),))
    assert over(play((BOS, (Transcribe(0),)), failed, mode="cascade"))


def test_a_mode_and_a_length_are_checked() -> None:
    with pytest.raises(ValueError, match="'duet'"):
        relay.start("duet")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="1 word or more"):
        relay.start("relay", words=0)
    assert relay.next(relay.start("relay", words=3), BOS)[1][0] == Draft(0, "turn", 3)
