"""Turn-taking statistics of conversations on a clock: offsets, pauses, backchannels, barge-ins, overlaps.

Definitions (DESIGN section 5). The floor belongs to the speaker of a turn. A *transfer* is a change of the floor to
the other speaker; its *offset* is the start of the new turn minus the end of the old one, signed, never clamped.
Backchannels never take the floor, nor does a turn that starts and ends inside the other's turn (a failed attempt).
A *pause* is a silence of at least 200 ms inside one speaker's floor.

Everything here is integer samples at 16 kHz. ``Summary`` adds conversations up in constant memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.core.histogram import Histogram
from datagen.core.types import SPEAKERS, Event, SegmentKind, Speaker, Timeline, other
from datagen.core.units import SAMPLE_RATE, from_ms

PAUSE_SAMPLES = from_ms(200)
"""Shorter silences belong to an inter-pausal unit (the usual definition; plosives and breaths stay inside)."""
TERMINAL_SAMPLES = from_ms(500)
"""A turn that starts at most this long before an uncut turn ends anticipates the end; it contests nothing. Our choice:
most terminal overlaps between people are far shorter (modal < 50 ms, Levinson & Torreira 2015)."""
DYAD_TRANSFERS = 3
"""Conversations with fewer transfers say too little of their own mean offset."""
FTO_WIDTH = from_ms(10)
TURN_WIDTH = from_ms(100)
PERMILLE = 1_000


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


def pauses(spans: Iterable[Span]) -> list[int]:
    """Lengths of the silences inside a speaker's floor: within turns, and between two turns with no transfer."""
    spans = tuple(spans)
    inner = [
        right[0] - left[1]
        for span in spans
        if span.kind == "turn"
        for left, right in zip(u := units(span), u[1:], strict=False)
    ]
    return inner + [hold for hold in _floor(spans)[1] if hold >= PAUSE_SAMPLES]


def onsets(spans: Iterable[Span]) -> list[Onset]:
    """The starts inside the other's turn. A yielded turn was yielded to the last contested start in it."""
    spans = tuple(spans)
    found: list[Onset] = []
    for holder in (s for s in spans if s.kind == "turn"):
        inside = [s for s in spans if s.speaker != holder.speaker and holder.start < s.start < holder.end]
        contested = [s.kind == "backchannel" or holder.yielded or holder.end - s.start > TERMINAL_SAMPLES for s in inside]
        last = max((i for i, c in enumerate(contested) if c), default=-1)
        found += [Onset(s, holder, c, holder.yielded and i == last) for i, (s, c) in enumerate(zip(inside, contested))]
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


def _histograms(width: int) -> Any:
    return Field(default_factory=lambda: {s: Histogram(width=width) for s in SPEAKERS})


def _zeros(keys: Iterable[str]) -> Any:
    return Field(default_factory=lambda: dict.fromkeys(keys, 0))


_KINDS: tuple[SegmentKind, ...] = ("turn", "backchannel")


class Summary(BaseModel):
    """Counts over any number of conversations. Offsets are keyed by who takes the floor, all else by who speaks.

    ``merge`` is associative and commutative, and merging summaries of parts gives the summary of the whole.
    """

    model_config = ConfigDict(extra="forbid")

    conversations: int = 0
    samples: int = 0
    offsets: dict[Speaker, Histogram] = _histograms(FTO_WIDTH)
    """Floor transfer offsets after turns that were finished."""
    cut_offsets: dict[Speaker, Histogram] = _histograms(FTO_WIDTH)
    """The same after turns that were interrupted: how long both were heard, negative."""
    overlaps: dict[Speaker, int] = _zeros(SPEAKERS)
    """Transfers of both sorts with a negative offset."""
    gap_samples: int = 0
    dyads: dict[Speaker, Histogram] = _histograms(FTO_WIDTH)
    """Mean offset of each conversation with at least ``DYAD_TRANSFERS`` finished-turn transfers."""
    pauses: Histogram = Field(default_factory=lambda: Histogram(width=FTO_WIDTH))
    turns: dict[Speaker, Histogram] = _histograms(TURN_WIDTH)
    backchannels: dict[Speaker, int] = _zeros(SPEAKERS)
    units: dict[Speaker, int] = _zeros(SPEAKERS)
    words: dict[Speaker, int] = _zeros(SPEAKERS)
    speech: dict[Speaker, int] = _zeros(SPEAKERS)
    """Samples in inter-pausal units."""
    simultaneous: int = 0
    onsets: dict[SegmentKind, int] = _zeros(_KINDS)
    """Contested starts inside the other's turn."""
    yields: dict[SegmentKind, int] = _zeros(_KINDS)
    entries: dict[SegmentKind, Histogram] = Field(
        default_factory=lambda: {k: Histogram(width=50) for k in _KINDS}
    )
    """Where in the other's turn a start lies, in thousandths of that turn."""
    stops: Histogram = Field(default_factory=lambda: Histogram(width=FTO_WIDTH))
    """From the start of a successful barge-in to the silence of the interrupted speaker."""
    events: dict[str, int] = Field(default_factory=dict)
    """``type/actor/outcome`` -> how many."""
    chances: dict[str, dict[int, int]] = Field(default_factory=dict)
    """Event type -> chance in thousandths (given that the place qualified) -> how many events had it."""

    def add(self, conversation: Conversation) -> None:
        """Counts one conversation."""
        self.conversations += 1
        self.samples += conversation.num_samples
        self.simultaneous += simultaneous(conversation.spans)
        self._add_spans(conversation.spans)
        self._add_transfers(transfers(conversation.spans))
        self._add_onsets(onsets(conversation.spans))
        for event in conversation.events:
            _bump(self.events, f"{event.type}/{event.actor}/{event.outcome}")
            _bump(self.chances.setdefault(event.type, {}), max(1, round(event.probability * PERMILLE)))

    def _add_spans(self, spans: tuple[Span, ...]) -> None:
        for span in spans:
            pieces = units(span)
            self.units[span.speaker] += len(pieces)
            self.words[span.speaker] += len(span.words)
            self.speech[span.speaker] += sum(end - start for start, end in pieces)
            if span.kind == "turn":
                self.turns[span.speaker].add(span.end - span.start)
            else:
                self.backchannels[span.speaker] += 1
        for length in pauses(spans):
            self.pauses.add(length)

    def _add_transfers(self, found: list[Transfer]) -> None:
        means: dict[Speaker, list[int]] = {s: [] for s in SPEAKERS}
        for transfer in found:
            taker = transfer.after.speaker
            (self.cut_offsets if transfer.cut else self.offsets)[taker].add(transfer.offset)
            self.overlaps[taker] += transfer.offset < 0
            self.gap_samples += max(0, transfer.offset)
            if not transfer.cut:
                means[taker].append(transfer.offset)
        for taker, values in means.items():
            if len(values) >= DYAD_TRANSFERS:
                self.dyads[taker].add(sum(values) // len(values))

    def _add_onsets(self, found: list[Onset]) -> None:
        for onset in found:
            kind = onset.span.kind
            self.entries[kind].add(round(onset.entry * PERMILLE))
            self.onsets[kind] += onset.contested
            self.yields[kind] += onset.yielded
            if onset.yielded and kind == "turn":
                self.stops.add(onset.holder.end - onset.span.start)

    def merge(self, others: Summary) -> Summary:
        """Both together, as a new summary."""
        names = type(self).model_fields
        return Summary(**{name: _total(getattr(self, name), getattr(others, name)) for name in names})
