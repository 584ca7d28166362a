"""One published conversation without its audio, as the trainer's target builders see it. Pure.

The published row has seconds; here is the one clock again: integer samples at 16 kHz, intervals half-open. A time that
was published by ``datagen`` is a whole number of samples over 16,000 in float64, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from datagen.core.records import Event, SegmentKind
from datagen.core.types import Speaker, Strict, Word
from datagen.core.units import SAMPLE_RATE

SCHEMA_VERSION = 1
"""Of the published row (the ``schema_version`` of the manifest and of the Arrow metadata) that this trainer reads."""

COLUMNS = ("id", "language", "domain", "source", "profile", "num_samples", "segments", "events", "voices")
"""What a ``Row`` is made of; everything but the audio that training or evaluation looks at."""


def samples_of(seconds: float) -> int:
    """The sample a published time stands for, to the nearest.

    >>> samples_of(4.64), samples_of(11 / 16_000)
    (74240, 11)
    """
    return round(seconds * SAMPLE_RATE)


def letters(text: str) -> int:
    """Characters that are no space."""
    return sum(not c.isspace() for c in text)


class Segment(Strict):
    """Something one side says, on the conversation's clock."""

    speaker: Speaker
    kind: SegmentKind
    start: int = Field(ge=0)
    end: int
    text: str
    """The words that are audible; empty where a barge-in came before the first one was over."""
    text_full: str
    """The words as written."""
    words: tuple[Word, ...] = ()
    """The audible words, on the conversation's clock."""
    yielded: bool = False
    """Cut short by a barge-in."""

    @property
    def whole(self) -> int | None:
        """Samples that it would last if nobody cut it, at the pace of what is heard; None where nothing is."""
        length = self.end - self.start
        if not self.yielded:
            return length
        return round(length * letters(self.text_full) / letters(self.text)) if letters(self.text) else None

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"the segment {self.text_full[:20]!r} from sample {self.start} to {self.end} is empty")
        return self


class Row(Strict):
    """A conversation without its audio. Segments are in order of their start and end within the conversation."""

    id: str
    """Unique in a dataset. A dialogue's own, or that of a part of a long one, which ends in ``-p0``, ``-p1``."""
    language: str
    domain: str
    source: str
    profile: str
    num_samples: int = Field(gt=0)
    segments: tuple[Segment, ...]
    events: tuple[Event, ...]
    user_voice: str
    assistant_voice: str

    @model_validator(mode="after")
    def _on_the_clock(self) -> Self:
        if any(a.start > b.start for a, b in zip(self.segments, self.segments[1:], strict=False)):
            raise ValueError("segments are not in order of their start")
        if self.segments and (last := max(s.end for s in self.segments)) > self.num_samples:
            raise ValueError(f"a segment ends at sample {last}, after the {self.num_samples} of the conversation")
        return self

    @property
    def seconds(self) -> float:
        """The conversation's length."""
        return self.num_samples / SAMPLE_RATE

    def spoken(self, speaker: Speaker) -> Iterator[tuple[int, int]]:
        """Where a speaker's words are, as samples ``[start, end)``; the whole segment where its words have no times."""
        for segment in self.segments:
            if segment.speaker == speaker:
                yield from ((part.start, part.end) for part in segment.words or (segment,))

    def cut_in(self, place: int) -> int:
        """The sample at which the user begins to cut into a segment: the event's, else that of the first turn inside,
        else the segment's end."""
        segment = self.segments[place]
        found = [e.start for e in self.events if e.type == "barge_in" and e.target == place and e.actor == "user"]
        inside = (
            s.start
            for s in self.segments
            if s.speaker == "user" and s.kind == "turn" and segment.start <= s.start <= segment.end
        )
        return min([*(found or inside), segment.end])


def row_of(item: Mapping[str, Any]) -> Row:
    """The typed row of a published one (a mapping of at least ``COLUMNS``); ValueError says what is wrong with it."""
    try:
        return Row(
            **{name: item[name] for name in ("id", "language", "domain", "source", "profile", "num_samples")},
            segments=tuple(_segment(s) for s in item["segments"] or ()),
            events=tuple(
                Event(**{**e, "start": samples_of(e["start"]), "end": samples_of(e["end"])})
                for e in item["events"] or ()
            ),
            user_voice=item["voices"]["user"]["id"],
            assistant_voice=item["voices"]["assistant"]["id"],
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "row"
        raise ValueError(f"row {item['id']}: {where}: {first['msg']}; write the row again") from error


def _segment(item: Mapping[str, Any]) -> Segment:
    return Segment(
        speaker=item["speaker"],
        kind=item["kind"],
        start=samples_of(item["start"]),
        end=samples_of(item["end"]),
        text=item["text"],
        text_full=item["text_full"],
        words=tuple(
            Word(text=w["word"], start=samples_of(w["start"]), end=samples_of(w["end"]), estimated=bool(w["estimated"]))
            for w in item["words"] or ()
        ),
        yielded=bool(item["yielded"]),
    )
