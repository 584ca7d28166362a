"""Which stretches of a conversation test what: pure, integer samples at 16 kHz.

A clip is cut from the user's channel alone, since the system under test is the assistant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.core.audio import Pcm
from datagen.core.types import Speaker
from datagen.core.units import SAMPLE_RATE, from_ms
from datagen.exporters._base import samples_of

LEAD = from_ms(200)
"""Before the first word of a clip, as far as the user is silent there."""
TAIL = from_ms(10_000)
"""After the user's last word: room for an answer, as far as the user stays silent."""
FADE = from_ms(5)


@dataclass(frozen=True)
class Span:
    """A segment on the clock."""

    speaker: Speaker
    backchannel: bool
    start: int
    end: int
    yielded: bool
    text: str
    words: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Clip:
    """A stretch ``[start, end)`` of the user's channel and what happens in it, on the conversation's clock."""

    task: str
    start: int
    end: int
    marks: tuple[tuple[str, int, int], ...]
    """What is scored: a text and its samples."""
    spans: tuple[Span, ...]
    """The user's segments that the clip is about, in order: (context, event) or the turn alone."""


def spans_of(row: Mapping[str, Any]) -> list[Span]:
    """The segments of a row in order of start."""
    found = [
        Span(
            s["speaker"],
            s["kind"] == "backchannel",
            samples_of(s["start"]),
            samples_of(s["end"]),
            s["yielded"],
            s["text"],
            tuple((w["word"], samples_of(w["start"]), samples_of(w["end"])) for w in s["words"]),
        )
        for s in row["segments"]
    ]
    return sorted(found, key=lambda s: (s.start, s.end))


def clips(row: Mapping[str, Any]) -> Iterator[Clip]:
    """Everything in a row that can be tested."""
    spans, length = spans_of(row), row["num_samples"]
    pauses = [
        (samples_of(e["start"]), samples_of(e["end"]))
        for e in row["events"]
        if e["type"] == "pause" and e["actor"] == "user"
    ]
    for span in spans:
        if span.speaker != "user":
            continue
        if span.backchannel:
            yield from _overlap("user_backchannel", span, spans, length)
            continue
        yield from _interruption(span, spans, length)
        start = _lead(span, spans)
        inside = [("[PAUSE]", a, b) for a, b in pauses if span.start <= a and b <= span.end]
        if inside:
            yield Clip("pause_handling", start, span.end, tuple(inside), (span,))
        heard = [s for s in spans if s.speaker == "assistant" and s.backchannel and span.start <= s.start < span.end]
        if heard:
            yield Clip("backchannel", start, span.end, tuple((s.text, s.start, s.end) for s in heard), (span,))
        answer = _answer(span, spans)
        if answer is not None:
            mark = ("[TURN-TAKING]", span.end, answer.start)
            yield Clip("smooth_turn_taking", start, _tail(span, spans, length), (mark,), (span,))


def _interruption(span: Span, spans: Sequence[Span], length: int) -> Iterator[Clip]:
    """A turn of the user that begins while the assistant holds the floor and makes it stop."""
    held = [s for s in spans if s.speaker == "assistant" and s.yielded and s.start < span.start <= s.end]
    if held:
        yield from _overlap("user_interruption", span, spans, length)


def _overlap(task: str, span: Span, spans: Sequence[Span], length: int) -> Iterator[Clip]:
    """Something the user says over the assistant, after the turn of the user that the assistant was answering."""
    over = [s for s in spans if s.speaker == "assistant" and not s.backchannel and s.start < span.start <= s.end]
    context = [s for s in spans if over and s.speaker == "user" and not s.backchannel and s.start < over[0].start]
    if context:
        mark = (span.text, span.start, span.end)
        yield Clip(task, _lead(context[-1], spans), _tail(span, spans, length), (mark,), (context[-1], span))


def _answer(span: Span, spans: Sequence[Span]) -> Span | None:
    """The assistant's turn that follows a turn of the user without overlap, where nothing else comes between."""
    later = [s for s in spans if not s.backchannel and s.start > span.start]
    following = later[0] if later else None
    return following if following and following.speaker == "assistant" and following.start >= span.end else None


def _lead(span: Span, spans: Sequence[Span]) -> int:
    """Where a clip begins that is to begin with a segment."""
    before = [s.end for s in spans if s.speaker == "user" and s.start < span.start]
    return min(span.start, max(span.start - LEAD, 0, *before))


def _tail(span: Span, spans: Sequence[Span], length: int) -> int:
    """Where a clip ends that is to end after a segment: before the user's next word."""
    after = [s.start for s in spans if s.speaker == "user" and s.start >= span.end]
    return min(span.end + TAIL, length, *after)


def quieted(user: Pcm, clip: Clip, spans: Sequence[Span]) -> Pcm:
    """The clip without its event: in its place the longest stretch where the user is silent, back and forth.

    The background goes on, so that no digital silence tells that something is missing.
    """
    out = user[clip.start : clip.end].copy()
    start, end = clip.spans[-1].start - clip.start, clip.spans[-1].end - clip.start
    quiet = _quiet(clip, spans)
    if quiet is None:
        out[start:end] = 0
        return out
    piece = user[quiet[0] : quiet[1]].astype(np.float32)
    both = np.concatenate([piece, piece[::-1]])
    filler = np.resize(both, end - start)
    fade = min(FADE, (end - start) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    old = out[start:end].astype(np.float32)
    filler[:fade] = filler[:fade] * ramp + old[:fade] * ramp[::-1]
    filler[len(filler) - fade :] = filler[len(filler) - fade :] * ramp[::-1] + old[len(old) - fade :] * ramp
    out[start:end] = np.round(filler).astype(np.int16)
    return out


def _quiet(clip: Clip, spans: Sequence[Span]) -> tuple[int, int] | None:
    """The longest stretch of the clip in which the user says nothing; None where all are shorter than a tenth of a
    second."""
    at, best = clip.start, (0, 0)
    for span in [*(s for s in spans if s.speaker == "user" and s.end > clip.start), None]:
        until = clip.end if span is None else min(max(span.start, clip.start), clip.end)
        if until - at > best[1] - best[0]:
            best = (at, until)
        at = until if span is None else max(at, span.end)
    return best if best[1] - best[0] >= SAMPLE_RATE // 10 else None
