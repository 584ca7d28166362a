"""What an oracle would score on these very conversations, given the chance that made them.

* [BOS]: it hears the end of the user's turn exactly, but not how long the recorded assistant waited: it waits a fixed
  time. Where the assistant opens the conversation it knows that too, and waits a fixed time from the start; a model can
  know it only where the recipe's ``margins.opening_ms`` lies above the user's ``lead_ms``.
* [STP]: it knows at which sample the user began to cut in and that it is a barge-in, but not how long the recorded
  assistant talked on: it stops after a fixed time.
* [BOC]: it hears every invitation and knows how often such are answered, and waits a fixed time after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.core.ceiling import EventCeiling, OnsetCeiling, event_ceiling, onset_ceiling, wilson
from datagen.core.histogram import Histogram
from datagen.core.summary import FTO_WIDTH, PERMILLE
from datagen.core.turntaking import Span, transfers
from datagen.core.types import Strict
from trainer.data.rows import Row
from trainer.evaluate.matching import TOLERANCE

_ANSWER = "after the end of the user's turn"
_OPENING = "after the start of a conversation that the assistant opens"


class Ceiling(Strict):
    """An oracle's score and its 95 % interval on data sets of this size."""

    precision: float
    recall: float
    f1: float
    low: float
    high: float
    """Of F1."""
    note: str
    """What the oracle knows, in a line."""

    def percent(self) -> str:
        """For tables."""
        return f"{self.f1 * 100:.1f} ({self.low * 100:.1f} to {self.high * 100:.1f})"


def ceilings(rows: Sequence[Row], tolerance: int = TOLERANCE) -> dict[str, Ceiling]:
    """By kind, for those kinds that the conversations have; [STP] also as "begun"."""
    found: dict[str, Ceiling] = {}
    answers, openings = (onset_ceiling(h, tolerance=tolerance) for h in (_answers(rows), _openings(rows)))
    if answers or openings:
        found["bos"] = _onsets(answers, openings)
    if stop := onset_ceiling(_overlaps(rows), tolerance=tolerance):
        found["stp"] = found["begun"] = _fixed(stop, "after the user begins to cut in")
    chances, delays = _backchannels(rows)
    if event := event_ceiling(chances):
        found["boc"] = _event(event, onset_ceiling(delays, tolerance=tolerance))
    return found


def _fixed(ceiling: OnsetCeiling, after: str) -> Ceiling:
    """One prediction per event, so precision and recall are the same."""
    note = f"acts {ceiling.wait_ms:.0f} ms {after}, every time ({ceiling.onsets} events)"
    share = ceiling.recall
    return Ceiling(precision=share, recall=share, f1=share, low=ceiling.low, high=ceiling.high, note=note)


def _onsets(answers: OnsetCeiling | None, openings: OnsetCeiling | None) -> Ceiling:
    """Both kinds of turns together, each with its own waiting time."""
    known = [(part, after) for part, after in ((answers, _ANSWER), (openings, _OPENING)) if part]
    if len(known) == 1:
        return _fixed(*known[0])
    n = sum(part.onsets for part, _ in known)
    share = sum(part.recall * part.onsets for part, _ in known) / n
    low, high = wilson(share * n, n)
    note = "; ".join(_fixed(*part).note for part in known)
    return Ceiling(precision=share, recall=share, f1=share, low=low, high=high, note=note)


def _event(ceiling: EventCeiling, delay: OnsetCeiling | None) -> Ceiling:
    """Each hit is also one in time, with the chance that a fixed delay has."""
    timely = delay.recall if delay else 1.0
    note = f"predicts where the chance is {ceiling.threshold * 100:.0f} % or more"
    note += f", {delay.wait_ms:.0f} ms after the invitation begins" if delay else ""
    return Ceiling(
        precision=ceiling.precision * timely,
        recall=ceiling.recall * timely,
        f1=ceiling.f1 * timely,
        low=ceiling.low * timely,
        high=ceiling.high * timely,
        note=f"{note} ({ceiling.events} events)",
    )


def _openings(rows: Sequence[Row]) -> Histogram:
    """Samples from the start of the conversation to the assistant's turn, where that is the first one."""
    found = Histogram(width=FTO_WIDTH)
    for row in rows:
        turns = [s for s in row.segments if s.kind == "turn"]
        if turns and turns[0].speaker == "assistant":
            found.add(turns[0].start)
    return found


def _answers(rows: Sequence[Row]) -> Histogram:
    """Samples from the end of the user's turn to the start of the assistant's."""
    found = Histogram(width=FTO_WIDTH)
    for row in rows:
        spans = [Span(s.speaker, s.kind, s.start, s.end, s.yielded) for s in row.segments]
        for transfer in transfers(spans):
            if transfer.after.speaker == "assistant":
                found.add(transfer.offset)
    return found


def _overlaps(rows: Sequence[Row]) -> Histogram:
    """Samples from the start of a barge-in to the end of what it cut."""
    found = Histogram(width=FTO_WIDTH)
    for row in rows:
        for event in row.events:
            if event.type == "barge_in" and event.actor == "user" and row.segments[event.target].yielded:
                found.add(row.segments[event.target].end - event.start)
    return found


def _backchannels(rows: Sequence[Row]) -> tuple[dict[int, int], Histogram]:
    """Chance in thousandths -> how many of the assistant's; and samples from the invitation to the answer."""
    chances: dict[int, int] = {}
    delays = Histogram(width=FTO_WIDTH)
    for row in rows:
        for event in row.events:
            if event.type != "backchannel" or event.actor != "assistant":
                continue
            level = max(1, round(event.probability * PERMILLE))
            chances[level] = chances.get(level, 0) + 1
            invited = [
                e.start
                for e in row.events
                if (e.type, e.outcome, e.target) == ("invitation", "answered", event.target) and e.start <= event.start
            ]
            if invited:
                delays.add(event.start - max(invited))
    return chances, delays
