"""From utterances to a conversation on the clock, without audio.

A turn first gets its own small clock, a *layout*: its utterance, perhaps with silence put in or the end cut off.
``assemble`` then strings layouts together with the floor transfer offsets that were asked for:

    user       [~~~~~~~~~~~~~~~ pause ~~~~~~]                 [~~~~~~~
    assistant          (mm-hmm)              [~~~~~~~~~~~~~~~~~~~/ cut
                                           ->|  |<- offset   |<-->| overlap
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from datagen.core.records import Event, Piece, Segment, SegmentKind, Transition, Utterance
from datagen.core.types import Speaker, Strict, Word


class Unfit(ValueError):
    """A cue that the timeline has no room for."""


class Mark(Strict):
    """Something that happens inside a layout, on the layout's clock; becomes an Event when the turn is placed."""

    type: str
    actor: Speaker
    start: int
    end: int
    outcome: str
    probability: float = Field(gt=0, le=1)


class Layout(Strict):
    """One utterance on its own clock, which starts at 0."""

    utterance: int
    pieces: tuple[Piece, ...]
    words: tuple[Word, ...]
    """All words, each on the layout's clock, those beyond ``end`` included until placement."""
    marks: tuple[Mark, ...] = ()
    yields_after: int | None = None
    """Set on a turn that is cut: the other speaker starts this many samples before its end."""
    cut_probability: float = 1.0

    @property
    def end(self) -> int:
        return self.pieces[-1].stop


def lay(index: int, utterance: Utterance) -> Layout:
    """The layout of an unchanged utterance."""
    return Layout(
        utterance=index,
        pieces=(Piece(start=0, end=utterance.num_samples, at=0),),
        words=utterance.words,
    )


def insert_silence(layout: Layout, after_word: int, num_samples: int, mark: Mark | None = None) -> Layout:
    """The layout with silence between a word and the next one; the split lies in the middle of their gap.

    Raises Unfit where nothing is said before or after: that would be a later or a longer turn, not a pause.
    """
    if after_word + 1 >= len(layout.words):
        raise Unfit(f"no word after word {after_word}; a pause lies inside the turn")
    split = (layout.words[after_word].end + layout.words[after_word + 1].start) // 2
    if not 0 < split < layout.end:
        raise Unfit(f"nothing is said on one side of word {after_word}; a pause lies inside the turn")
    pieces: list[Piece] = []
    for piece in layout.pieces:
        if piece.stop <= split:
            pieces.append(piece)
        elif piece.at >= split:
            pieces.append(piece.model_copy(update={"at": piece.at + num_samples}))
        else:
            source = piece.start + split - piece.at
            pieces.append(Piece(start=piece.start, end=source, at=piece.at))
            pieces.append(Piece(start=source, end=piece.end, at=split + num_samples))
    words = (*layout.words[: after_word + 1], *(w.moved(num_samples) for w in layout.words[after_word + 1 :]))
    marks = tuple(m if m.start < split else _moved(m, num_samples) for m in layout.marks)
    if mark is not None:
        marks = (*marks, mark)
    return layout.model_copy(update={"pieces": tuple(pieces), "words": words, "marks": marks})


def cut(layout: Layout, at: int, yields_after: int, probability: float) -> Layout:
    """The layout silenced from ``at`` on, because the other speaker started ``yields_after`` samples earlier."""
    if not 0 < yields_after <= at <= layout.end:
        raise ValueError(f"a cut at {at} with {yields_after} samples of overlap does not fit a turn of {layout.end}")
    pieces = tuple(
        Piece(start=p.start, end=min(p.end, p.start + at - p.at), at=p.at) for p in layout.pieces if p.at < at
    )
    marks = tuple(m for m in layout.marks if m.end <= pieces[-1].stop)
    return layout.model_copy(
        update={"pieces": pieces, "marks": marks, "yields_after": yields_after, "cut_probability": probability}
    )


def audible(words: Sequence[Word], end: int) -> tuple[Word, ...]:
    """The words a listener gets to hear when the speech stops at ``end``: those of which at least half is said."""
    return tuple(
        w if w.end <= end else Word(text=w.text, start=w.start, end=end, estimated=w.estimated)
        for w in words
        if w.start < end and (w.start + w.end) // 2 < end
    )


def place(layout: Layout, turn: int, speaker: Speaker, kind: SegmentKind, text: str, at: int) -> Segment:
    """The layout as a segment that starts at ``at``."""
    heard = layout.words if layout.yields_after is None else audible(layout.words, layout.end)
    return Segment(
        speaker=speaker,
        kind=kind,
        turn=turn,
        utterance=layout.utterance,
        pieces=tuple(Piece(start=p.start, end=p.end, at=p.at + at) for p in layout.pieces),
        text=" ".join(w.text for w in heard),
        text_full=text,
        words=tuple(w.moved(at) for w in heard),
        yielded=layout.yields_after is not None,
    )


class Draft(Strict):
    """Turns on the clock, in turn order; backchannels still to come."""

    segments: tuple[Segment, ...]
    transitions: tuple[Transition, ...]
    events: tuple[Event, ...]
    """Targets are turn numbers until the timeline is finished."""
    layouts: tuple[Layout, ...]


def assemble(
    layouts: Sequence[Layout], turns: Sequence[tuple[Speaker, str]], asked: Sequence[int], start: int
) -> Draft:
    """Strings turns together.

    Args:
        layouts: one per turn, in turn order.
        turns: speaker and full text of each turn; neighbours differ in speaker.
        asked: floor transfer offset in samples before each turn but the first. Ignored after a cut turn, whose
            overlap was fixed by the cut.
        start: sample of the first onset.

    An offset is clipped, and the transition says so, where it would make a speaker overlap itself, start a turn before
    the middle of the turn it follows, or leave less than half of a turn for when it has the floor: a turn that ends
    inside the other's never takes it.
    """
    segments: list[Segment] = []
    transitions: list[Transition] = []
    events: list[Event] = []
    for index, (layout, (speaker, text)) in enumerate(zip(layouts, turns, strict=True)):
        at = start
        if index:
            at, transition = _transfer(segments, layouts[index - 1], layout, asked[index - 1])
            transitions.append(transition)
        segments.append(place(layout, index, speaker, "turn", text, at))
        events += [_event(mark, at, index) for mark in layout.marks]
        if index and layouts[index - 1].yields_after is not None:
            events.append(_barge_in(segments, layouts[index - 1].cut_probability, index))
    return Draft(segments=tuple(segments), transitions=tuple(transitions), events=tuple(events), layouts=tuple(layouts))


def _transfer(segments: Sequence[Segment], previous: Layout, following: Layout, asked: int) -> tuple[int, Transition]:
    """Where the following turn starts, and the transition that leads to it."""
    held = segments[-1]
    index = len(segments)
    own_end = segments[-2].end if index > 1 else 0
    earliest = max(own_end, held.end - following.end // 2)
    kind: Literal["smooth", "barge_in"] = "smooth"
    if previous.yields_after is None:
        earliest = max(earliest, (held.start + held.end) // 2)
    else:
        kind, asked = "barge_in", -previous.yields_after
    at = max(held.end + asked, earliest)
    return at, Transition(before=index - 1, after=index, asked=asked, achieved=at - held.end, kind=kind)


def _barge_in(segments: Sequence[Segment], probability: float, index: int) -> Event:
    """The event of the turn ``index`` cutting off the one before it."""
    return Event(
        type="barge_in",
        actor=segments[index].speaker,
        start=segments[index].start,
        end=segments[index - 1].end,
        target=index - 1,
        outcome="yielded",
        probability=probability,
    )


def _event(mark: Mark, at: int, target: int) -> Event:
    return Event(
        type=mark.type,
        actor=mark.actor,
        start=mark.start + at,
        end=mark.end + at,
        target=target,
        outcome=mark.outcome,
        probability=mark.probability,
    )


def _moved(mark: Mark, offset: int) -> Mark:
    return mark.model_copy(update={"start": mark.start + offset, "end": mark.end + offset})
