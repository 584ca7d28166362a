"""Turn-taking statistics of conversations on a clock: offsets, pauses, backchannels, barge-ins, overlaps.

Definitions (DESIGN section 5). The floor belongs to the speaker of a turn. A *transfer* is a change of the floor to
the other speaker; its *offset* is the start of the new turn minus the end of the old one, signed, never clamped.
Backchannels never take the floor, nor does a turn that starts and ends inside the other's turn (a failed attempt).
A *pause* is a silence of at least 200 ms inside one speaker's floor.

Everything here is integer samples at 16 kHz. ``datagen.core.summary`` adds conversations up in constant memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from datagen.core.records import Event, SegmentKind, Timeline
from datagen.core.types import SPEAKERS, Speaker
from datagen.core.units import SAMPLE_RATE, from_ms

PAUSE_SAMPLES = from_ms(200)
"""Shorter silences belong to an inter-pausal unit (the usual definition; plosives and breaths stay inside)."""
TERMINAL_SAMPLES = from_ms(500)
"""A turn that starts at most this long before an uncut turn ends anticipates the end; it contests nothing. Our choice:
most terminal overlaps between people are far shorter (modal < 50 ms, Levinson & Torreira 2015)."""


@dataclass(frozen=True, slots=True)
class Span:
    """One speaker's turn or backchannel; ``words`` are (start, end) pairs on the conversation's clock."""

    speaker: Speaker
    kind: SegmentKind
    start: int
    end: int
    yielded: bool = False
    words: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the statistics look at: spans in order of start, and the events with their chances."""

    num_samples: int
    spans: tuple[Span, ...]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """A change of the floor. ``cut``: the speaker before was interrupted."""

    before: Span
    after: Span

    @property
    def offset(self) -> int:
        return self.after.start - self.before.end

    @property
    def cut(self) -> bool:
        return self.before.yielded


@dataclass(frozen=True, slots=True)
class Onset:
    """Someone starts to speak inside the other's turn. ``contested``: see ``TERMINAL_SAMPLES``."""

    span: Span
    holder: Span
    contested: bool
    yielded: bool

    @property
    def entry(self) -> float:
        """Share of the holder's turn, as long as it became, that was over."""
        return (self.span.start - self.holder.start) / (self.holder.end - self.holder.start)


def from_timeline(timeline: Timeline) -> Conversation:
    """The conversation of a plan."""
    spans = (
        Span(s.speaker, s.kind, s.start, s.end, s.yielded, tuple((w.start, w.end) for w in s.words))
        for s in timeline.segments
    )
    return Conversation(timeline.num_samples, tuple(spans), timeline.events)


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def from_row(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a published row (``num_samples``, ``segments`` and ``events`` are read, times in seconds).

    An event without a probability counts as certain. ValueError when the row has no such columns.
    """
    if missing := {"num_samples", "segments", "events"} - row.keys():
        raise ValueError(f"row: no column {', '.join(sorted(missing))}; read them too")
    spans = [
        Span(
            s["speaker"],
            s["kind"],
            _samples(s["start"]),
            _samples(s["end"]),
            bool(s["yielded"]),
            tuple((_samples(w["start"]), _samples(w["end"])) for w in s["words"] or ()),
        )
        for s in row["segments"] or ()
    ]
    events = tuple(
        Event.model_validate(
            {**e, "start": _samples(e["start"]), "end": _samples(e["end"]), "probability": e["probability"] or 1.0}
        )
        for e in row["events"] or ()
    )
    return Conversation(int(row["num_samples"]), tuple(sorted(spans, key=lambda s: (s.start, s.end))), events)


def _floor(spans: Iterable[Span]) -> tuple[list[Transfer], list[int]]:
    """Transfers, and the silences between two turns of a speaker who keeps the floor."""
    transfers: list[Transfer] = []
    holds: list[int] = []
    floor: Span | None = None
    for span in spans:
        if span.kind != "turn":
            continue
        if floor is not None and span.end <= floor.end:
            continue
        if floor is not None and span.speaker != floor.speaker:
            transfers.append(Transfer(floor, span))
        elif floor is not None:
            holds.append(span.start - floor.end)
        floor = span
    return transfers, holds


def transfers(spans: Iterable[Span]) -> list[Transfer]:
    """The changes of the floor, in order; ``spans`` are in order of start."""
    return _floor(spans)[0]


def units(span: Span) -> list[tuple[int, int]]:
    """The inter-pausal units of a span: its words, split where the silence lasts 200 ms; without words the span."""
    if not span.words:
        return [(span.start, span.end)]
    out = [span.words[0]]
    for start, end in span.words[1:]:
        if start - out[-1][1] >= PAUSE_SAMPLES:
            out.append((start, end))
        else:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
    return out


def _silences(span: Span) -> list[int]:
    pieces = units(span)
    return [right[0] - left[1] for left, right in pairwise(pieces)]


def pauses(spans: Iterable[Span]) -> list[int]:
    """Lengths of the silences inside a speaker's floor: within turns, and between two turns with no transfer."""
    spans = tuple(spans)
    inner = [length for span in spans if span.kind == "turn" for length in _silences(span)]
    return inner + [hold for hold in _floor(spans)[1] if hold >= PAUSE_SAMPLES]


def _contests(span: Span, holder: Span) -> bool:
    return span.kind == "backchannel" or holder.yielded or holder.end - span.start > TERMINAL_SAMPLES


def onsets(spans: Iterable[Span]) -> list[Onset]:
    """The starts inside the other's turn. A yielded turn was yielded to the last contested start in it."""
    spans = tuple(spans)
    found: list[Onset] = []
    for holder in (s for s in spans if s.kind == "turn"):
        inside = [s for s in spans if s.speaker != holder.speaker and holder.start < s.start < holder.end]
        contested = [_contests(s, holder) for s in inside]
        last = max((i for i, c in enumerate(contested) if c), default=-1)
        found += [Onset(s, holder, contested[i], holder.yielded and i == last) for i, s in enumerate(inside)]
    return sorted(found, key=lambda o: (o.span.start, o.holder.start))


def simultaneous(spans: Iterable[Span]) -> int:
    """Samples in which both speak, counted on inter-pausal units."""
    sides: dict[Speaker, list[tuple[int, int]]] = {s: [] for s in SPEAKERS}
    for span in spans:
        sides[span.speaker] += units(span)
    left, right = (sorted(sides[s]) for s in SPEAKERS)
    total = i = j = 0
    while i < len(left) and j < len(right):
        total += max(0, min(left[i][1], right[j][1]) - max(left[i][0], right[j][0]))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return total
