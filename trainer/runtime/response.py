"""One response on its way: its words, its audio, its playout clock and the tasks that work for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datagen.core.units import SAMPLES_PER_MS
from trainer import timing
from trainer.runtime.buffer import Buffer
from trainer.runtime.events import Audio, Kind, Outcome, Told, Word
from trainer.runtime.metrics import Marks, Record, record
from trainer.runtime.playout import Playout
from trainer.runtime.speaking._base import Utterance

LEAD_MS = 320
"""Audio leaves at most so long before it is heard: enough for a network's jitter, little to throw away at a barge-in
(two ticks; Unmute keeps four frames of 80 ms)."""
_PACE_MS = 40
"""Audio leaves in steps of this size."""

Pcm = npt.NDArray[np.int16]


@dataclass
class Response:
    """Of one session, until it has ended."""

    turn: int
    kind: Kind
    item: str
    marks: Marks
    now: Callable[[], float]
    """The session's clock, ms."""
    tell: Callable[[Told], None]
    trace: Callable[..., None]
    buffer: Buffer = field(default_factory=Buffer)
    playout: Playout = field(default_factory=Playout)
    utterance: Utterance | None = None
    draft: Any = None
    """The engine's last draft, for the verifier."""
    commit: bool | None = None
    probability: float | None = None
    slow_words: int = 0
    """Words that the slow path has given."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    pieces: list[Pcm] = field(default_factory=list)
    """All audio so far, until it has ended."""
    _sent: int = 0
    _told_words: int = 0
    _fresh: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def audible(self) -> bool:
        """Whether something of it has been heard and more will be."""
        return self.playout.began_ms is not None and not self.playout.over(self.now())

    @property
    def heard_ms(self) -> float:
        """Of its audio."""
        return self.playout.position(self.now()) / SAMPLES_PER_MS

    def say(self, begin: Callable[[int], Utterance], text: str, source: Literal["fast", "slow"], last: bool) -> None:
        """More of it is to be said; the first call has ``begin`` make the utterance (of a seed)."""
        if text:
            self.buffer = self.buffer.said(text, source)
        if self.utterance is None:
            self.utterance = begin(self.turn)
        self.utterance.push(text, last)

    def stop(self) -> None:
        """Nothing more is heard of it."""
        self.playout = self.playout.stopped(self.now())
        self.buffer = self.buffer.stopped(self.playout.available)
        if self.utterance is not None:
            self.utterance.cancel()
        self.leave()

    def leave(self) -> None:
        """Nothing more is done for it."""
        for task in self.tasks - {asyncio.current_task()}:
            task.cancel()
        # The history keeps its words; an hour's audio and drafts are not needed for that.
        self.pieces, self.draft, self.utterance = [], None, None

    def record(self, mode: str, outcome: Outcome, reason: str = "") -> Record:
        """What it took (``trainer.runtime.metrics``)."""
        return record(
            self.marks,
            mode=mode,
            outcome=outcome,
            commit=self.commit,
            probability=self.probability,
            underrun_ms=self.playout.underrun_ms,
            underruns=self.playout.underruns,
            reason=reason,
        )

    async def synthesized(self) -> None:
        """Takes in the utterance's audio as it comes. Raises SpeakingError."""
        assert self.utterance is not None
        async for chunk in self.utterance:
            now = self.now()
            if self.marks.audio is None and len(chunk.pcm):
                self.marks.audio = now
            self._mark_seam(now, len(chunk.words))
            self.buffer = self.buffer.synthesized(len(chunk.pcm), chunk.words)
            self._play(chunk.pcm, now)
            self._fresh.set()
        self.playout = self.playout.closed()
        self._fresh.set()

    def _play(self, pcm: Pcm, now: float) -> None:
        before, self.playout = self.playout, self.playout.added(len(pcm), now)
        self.pieces.append(pcm)
        if (late_ms := self.playout.underrun_ms - before.underrun_ms) > 0:
            self.trace("underrun", self.turn, ms=round(late_ms, 3))
        if len(pcm) and (before.began_ms is None or late_ms > 0):
            self.trace("audio", self.turn, sample=float(before.available))

    def _mark_seam(self, now: float, words: int) -> None:
        """The first chunk with a word of the slow path, and when the words before it will have been heard."""
        done = len(self.buffer.spans)
        new = [word.source for word in self.buffer.words[done : done + words]]
        if self.marks.slow_audio is None and "slow" in new:
            self.marks.slow_audio = now
            if self.buffer.words[0].source == "fast":
                self.marks.prefix_ends = self.playout.ends_ms
                margin = timing.margin_ms(self.playout.ends_ms, now)
                self.trace("slow_audio", self.turn, margin_ms=round(margin, 3))

    async def pace(self, played: Callable[[], None]) -> None:
        """Hands out words and audio in time, at most LEAD_MS ahead; calls ``played`` when all has been heard."""
        while not self.playout.over(self.now()):
            position = self.playout.position(self.now())
            until = min(self.playout.available, position + LEAD_MS * SAMPLES_PER_MS)
            if until > self._sent:
                self._hand_out(until)
            self._fresh.clear()
            wait_ms = _PACE_MS if self.playout.available > self._sent else self._idle_ms()
            try:
                await asyncio.wait_for(self._fresh.wait(), None if wait_ms is None else wait_ms / 1000)
            except TimeoutError:
                continue
        self._hand_out(self.playout.available)
        played()

    def _idle_ms(self) -> float | None:
        """Until the end where all is sent, for ever where more audio has to come first."""
        return max(1.0, self.playout.ends_ms - self.now()) if self.playout.whole else None

    def _hand_out(self, until: int) -> None:
        words = zip(self.buffer.words, self.buffer.spans, strict=False)
        for word, (start, _) in list(words)[self._told_words :]:
            if start >= until:
                break
            self.tell(Word(self.turn, word.text, start / SAMPLES_PER_MS, word.source))
            self._told_words += 1
        if until > self._sent:
            self.tell(Audio(self.turn, self._cut(self._sent, until)))
            self._sent = until

    def _cut(self, start: int, end: int) -> Pcm:
        """Samples of its audio."""
        whole = self.pieces[0] if len(self.pieces) == 1 else np.concatenate(self.pieces)
        self.pieces = [whole]
        return whole[start:end].copy()
