"""Laws of the relay, the joiner and the buffer together, whatever happens and in whatever order (``worlds.World``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.runtime.worlds import Script, World
from trainer.runtime import relay
from trainer.runtime.events import (
    Cancelled,
    Drafted,
    Event,
    Fired,
    Heard,
    Judged,
    Mode,
    Played,
    Requested,
    SlowEnded,
    SlowFailed,
    SlowText,
    Transcribed,
)

MODES: tuple[Mode, ...] = ("relay", "s2s", "cascade")
FIRED: tuple[Fired, ...] = ("bos", "boc", "stp")
WORDS = st.lists(st.sampled_from(("I", "i", "can,", "can", "help", "-", "you.")), max_size=9).map(" ".join)


def pieces(text: str, cuts: list[int]) -> tuple[str, ...]:
    """The text, cut somewhere."""
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return tuple(text[a:b] for a, b in pairwise(borders))


SCRIPTS = st.builds(
    Script,
    draft=WORDS,
    cuts=st.lists(st.integers(0, 40), max_size=4).map(tuple),
    commit=st.booleans(),
    user=st.sampled_from(("", "can you help", None)),
    slow=st.builds(pieces, st.one_of(WORDS, WORDS.map(" {} ".format)), st.lists(st.integers(0, 40), max_size=5)),
    ends=st.booleans(),
)
TURNS = st.integers(0, 2)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Heard, st.sampled_from(FIRED)),
    st.just(Requested()),
    st.just(Cancelled()),
    st.builds(Drafted, TURNS, WORDS, st.booleans()),
    st.builds(Judged, TURNS, st.booleans(), st.just(0.5)),
    st.builds(Transcribed, TURNS, WORDS),
    st.builds(SlowText, TURNS, WORDS),
    st.builds(SlowEnded, TURNS),
    st.builds(SlowFailed, TURNS, st.just("gone")),
    st.builds(Played, TURNS),
)


class Conversations(RuleBasedStateMachine):
    """The world checks every action and every end; here anything happens at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(relay.start("relay"))
        self.past: list[Event] = []

    @initialize(mode=st.sampled_from(MODES), words=st.integers(1, 7))
    def start(self, mode: Mode, words: int) -> None:
        self.world = World(relay.start(mode, words))

    @precondition(lambda self: self.world.kind is None)
    @rule(script=SCRIPTS, begin=st.sampled_from((Heard("bos"), Heard("boc"), Requested())))
    def begin(self, script: Script, begin: Event) -> None:
        self.world = replace(self.world, script=script).send(begin)

    @rule(event=st.sampled_from((*map(Heard, FIRED), Requested(), Cancelled())))
    def interfere(self, event: Event) -> None:
        self.world = self.world.send(event)

    @precondition(lambda self: self.world.due)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        worker = data.draw(st.integers(0, len(self.world.due) - 1))
        self.past.append(self.world.due[worker][0])
        self.world = self.world.take(worker)

    @precondition(lambda self: any(not isinstance(event, SlowText) for event in self.past))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """All but the pieces of an answer: of those, two that are the same are two."""
        self.world = self.world.send(
            data.draw(st.sampled_from([event for event in self.past if not isinstance(event, SlowText)]))
        )

    @precondition(lambda self: not self.world.buffer.complete)
    @rule(samples=st.integers(0, 9000), gap=st.integers(0, 800))
    def speak(self, samples: int, gap: int) -> None:
        self.world = self.world.speak(max(samples, not self.world.buffer.spans), gap)

    @precondition(lambda self: self.world.played < self.world.buffer.num_samples)
    @rule(samples=st.integers(1, 20_000))
    def play(self, samples: int) -> None:
        self.world = self.world.play(samples)

    @precondition(lambda self: self.world.kind and self.world.last and self.world.silent)
    @rule()
    def finish(self) -> None:
        self.past.append(Played(self.world.state.turn))
        self.world = self.world.finish()

    @invariant()
    def comes_to_an_end(self) -> None:
        assert len(self.world.run_out().ends) == len(self.world.ends) + (self.world.kind is not None)


TestConversations = Conversations.TestCase
TestConversations.settings = settings(stateful_step_count=30)


def worlds(first: World) -> Iterator[World]:
    """Everything that can become of a world in one response, with any interference at any time."""
    seen, waiting = {first}, [first]
    while waiting:
        world = waiting.pop()
        yield world
        if world.ends:
            continue
        for after in (*world.moves(), *(world.send(event) for event in (Heard("stp"), Cancelled(), Heard("bos")))):
            if after not in seen:
                seen.add(after)
                waiting.append(after)


CASES = [
    Script(draft, (2, 8), commit, user, slow, ends)
    for draft, commit, user, slow, ends in product(
        ("", "Yes.", "Sure, I can"), (True, False), ("help", None), ((), ("no",), ("I hel", "p")), (True, False)
    )
]


@pytest.mark.parametrize("mode", MODES)
def test_every_order_of_events_of_a_turn(mode: Mode) -> None:
    """All of them, not a sample: what the world checks, and that nothing waits for ever."""
    found = 0
    for script in CASES:
        for opener in (Heard("bos"), Heard("boc")):
            for world in worlds(World(relay.start(mode, 2), script).send(opener)):
                world.run_out()
                found += 1
    assert found > 1000


@given(st.sampled_from(MODES), st.lists(EVENTS, max_size=40))
def test_no_event_is_too_much_for_any_state(mode: Mode, events: list[Event]) -> None:
    state, begun, ended = relay.start(mode), 0, 0
    for event in events:
        state, actions = relay.next(state, event)
        names = [type(action).__name__ for action in actions]
        begun += ("Transcribe" in names) or ("Draft" in names)
        ended += names.count("End")
        assert state.turn == ended
        assert begun - ended == (not isinstance(state, relay.Listening))


@given(st.sampled_from(MODES), st.lists(EVENTS, max_size=12), EVENTS)
def test_an_event_of_another_turn_changes_nothing(mode: Mode, events: list[Event], event: Event) -> None:
    state = relay.start(mode)
    for each in events:
        state, _ = relay.next(state, each)
    if getattr(event, "turn", state.turn) != state.turn:
        assert relay.next(state, event) == (state, ())
