"""The engine's work, without threads: one call of ``once`` does one piece, the most urgent there is.

    urgent, in the order they came   ticks (those that wait together are one batch), forks, closing, verdicts
    else                             one step of all drafts
    else                             one step of transcriptions: of all that write, or a chunk that one of them reads

So a tick waits for one step at most. A piece that fails tells those whose piece it was, and no others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor

from trainer.firing import Seen
from trainer.model.fastpath import FastPath
from trainer.model.seeing import seen
from trainer.model.tower import TowerState
from trainer.runtime.engine.drafts import MOST, Draft, Drafting, Opener, scalars
from trainer.runtime.engine.hearing import ROOM, Heard, Transcription, inputs
from trainer.runtime.engine.model import Model, Weights
from trainer.runtime.engine.noting import written


class Full(RuntimeError):
    """All rows are taken."""


class Closed(RuntimeError):
    """The engine has been stopped, or the row closed."""


@dataclass(frozen=True)
class Tick:
    """2,560 samples for a row, and the token that it is told of the tick before."""

    row: int
    samples_N: Tensor
    token: int
    tell: Callable[[Seen | BaseException], None]


@dataclass(frozen=True)
class Call:
    """Something to be done between ticks."""

    do: Callable[[], None]
    tell: Callable[[BaseException], None]


class Work:
    """State of all rows and what waits to be done. ``once`` and what it calls run in one thread; the rest in any."""

    def __init__(self, fast: FastPath, sessions: int, drafts: int, context_ticks: int, weights: Weights) -> None:
        self.fast, self.context = fast, context_ticks
        self.sessions = sessions
        self._lock = Lock()
        self._urgent: deque[Tick | Call] = deque()
        with torch.inference_mode():
            self.model = Model(fast, weights)
            self.model.check()
            self.rows = self.model.rows(sessions + drafts, context_ticks + MOST)
            self._pages = self.model.rows(sessions, ROOM)
            self._silence_D = torch.zeros(self.model.width, dtype=self.model.dtype, device=self.model.device)
            self._towers: list[TowerState] = [self.model.towers.start() for _ in range(sessions)]
            self._heard = [Heard(self._silence_D) for _ in range(sessions)]
        self._free_rows = list(range(sessions + drafts - 1, sessions - 1, -1))
        self._free_pages = list(range(sessions - 1, -1, -1))
        self._drafts: list[tuple[int, Draft]] = []
        """With the row each was forked from."""
        self._waiting: deque[Transcription] = deque()
        self._writing: list[Transcription] = []

    # ---- in any thread ------------------------------------------------------------------------------------------

    def ask(self, piece: Tick | Call) -> None:
        """Puts urgent work at the end of the line."""
        with self._lock:
            self._urgent.append(piece)

    def begin(self, row: int) -> Call:
        """The row as new; whatever was drafted or transcribed of it is dropped."""

        def do() -> None:
            self.rows.clear(row)
            self._towers[row] = self.model.towers.start()
            self._heard[row].clear()
            over = [draft for source, draft in self._drafts if source == row]
            over += [one for one in [*self._waiting, *self._writing] if one.of == row]
            for one in over:
                one.dropped = True
                one.tell(Closed(f"row {row} has been closed"))

        return Call(do, lambda _: None)

    def fork(
        self, row: int, opener: Opener, words: int | None, tell: Callable[[Drafting | BaseException], None]
    ) -> tuple[Draft, Call]:
        """A draft that sets out from where the row is when its turn comes. Full where no row is left for it."""
        with self._lock:
            if not self._free_rows:
                raise Full("every row for drafts is taken")
            into = self._free_rows.pop()
        draft = Draft(into, getattr(self.model.tokens, opener), words, tell)

        def do() -> None:
            began = time.perf_counter()
            self.rows.fork(row, into)
            draft.fork_ms = 1000 * (time.perf_counter() - began)
            self._drafts.append((row, draft))

        return draft, Call(do, tell)

    def transcribe(
        self, row: int, first: int, ticks: int, tell: Callable[[list[int] | BaseException], None]
    ) -> tuple[Transcription, Call]:
        """Writing down what the row has heard in some ticks. It is told the tokens."""
        one = Transcription(row, self._silence_D, tell)

        def do() -> None:
            heard_KD = self._heard[row].between(first, ticks)
            if not len(heard_KD):
                tell([])
                return
            if self.model.notes:
                logits_KV = self.model.noted(heard_KD).float()
                tell(written(logits_KV, self.model.tokens.ids, lambda token: self.fast.decode([token])))
                return
            one.unread_QD = inputs(heard_KD, self.model.special_D, self.model.embed([self.model.tokens.bos])[0])
            self._waiting.append(one)

        return one, Call(do, tell)

    # ---- in the thread that owns the model ----------------------------------------------------------------------

    @torch.inference_mode()
    def once(self) -> bool:
        """Does the most urgent piece of work; False where there is none."""
        ticks, call = self._next()
        if call is not None:
            _try(call.do, [call.tell])
        elif ticks:
            _try(lambda: self._tick(ticks), [tick.tell for tick in ticks])
        elif self._some_drafts():
            drafts = [draft for _, draft in self._drafts]
            if not _try(lambda: self._draft(drafts), [draft.tell for draft in drafts]):
                self._end_drafts(drafts)
        elif self._some_writing():
            self._write_or_read()
        else:
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """Tells everybody who waits."""
        with self._lock:
            waiting = [piece.tell for piece in self._urgent]
            self._urgent.clear()
        waiting += [draft.tell for _, draft in self._drafts]
        waiting += [one.tell for one in [*self._waiting, *self._writing]]
        self._end_drafts([draft for _, draft in self._drafts])
        self._waiting.clear()
        self._writing.clear()
        for tell in waiting:
            tell(error)

    def _next(self) -> tuple[list[Tick], Call | None]:
        """The ticks at the head of the line, of different rows; or the call there."""
        ticks: list[Tick] = []
        with self._lock:
            while self._urgent:
                head = self._urgent[0]
                if isinstance(head, Call):
                    return (ticks, None) if ticks else ([], self._call())
                if any(head.row == tick.row for tick in ticks):
                    break
                ticks.append(head)
                self._urgent.popleft()
        return ticks, None

    def _call(self) -> Call:
        call = self._urgent.popleft()
        assert isinstance(call, Call)
        return call

    def _tick(self, ticks: list[Tick]) -> None:
        at = [tick.row for tick in ticks]
        samples_BN = torch.stack([tick.samples_N for tick in ticks])
        speech_BD, after = self.model.hear(samples_BN, [self._towers[row] for row in at])
        for row in at:
            if self.rows.lengths[row] >= self.context:
                self.rows.drop(row, self.context // 4)
        input_BD = speech_BD + self.model.embed([tick.token for tick in ticks])
        hidden_BQD = self.model.advance(self.rows, at, input_BD[:, None])
        found = seen(self.model.logits(hidden_BQD[:, 0]), self.model.tokens)
        kept_BD = hidden_BQD[:, 0] if self.model.notes else speech_BD
        for tick, kept_D, state, says in zip(ticks, kept_BD, after, found, strict=True):
            self._towers[tick.row] = state
            self._heard[tick.row].add(kept_D)
            tick.tell(says)

    def _some_drafts(self) -> bool:
        self._end_drafts([draft for _, draft in self._drafts if draft.dropped])
        return bool(self._drafts)

    def _draft(self, drafts: list[Draft]) -> None:
        input_BD = self._silence_D + self.model.embed([draft.token for draft in drafts])
        hidden_BD = self.model.advance(self.rows, [draft.row for draft in drafts], input_BD[:, None])[:, 0]
        logits_BV = self.model.logits(hidden_BD)
        token_B = logits_BV.argmax(-1)
        numbers_B3 = scalars(logits_BV, token_B).cpu()
        half_BD = hidden_BD.half().cpu()
        for draft, token, hidden_D, three in zip(drafts, token_B.tolist(), half_BD, numbers_B3, strict=True):
            if draft.add(token, hidden_D, three, self.fast):
                self._end_drafts([draft])

    def _end_drafts(self, over: list[Draft]) -> None:
        ended = [draft for _, draft in self._drafts if any(draft is one for one in over)]
        self._drafts = [pair for pair in self._drafts if not any(pair[1] is one for one in over)]
        with self._lock:
            self._free_rows += [draft.row for draft in ended]

    def _some_writing(self) -> bool:
        for one in [one for one in self._writing if one.dropped]:
            self._end_writing(one)
        self._waiting = deque(one for one in self._waiting if not one.dropped)
        while self._waiting and self._free_pages:
            one = self._waiting.popleft()
            one.row = self._free_pages.pop()
            self._pages.clear(one.row)
            self._writing.append(one)
        return bool(self._writing)

    def _write_or_read(self) -> None:
        """Those that write, then the oldest that still reads; each in turn."""
        writing = [one for one in self._writing if not len(one.unread_QD)]
        some = writing or [next(one for one in self._writing if len(one.unread_QD))]
        if not _try(lambda: self._write(some), [one.tell for one in some]):
            for one in some:
                self._end_writing(one)

    def _write(self, some: list[Transcription]) -> None:
        if len(some[0].unread_QD):
            input_BQD = some[0].take()[None]
        else:
            input_BQD = self.model.embed([one.tokens[-1] for one in some])[:, None]
        hidden_BD = self.model.advance(self._pages, [one.row for one in some], input_BQD)[:, -1]
        if len(some[0].unread_QD):
            return
        chosen = self.model.logits(hidden_BD).argmax(-1).tolist()
        for one, token in zip(some, chosen, strict=True):
            if one.add(token, self.model.tokens.ids):
                self._end_writing(one)

    def _end_writing(self, one: Transcription) -> None:
        if any(other is one for other in self._writing):
            self._writing = [other for other in self._writing if other is not one]
            self._free_pages.append(one.row)


def _try(do: Callable[[], None], tell: list[Callable[[BaseException], None]]) -> bool:
    """Whether it went well. An error goes to those who wait for the result: the engine serves others as well."""
    try:
        do()
    except Exception as error:
        for one in tell:
            one(error)
        return False
    return True
