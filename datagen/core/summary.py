"""Turn-taking statistics of any number of conversations: counters and histograms that merge, and their rates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.core.histogram import Histogram
from datagen.core.records import SegmentKind
from datagen.core.turntaking import Conversation, Onset, Span, Transfer, onsets, pauses, simultaneous, transfers, units
from datagen.core.types import SPEAKERS, Speaker, Strict, other
from datagen.core.units import SAMPLE_RATE, from_ms

DYAD_TRANSFERS = 3
"""Conversations with fewer transfers say too little of their own mean offset."""
FTO_WIDTH = from_ms(10)
TURN_WIDTH = from_ms(100)
PERMILLE = 1_000
MINUTE = 60 * SAMPLE_RATE
_KINDS: tuple[SegmentKind, ...] = ("turn", "backchannel")


def _histograms(width: int) -> Any:
    return Field(default_factory=lambda: {s: Histogram(width=width) for s in SPEAKERS})


def _bump(counts: dict[Any, int], key: Any) -> None:
    counts[key] = counts.get(key, 0) + 1


def _total(a: Any, b: Any) -> Any:
    """Two counters, histograms or mappings of them added up, keys in order."""
    if isinstance(a, Histogram):
        return a.merge(b)
    if isinstance(a, int):
        return a + b
    keys: list[Any] = sorted(a.keys() | b.keys())
    return {k: _total(a[k], b[k]) if k in a and k in b else (a if k in a else b)[k] for k in keys}


def _zeros(keys: Iterable[str]) -> Any:
    return Field(default_factory=lambda: dict.fromkeys(keys, 0))


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
    entries: dict[SegmentKind, Histogram] = Field(default_factory=lambda: {k: Histogram(width=50) for k in _KINDS})
    """Where in the other's turn a start lies, in thousandths of that turn."""
    stops: Histogram = Field(default_factory=lambda: Histogram(width=FTO_WIDTH))
    """From the start of a successful barge-in to the silence of the interrupted speaker."""
    events: dict[str, int] = Field(default_factory=dict)
    """``type/actor/outcome`` -> how many."""
    chances: dict[str, dict[int, int]] = Field(default_factory=dict)
    """``type/actor`` -> chance in thousandths (given that the place qualified) -> how many events had it."""

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
            _bump(
                self.chances.setdefault(f"{event.type}/{event.actor}", {}), max(1, round(event.probability * PERMILLE))
            )

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

    def transfers(self, taker: Speaker) -> Histogram:
        """Offsets of all floor changes to one speaker, after finished and after interrupted turns."""
        return self.offsets[taker].merge(self.cut_offsets[taker])

    def rates(self) -> Rates:
        """What the counts come to per minute, per turn and in per cent; nan where nothing can be divided."""
        return _rates(self)


class Rates(Strict):
    """Figures as the literature gives them. Minutes are of conversation unless a field says otherwise."""

    transfers_per_minute: float
    gap_seconds_per_minute: float
    overlap_share: dict[Speaker, float]
    """Share of the floor changes to a speaker that overlap."""
    overlap_share_all: float
    pauses_per_minute: float
    units_per_minute: float
    words_per_minute: float
    words_per_speaking_minute: dict[Speaker, float]
    backchannels_per_minute: dict[Speaker, float]
    """By listener."""
    backchannels_per_heard_minute: dict[Speaker, float]
    """By listener, per minute of the other's speech."""
    barge_ins_per_minute: dict[Speaker, float]
    """Attempts, by who tries."""
    yield_probability: dict[SegmentKind, float]
    """Given a contested start inside the other's turn; by what was started."""
    yield_probability_all: float
    simultaneous_share: float
    speech_share: dict[Speaker, float]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _rates(s: Summary) -> Rates:
    minutes = s.samples / MINUTE
    changes = {k: s.offsets[k].n + s.cut_offsets[k].n for k in SPEAKERS}
    attempts = dict.fromkeys(SPEAKERS, 0)
    for name, count in s.events.items():
        kind, actor, _ = name.split("/")
        if kind == "barge_in" and actor in SPEAKERS:
            attempts[actor] += count
    return Rates(
        transfers_per_minute=_ratio(sum(changes.values()), minutes),
        gap_seconds_per_minute=_ratio(s.gap_samples / SAMPLE_RATE, minutes),
        overlap_share={k: _ratio(s.overlaps[k], changes[k]) for k in SPEAKERS},
        overlap_share_all=_ratio(sum(s.overlaps.values()), sum(changes.values())),
        pauses_per_minute=_ratio(s.pauses.n, minutes),
        units_per_minute=_ratio(sum(s.units.values()), minutes),
        words_per_minute=_ratio(sum(s.words.values()), minutes),
        words_per_speaking_minute={k: _ratio(s.words[k], s.speech[k] / MINUTE) for k in SPEAKERS},
        backchannels_per_minute={k: _ratio(s.backchannels[k], minutes) for k in SPEAKERS},
        backchannels_per_heard_minute={k: _ratio(s.backchannels[k], s.speech[other(k)] / MINUTE) for k in SPEAKERS},
        barge_ins_per_minute={k: _ratio(attempts[k], minutes) for k in SPEAKERS},
        yield_probability={k: _ratio(s.yields[k], s.onsets[k]) for k in _KINDS},
        yield_probability_all=_ratio(sum(s.yields.values()), sum(s.onsets.values())),
        simultaneous_share=_ratio(s.simultaneous, s.samples),
        speech_share={k: _ratio(s.speech[k], s.samples) for k in SPEAKERS},
    )
