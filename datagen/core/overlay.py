"""What is heard over placed turns, and the finished timeline.

A listener's backchannel must fit the room the turns leave: inside the other's turn, well before the listener's own
next words. What does not fit raises ``Unfit``; it is never squeezed in.
"""

from __future__ import annotations

from datagen.core.records import Dropped, Event, Segment, Timeline, Transition
from datagen.core.timeline import Draft, Layout, Unfit, place
from datagen.core.types import Speaker, Strict
from datagen.core.units import FRAME_SAMPLES

OWN_MARGIN = 4 * FRAME_SAMPLES
"""640 ms between a backchannel and the same speaker's other speech: room for the two control tokens and the token of a
backchannel in a 160 ms label grid before the next label starts (RelayS2S data loader: labels overwrite each other)."""


class Scene(Strict):
    """Placed turns and what was laid over them so far. Event targets are turn numbers until ``finish``."""

    draft: Draft
    segments: tuple[Segment, ...] = ()
    events: tuple[Event, ...] = ()

    def own(self, speaker: Speaker) -> list[Segment]:
        """Everything a speaker says."""
        return [s for s in (*self.draft.segments, *self.segments) if s.speaker == speaker]


def add_backchannel(
    scene: Scene, layout: Layout, turn: int, actor: Speaker, text: str, at: int, probability: float
) -> Scene:
    """The scene with a backchannel by ``actor`` at a sample inside the other's turn.

    Raises Unfit when it would not lie wholly inside that turn, or within 640 ms of the actor's own speech.
    """
    holder = scene.draft.segments[turn]
    segment = place(layout, turn, actor, "backchannel", text, at)
    if segment.start < holder.start or segment.end > holder.end:
        raise Unfit(f"it would reach beyond turn {turn}, which it answers")
    for own in scene.own(actor):
        if segment.start < own.end + OWN_MARGIN and own.start < segment.end + OWN_MARGIN:
            raise Unfit(f"the {actor} speaks within 640 ms of it")
    event = Event(
        type="backchannel",
        actor=actor,
        start=segment.start,
        end=segment.end,
        target=turn,
        outcome="floor kept",
        probability=probability,
    )
    return scene.model_copy(update={"segments": (*scene.segments, segment), "events": (*scene.events, event)})


def finish(conversation_id: str, scene: Scene, tail: int, dropped: tuple[Dropped, ...]) -> Timeline:
    """The timeline: segments and events in order of start, targets pointing at segments, ``tail`` samples of rest."""
    everything = sorted((*scene.draft.segments, *scene.segments), key=lambda s: (s.start, s.speaker, s.kind))
    number_of_turn = {s.turn: index for index, s in enumerate(everything) if s.kind == "turn"}
    events = sorted((*scene.draft.events, *scene.events), key=lambda e: (e.start, e.type, e.actor))
    transitions = [
        Transition(
            before=number_of_turn[t.before],
            after=number_of_turn[t.after],
            asked=t.asked,
            achieved=t.achieved,
            kind=t.kind,
        )
        for t in scene.draft.transitions
    ]
    return Timeline(
        id=conversation_id,
        num_samples=max(s.end for s in everything) + tail,
        segments=tuple(everything),
        events=tuple(e.model_copy(update={"target": number_of_turn[e.target]}) for e in events),
        transitions=tuple(transitions),
        dropped=dropped,
    )
