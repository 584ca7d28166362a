"""Labels: what the assistant should emit at every tick of 160 ms, from the segments of a published row. Pure.

    tick        0    1    2     3      4     5    6     7     8     9    10    11
    user        ~~~~~~~~~~~~~                                     ~~~~~~~~~~~~~~~~~
    assistant                   ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~/ cut
    clean       SIL  SIL  SIL   BOS   Sure   ,   it's  HOD   HOD   STP  SIL   SIL
    relays2s    SIL  SIL  SIL   BOS   Sure   ,   it's  STP   SIL   STP  SIL   SIL

One token per tick, so the text is out well before its speech is over. Time is integer: a tick is ``floor(ms / 160)``
with ``ms = floor(samples / 16)``, the same as ``floor(samples / 2560)``. Seconds divided in floating point put 132 of
the first 1,200 tick borders one tick early (4.64 s -> 28).

Rules of ``clean``; an item's first tick is the one that holds its first sample:

* a turn: [BOS] text [EOS]. Text longer than the speech runs on into the silence after it; where even the ticks before
  the assistant's next item are too few, text is cut and [EOS] takes the last of them: no [EOS] is lost.
* a turn cut by a barge-in (``yielded``; a ``barge_in`` event says when the user began): [BOS] text, and one [STP] at
  the barge-in tick, the one that holds the segment's ``end``, where the assistant must have stopped. Text that does
  not fit before it is cut. The words are those that were heard, without [EOS]; ``interrupted="written"`` takes the
  whole text, as a model emits it live, with [EOS] where it fits.
* a backchannel: as a turn, with [BOC].
* [HOD] (``hold``) on every tick from the end of the text to the end of the audible speech, the [STP] tick excluded.
* [SIL] everywhere else. An item with no room for its two control tokens is left out and counted.

The rules of ``relays2s`` are those of the public data loader (commit b37d4df) on integer time: ``_writing.compatible``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datagen.core.records import SegmentKind
from datagen.core.types import Speaker, Strict
from datagen.core.units import FRAME_SAMPLES, frame_of, from_ms
from trainer._writing import Encode, Ids, Item, Overflow, Rules, clean, compatible
from trainer.data.rows import Row, Segment
from trainer.tokens import ControlTokens

__all__ = [
    "ClassWeights",
    "Encode",
    "Ids",
    "Item",
    "Overflow",
    "Point",
    "Rules",
    "Said",
    "Target",
    "Transcript",
    "alone",
    "class_weights",
    "items_of",
    "label_ticks",
    "loss_weights",
    "pad_to",
    "target",
]

STEADIED = from_ms(320)
"""How far a [BOS] or [STP] is moved at most: two ticks. More is no jitter."""


class ClassWeights(Strict):
    """What a tick counts in the loss, by its label. [PAD] counts nothing."""

    text: float = Field(default=1.0, ge=0)
    bos: float = Field(default=1.0, ge=0)
    boc: float = Field(default=1.0, ge=0)
    stp: float = Field(default=1.0, ge=0)
    eos: float = Field(default=1.0, ge=0)
    sil: float = Field(default=0.2, ge=0)
    """0.2 in the public code; most ticks are [SIL]."""
    hod: float = Field(default=0.2, ge=0)
    """As [SIL], whose place it takes: with and without ``hold`` every tick then counts the same."""


class Said(NamedTuple):
    """A line of a dialogue's history."""

    speaker: Speaker
    text: str


class Point(NamedTuple):
    """A place to draft a response: the [BOS] tick of a turn that was not cut."""

    tick: int
    item: int
    """Index of the item that is the response as recorded."""
    context: tuple[Said, ...]
    """The texts of everything that started earlier, backchannels left out."""
    reference: str


class Transcript(NamedTuple):
    """What the user says in ticks ``[start, end)``: [BOS] text [EOS], for the transcription stage."""

    start: int
    end: int
    tokens: tuple[int, ...]
    kind: SegmentKind


@dataclass(frozen=True)
class Target:
    """Everything a conversation teaches."""

    ids_K: Ids
    """One label per tick; the array is read-only."""
    points: tuple[Point, ...]
    transcripts: tuple[Transcript, ...]
    overflow: Overflow


def label_ticks(num_samples: int) -> int:
    """How many ticks have labels: the duration in ticks, half a tick rounded up."""
    return (num_samples + FRAME_SAMPLES // 2) // FRAME_SAMPLES


def items_of(row: Row, rules: Rules | None = None) -> list[Item]:
    """A row's segments, in its order, as ``target`` takes them.

    How long the recorded assistant waits, and talks on when it is cut, was drawn by lot. Nobody can hear a lot, and a
    model that is to learn it is sure of no tick. ``answer_ms``, ``nod_ms`` and ``stop_ms`` put a start, and the end of
    a turn that is cut, a fixed time after what the model does hear, where that is ``STEADIED`` away at most.
    """
    rules = rules if rules is not None and rules.steady else Rules()
    found: list[Item] = []
    before: Segment | None = None
    for place, s in enumerate(row.segments):
        start, end = s.start, s.end
        if s.speaker == "assistant":
            if s.kind == "backchannel":
                start = _steady(start, _last_word(row, start), rules.nod_ms)
            elif before is not None and before.speaker == "user" and before.end <= start:
                start = _steady(start, before.end, rules.answer_ms)
            if s.yielded:
                end = _steady(end, row.cut_in(place), rules.stop_ms)
            if start >= end:
                start, end = s.start, s.end
        before = s if s.kind == "turn" else before
        found.append(Item(s.speaker, s.kind, start, end, s.text, s.text_full, s.yielded))
    return found


def _last_word(row: Row, at: int) -> int:
    """Where the user's last word ends that is over by then; far off where there is none."""
    ends = (end for _, end in row.spoken("user") if end <= at)
    return max(ends, default=-2 * STEADIED)


def _steady(recorded: int, heard: int, after_ms: int | None) -> int:
    """A fixed time after what is heard, or where it was recorded."""
    at = recorded if after_ms is None else heard + from_ms(after_ms)
    return at if abs(at - recorded) <= STEADIED else recorded


def target(
    found: Sequence[Item], num_samples: int, encode: Encode, tokens: ControlTokens, rules: Rules | None = None
) -> Target:
    """Labels, drafting points, transcripts and overflow of a conversation.

    Args:
        found: its items in order of start.
        num_samples: its length at 16 kHz.
        encode: text to ids without special tokens.
        tokens: the control tokens' ids.
        rules: how labels are written; the default is ``clean`` with [HOD].

    Raises ValueError for a conversation shorter than half a tick.
    """
    rules = rules or Rules()
    length = label_ticks(num_samples)
    if not length:
        raise ValueError(f"a conversation of {num_samples} samples has no tick of {FRAME_SAMPLES}; leave it out")
    own = [item for item in found if item.speaker == "assistant"]
    if rules.mode == "clean":
        ids_K, overflow = clean(own, length, encode, tokens, rules)
    else:
        ids_K, overflow = compatible(own, length, encode, tokens)
    ids_K.setflags(write=False)
    return Target(ids_K, _points(found, ids_K, tokens), _transcripts(found, length, encode, tokens), overflow)


def pad_to(ids_K: Ids, ticks: int, tokens: ControlTokens) -> Ids:
    """Labels for ``ticks`` ticks of speech: those past the labels' end are [PAD] and teach nothing."""
    return np.pad(ids_K[:ticks], (0, max(0, ticks - len(ids_K))), constant_values=tokens.pad)


def alone(ids_K: Ids, tokens: ControlTokens, rng: np.random.Generator, share: float) -> npt.NDArray[np.bool_]:
    """The ticks of text in a share of the turns: where a draft hears nothing, and training may hear nothing either.

    Turns that end in a barge-in are never among them: to be stopped, one has to listen.
    """
    found = np.zeros(len(ids_K), np.bool_)
    begins = np.flatnonzero(np.isin(ids_K, (tokens.bos, tokens.boc)))
    controls = np.flatnonzero(np.isin(ids_K, tokens.ids))
    for begin, draw in zip(begins, rng.random(begins.size), strict=True):
        after = controls[controls > begin]
        if draw < share and after.size and ids_K[after[0]] != tokens.stp:
            found[begin + 1 : after[0] + 1] = True
    return found


def class_weights(tokens: ControlTokens, weights: ClassWeights | None = None) -> npt.NDArray[np.float32]:
    """A weight per token of the vocabulary."""
    weights = weights or ClassWeights()
    weight_V = np.full(tokens.vocabulary, weights.text, np.float32)
    for role in ("bos", "boc", "stp", "eos", "sil", "hod"):
        weight_V[getattr(tokens, role)] = getattr(weights, role)
    weight_V[tokens.pad] = 0
    return weight_V


def loss_weights(ids_K: Ids, tokens: ControlTokens, weights: ClassWeights | None = None) -> npt.NDArray[np.float32]:
    """What each tick counts in the loss."""
    return class_weights(tokens, weights)[ids_K]


def _points(found: Sequence[Item], ids_K: Ids, tokens: ControlTokens) -> tuple[Point, ...]:
    """Where the labels really have the [BOS] of a turn that was not cut, one per tick."""
    points: dict[int, Point] = {}
    for index, item in enumerate(found):
        if item.speaker != "assistant" or item.kind == "backchannel" or item.yielded:
            continue
        tick = frame_of(item.start)
        if tick >= len(ids_K) or ids_K[tick] != tokens.bos:
            continue
        earlier = (i for i in found[:index] if i.start < item.start and i.kind != "backchannel")
        points[tick] = Point(tick, index, tuple(Said(i.speaker, i.text) for i in earlier), item.text)
    return tuple(points.values())


def _transcripts(found: Sequence[Item], length: int, encode: Encode, tokens: ControlTokens) -> tuple[Transcript, ...]:
    """The user's segments, with one tick more than holds their end, as in the public loader."""
    transcripts: list[Transcript] = []
    for item in found:
        start, end = frame_of(item.start), min(frame_of(item.end) + 1, length)
        if item.speaker == "user" and start < end:
            transcripts.append(Transcript(start, end, (tokens.bos, *encode(item.text), tokens.eos), item.kind))
    return tuple(transcripts)
