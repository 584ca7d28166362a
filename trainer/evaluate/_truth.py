"""What the assistant did in the recording, tick by tick: what free-running is scored against and hears as its world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from datagen.core.records import SegmentKind
from datagen.core.types import Strict
from datagen.core.units import FRAME_SAMPLES, frame_of
from trainer.data.rows import Row, Segment, letters
from trainer.targets import Ids
from trainer.tokens import ControlTokens


@dataclass(frozen=True)
class Response:
    """One thing the assistant says; all times are ticks."""

    kind: SegmentKind
    start: int
    """Of its [BOS] or [BOC]."""
    silent: int
    """The first tick in which nothing of it would be heard had nobody cut in (estimated where somebody did)."""
    stop: int | None = None
    """Of its [STP]."""
    cut_in: int | None = None
    """In which the user begins to cut in; only where there is a stop."""
    written: int = 0
    """The first tick after its text."""

    @property
    def end(self) -> int:
        """The first tick in which nothing of it is heard."""
        return self.silent if self.stop is None else self.stop


class Pace(Strict):
    """How long the assistant of a dataset takes to say something."""

    base: float
    """Samples that every utterance takes."""
    per_letter: float = Field(gt=0)
    """Samples for each character that is no space."""

    def ticks(self, letters: int) -> int:
        """Ticks in which a text of so many letters is heard, one at least."""
        return max(1, -(-round(self.base + self.per_letter * letters) // FRAME_SAMPLES))


def pace_of(rows: Iterable[Row]) -> Pace:
    """The straight line through length and duration of what the assistant says uncut, or where it never finishes
    anything, of what is heard of it.

    ValueError where it says nothing.
    """
    all_said = [s for row in rows for s in row.segments if s.speaker == "assistant"]
    said = [s for s in all_said if not s.yielded] or all_said
    lengths = np.array([letters(s.text) for s in said], dtype=np.float64)
    samples = np.array([s.end - s.start for s in said], dtype=np.float64)
    if not lengths.sum():
        raise ValueError("pace: the assistant says nothing in these conversations; give others")
    if len(np.unique(lengths)) > 1:
        slope, base = np.polyfit(lengths, samples, 1)
        if slope > 0:
            return Pace(base=float(base), per_letter=float(slope))
    return Pace(base=0.0, per_letter=float(samples.sum() / lengths.sum()))


def responses_of(row: Row, ids_K: Ids, tokens: ControlTokens, pace: Pace) -> tuple[Response, ...]:
    """What the labels have of the assistant's segments, in order; those that got no ticks of their own are left out.

    Labels ``relays2s`` put two [STP] to a turn that was cut; the one at the barge-in counts here.
    """
    found: dict[int, Response] = {}
    for index, segment in enumerate(row.segments):
        if segment.speaker != "assistant":
            continue
        start = frame_of(segment.start)
        if start < len(ids_K) and ids_K[start] == tokens.stp:
            start += 1  # an [STP] is not written over: what starts in its tick waits for the next
        first = tokens.boc if segment.kind == "backchannel" else tokens.bos
        if start >= len(ids_K) or ids_K[start] != first:
            continue
        stop = min(frame_of(segment.end), len(ids_K) - 1) if segment.yielded else None
        if stop is None or ids_K[stop] != tokens.stp:
            silent = -(-segment.end // FRAME_SAMPLES)
            found[start] = Response(segment.kind, start, silent, written=_written(ids_K, start, tokens))
            continue
        silent = max(frame_of(segment.start) + _full_ticks(segment, pace), stop + 1)
        found[start] = Response(segment.kind, start, silent, stop, frame_of(row.cut_in(index)))
    return tuple(found.values())


def _written(ids_K: Ids, start: int, tokens: ControlTokens) -> int:
    """The first tick after a response's text and its [EOS]."""
    ends = np.flatnonzero(np.isin(ids_K[start + 1 :], (*tokens.ids, tokens.hod)))
    return start + 2 + int(ends[0]) if ends.size else len(ids_K)


def audible(spans: Sequence[tuple[int, int]], ticks: int) -> Ids:
    """1 in every tick of ``[start, end)`` spans, else 0."""
    found_K = np.zeros(ticks, np.int64)
    for start, end in spans:
        found_K[start:end] = 1
    return found_K


def _full_ticks(segment: Segment, pace: Pace) -> int:
    """How long a cut segment would have lasted: at its own pace where enough of it is heard, else at everybody's."""
    whole = segment.whole
    return pace.ticks(letters(segment.text_full)) if whole is None else -(-whole // FRAME_SAMPLES)
