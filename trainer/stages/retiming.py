"""Conversations on another clock: the same speech, other gaps, pauses, backchannels and barge-ins.

Which of the assistant's turns is cut, and when, was drawn by lot when the data were made, and a language model that
hears a conversation a second time knows the outcome: the embedded preset found 99 % of the barge-ins that it had
learned from and 65 % of others. Here the lots are drawn again for every epoch:

    recorded   user  ~~~~~~      mm      ~~~~        retimed   user  ~~~  ~~~      ~~~~
               assistant   ==========  |  ======                assistant      =======/  ======

Speech vectors are moved by whole ticks, each run of the user's words as it was heard; where nobody speaks there are
vectors of the same conversation's silence. Every length is one that the dataset has (``Timings``).

Shape suffixes: K ticks (160 ms), D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from datagen.core.rng import stream
from datagen.core.types import Word
from datagen.core.units import FRAME_SAMPLES, from_ms
from trainer.data.loader import Example, Pick
from trainer.data.rows import Row, Segment
from trainer.stages.objectives import SPEECH
from trainer.stages.wording import LATE, OVER
from trainer.targets import label_ticks

PAUSE = from_ms(320)
"""Silence between a user's words from which on it is a pause, and may have another length."""
LONG = from_ms(1600)
"""The assistant's turns that may be cut."""
KEPT_SHARE = 0.25
"""Of conversations that stay on their own clock in an epoch."""
STRETCH = (0.7, 1.5)
"""Of a pause, ``PAUSE`` at least. What makes one stays: the words before it, the backchannel in it."""
_NOD_MARGIN = 3 * FRAME_SAMPLES

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Timings:
    """How the two sides of a dataset take turns; lengths in samples."""

    answers: Sequence[int]
    """From the end of a user's turn to the assistant's."""
    replies: Sequence[int]
    """From the end of an uncut turn of the assistant to the user's; negative where they overlap."""
    overlaps: Sequence[int]
    """From where the user begins to cut in to the assistant's silence."""
    cuts: Sequence[float]
    """Share of the assistant's turn that is over when the user cuts in."""
    cut_share: float
    """Cuts per long turn of the assistant that a user's turn follows."""


def timings_of(rows: Iterable[Row]) -> Timings:
    """What a dataset's conversations do."""
    answers, replies, overlaps = ([] for _ in range(3))
    cuts: list[float] = []
    long = 0
    for row in rows:
        turns = [(n, s) for n, s in enumerate(row.segments) if s.kind == "turn"]
        for (number, one), (_, other) in pairwise(turns):
            if (one.speaker, other.speaker) == ("user", "assistant"):
                answers.append(other.start - one.end)
            elif (one.speaker, other.speaker) == ("assistant", "user"):
                long += _whole(one) >= LONG
                if one.yielded:
                    onset = row.cut_in(number)
                    overlaps.append(one.end - onset)
                    cuts.append((onset - one.start) / _whole(one))
                else:
                    replies.append(other.start - one.end)
    return Timings(answers, replies, overlaps, cuts, len(cuts) / max(long, 1))


class Retimed(Dataset[Example]):
    """Remembered conversations by ``Pick``, most of them on another clock in every epoch."""

    def __init__(self, remembered: Dataset[Example], timings: Timings, seed: int) -> None:
        self._remembered, self._timings, self._seed = remembered, timings, seed

    def __getitem__(self, pick: Pick) -> Example:
        example = self._remembered[pick]
        rng = stream(self._seed, example.row.id, f"retime-{pick.epoch}")
        if rng.random() < KEPT_SHARE:
            return example
        row, speech_KD = retimed(example.row, example.targets[SPEECH], self._timings, rng)
        row = row.model_copy(update={"id": f"{row.id}@{pick.epoch}"})
        return Example(pick, row, example.samples, None, {SPEECH: speech_KD})


class _Run(NamedTuple):
    """Words of the user without a pause, and the ticks that they are heard in."""

    words: tuple[Word, ...]
    first: int
    last: int
    """One past the last tick, what is heard after the words included."""
    later: int
    """Ticks that the silence before it is longer than recorded."""


@dataclass
class _Clock:
    """The new conversation as far as it is told."""

    row: Row
    timings: Timings
    rng: np.random.Generator
    segments: list[Segment] = field(default_factory=list)
    moved: list[tuple[int, int, int]] = field(default_factory=list)
    """Ticks of speech: where from, until where, and where to."""

    def draw(self, lengths: Sequence[int]) -> int:
        return int(lengths[int(self.rng.integers(len(lengths)))]) if lengths else 0

    def user(self, segment: Segment, at: int) -> Segment:
        """Puts a segment of the user as near to a sample as whole ticks allow."""
        shift = round((at - segment.start) / FRAME_SAMPLES)
        words: list[Word] = []
        for run in self.runs(segment):
            shift = max(shift + run.later, -run.first)
            self.moved.append((run.first, run.last, run.first + shift))
            words += [word.moved(shift * FRAME_SAMPLES) for word in run.words]
        start, end = words[0].start, words[-1].end
        placed = segment.model_copy(update={"start": start, "end": end, "words": tuple(words)})
        self.segments.append(placed)
        return placed

    def runs(self, segment: Segment) -> Iterator[_Run]:
        """A user's segment between its pauses."""
        words = segment.words
        gaps = [later.start - word.end for word, later in pairwise(words)]
        first, later = 0, 0
        for number, gap in enumerate([*gaps, None], 1):
            if gap is not None and gap < PAUSE:
                continue
            begin = words[first].start if first else segment.start
            over = (words[number - 1].end + LATE) // FRAME_SAMPLES + 1 + (OVER if gap is None else 0)
            yield _Run(words[first:number], begin // FRAME_SAMPLES, over, later)
            if gap is not None:
                wanted = max(PAUSE, gap * self.rng.uniform(*STRETCH))
                first, later = number, round((wanted - gap) / FRAME_SAMPLES)

    def assistant(self, segment: Segment, start: int, end: int, cut: bool = False) -> None:
        """A turn of the assistant with the words that are heard of it."""
        words = tuple(word.moved(start - segment.start) for word in segment.words)
        words = tuple(word for word in words if word.end <= end)
        whole = len(words) == len(segment.text_full.split())
        text = " ".join(word.text for word in words) if cut and not whole else segment.text_full
        update = {"start": start, "end": end, "words": words, "text": text, "yielded": cut}
        self.segments.append(segment.model_copy(update=update))


def retimed(row: Row, speech_KD: Vectors, timings: Timings, rng: np.random.Generator) -> tuple[Row, Vectors]:
    """A conversation told again; as it is where nobody takes a turn, or the user is never silent or has no times of
    words."""
    silent_K = _silent(row, len(speech_KD))
    own = [segment for segment in row.segments if segment.speaker == "user"]
    if not silent_K.any() or not all(segment.words for segment in own) or all(s.kind != "turn" for s in row.segments):
        return row, speech_KD
    clock = _Clock(row, timings, rng)
    _tell(clock)
    _nod(clock)
    clock.segments.sort(key=lambda segment: segment.start)
    tail = row.num_samples - max(segment.end for segment in row.segments)
    samples = max(segment.end for segment in clock.segments) + tail
    told = row.model_copy(update={"segments": tuple(clock.segments), "events": (), "num_samples": samples})
    return told, _spliced(clock, speech_KD, silent_K, label_ticks(samples))


def _tell(clock: _Clock) -> None:
    """The turns of both, and the assistant's backchannels where they were in the user's."""
    row, timings = clock.row, clock.timings
    turns = [segment for segment in row.segments if segment.kind == "turn"]
    nods = [segment for segment in row.segments if segment.kind != "turn" and segment.speaker == "assistant"]
    at = turns[0].start
    for turn, after in zip(turns, [*turns[1:], None], strict=True):
        if turn.speaker == "user":
            told = clock.user(turn, at)
            _nods_along(clock, turn, told, [nod for nod in nods if turn.start <= nod.start < turn.end])
            at = told.end
            if after is not None:
                at += clock.draw(timings.answers) if after.speaker == "assistant" else max(after.start - turn.end, 0)
            continue
        at = max([at, *(s.end + 1 for s in clock.segments if s.speaker == "assistant")])
        whole = _whole(turn)
        if after is None or after.speaker == "assistant":
            clock.assistant(turn, at, at + whole)
            at += whole
        elif whole >= LONG and timings.cuts and clock.rng.random() < timings.cut_share:
            onset = at + round(whole * timings.cuts[int(clock.rng.integers(len(timings.cuts)))])
            onset += -(onset - after.start) % FRAME_SAMPLES  # whole ticks away from where it was
            clock.assistant(turn, at, onset + clock.draw(timings.overlaps), cut=True)
            at = onset
        else:
            clock.assistant(turn, at, at + whole)
            at += whole + max(clock.draw(timings.replies), -whole // 2)


def _nods_along(clock: _Clock, turn: Segment, told: Segment, nods: Sequence[Segment]) -> None:
    """The assistant's backchannels in a turn of the user, each as long after the same word."""
    for nod in nods:
        before = [number for number, word in enumerate(turn.words) if word.start <= nod.start]
        number = before[-1] if before else 0
        shift = told.words[number].start - turn.words[number].start
        clock.assistant(nod, nod.start + shift, nod.end + shift)


def _nod(clock: _Clock) -> None:
    """The user's backchannels, each somewhere in a turn of the assistant where the user is silent."""
    for nod in clock.row.segments:
        if nod.kind == "turn" or nod.speaker != "user":
            continue
        length = nod.end - nod.start
        heard = [(s.start, s.end) for s in clock.segments if s.speaker == "user"]
        rooms = []
        for turn in clock.segments:
            if turn.speaker == "assistant" and turn.kind == "turn":
                end = min([turn.end, *(start for start, _ in heard if start > turn.start)]) - length - _NOD_MARGIN
                if end > turn.start + _NOD_MARGIN:
                    rooms.append((turn.start + _NOD_MARGIN, end))
        if rooms:
            weight = np.array([end - start for start, end in rooms], float)
            start, end = rooms[int(clock.rng.choice(len(rooms), p=weight / weight.sum()))]
            at = int(clock.rng.integers(start, end))
            if all(at + length + _NOD_MARGIN < a or at > b + _NOD_MARGIN for a, b in heard):
                clock.user(nod, at)


def _silent(row: Row, ticks: int) -> npt.NDArray[np.bool_]:
    """The ticks in which nothing of the user is heard, nor was just now."""
    silent_K = np.ones(ticks, np.bool_)
    for segment in row.segments:
        if segment.speaker == "user":
            silent_K[segment.start // FRAME_SAMPLES : (segment.end + LATE) // FRAME_SAMPLES + 1 + OVER] = False
    return silent_K


def _spliced(clock: _Clock, speech_KD: Vectors, silent_K: npt.NDArray[np.bool_], ticks: int) -> Vectors:
    """Silence, from the conversation's beginning as long as it was, and the runs on it in order of time."""
    silence_KD = speech_KD[silent_K]
    made_KD = silence_KD[(int(clock.rng.integers(len(silence_KD))) + np.arange(ticks)) % len(silence_KD)]
    lead = int(np.argmin(silent_K)) if not silent_K.all() else len(silent_K)
    lead = min(lead, ticks)
    made_KD[:lead] = speech_KD[:lead]
    for first, last, to in sorted(clock.moved, key=lambda move: move[2]):
        part_KD = speech_KD[first : min(last, len(speech_KD))][: max(0, ticks - to)]
        made_KD[to : to + len(part_KD)] = part_KD
    return made_KD


def _whole(segment: Segment) -> int:
    """Samples of a turn that nobody cuts; of one that was cut before a word was over, those there are."""
    return segment.whole or segment.end - segment.start
