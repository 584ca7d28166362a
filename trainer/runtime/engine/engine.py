"""The engine: one thread that owns the model, and what asyncio asks of it.

A session has a row. Every 160 ms it brings the samples and the token that its listener has heard of the tick before,
and learns what the model says about the next token; when that is to answer, it forks the row and drafts. ``work`` says
what is done first.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from datagen.core.units import FRAME_SAMPLES
from trainer.firing import Seen
from trainer.model.fastpath import FastPath
from trainer.model.verifier import Decider, Decision
from trainer.prefixes import WORDS, cut, prefix_of
from trainer.runtime.engine.drafts import Draft, Drafting, Opener
from trainer.runtime.engine.mail import Mail
from trainer.runtime.engine.work import Call, Closed, Full, Tick, Work

T = TypeVar("T")

SWITCH_S = 0.0005
"""Seconds that a thread of the process computes before it lets others."""
SHORTEST_CONTEXT = 8
"""Ticks: a quarter of it must be something."""


class Engine:
    """See the module. Its coroutines are called from the threads of event loops, any number of them."""

    def __init__(
        self,
        fast: FastPath,
        decider: Decider | None = None,
        *,
        sessions: int = 8,
        drafts: int = 8,
        context_ticks: int = 2250,
        weights: Literal["float32", "bfloat16", "float16", "int8"] = "float32",
        threads: int = 1,
        inline: bool = False,
    ) -> None:
        """Makes room for all rows and wakes the model up.

        Args:
            fast: the fast path, in evaluation mode; it stays as it is.
            decider: the verifier; without one no draft is committed.
            sessions: rows for conversations.
            drafts: drafts side by side.
            context_ticks: what a conversation remembers; when that is full the oldest quarter goes.
            weights: ``float32``; ``bfloat16`` throughout, for GPUs and CPUs that multiply it; ``float16`` weights in
                sums of float32 (x86); ``int8``: the same, but the speech encoder's blocks in 8 bits.
            threads: of the processor, in one product.
            inline: no thread: work is done by the coroutines that wait for it, as fast as possible.

        ValueError for impossible numbers, a model in training mode, or a form of weights that this machine lacks.
        """
        if min(sessions, drafts, threads) < 1 or context_ticks < SHORTEST_CONTEXT:
            raise ValueError(f"sessions, drafts and threads are at least 1, context_ticks at least {SHORTEST_CONTEXT}")
        if fast.training:
            raise ValueError("the engine needs a model in evaluation mode; call eval() first")
        self._fast, self._decider, self._inline = fast, decider, inline
        self._work = Work(fast, sessions, drafts, context_ticks, weights)
        self._free = list(range(sessions - 1, -1, -1))
        self._open: set[int] = set()
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        if not inline:
            # What lives now lives as long as the engine: collections in the middle of a tick need not look at it.
            gc.collect()
            gc.freeze()
            self._thread = threading.Thread(target=self._run, args=(threads,), name="engine", daemon=True)
            self._thread.start()

    def open(self) -> int:
        """A row of one's own, as new. Full where all are taken."""
        self._check()
        if not self._free:
            raise Full(f"all {self._work.sessions} sessions are taken")
        row = self._free.pop()
        self._open.add(row)
        self._ask(self._work.begin(row))
        return row

    def close(self, row: int) -> None:
        """Gives a row back; what is drafted or transcribed of it ends. Closing twice is as good as once."""
        if row in self._open:
            self._open.remove(row)
            self._free.append(row)
            if not self._stopped:
                self._ask(self._work.begin(row))

    async def tick(self, row: int, samples_N: npt.NDArray[np.float32], token: int) -> Seen:
        """What the model says after the next 160 ms.

        Args:
            row: from ``open``.
            samples_N: 2,560 samples of the user in [-1, 1].
            token: what the listener has heard of the assistant in the tick before; [SIL] at the first.

        ValueError for another number of samples, for samples that are no numbers, and for no token of the model's.
        """
        self._check(row)
        if samples_N.shape != (FRAME_SAMPLES,) or not np.isfinite(samples_N).all():
            raise ValueError(f"samples of shape {samples_N.shape}; a tick has {FRAME_SAMPLES} finite ones")
        if not 0 <= token < self._fast.tokens.vocabulary:
            raise ValueError(f"token {token} is none of the {self._fast.tokens.vocabulary}")
        # A copy: the caller may use its buffer again before the tick's turn comes.
        samples = torch.from_numpy(np.array(samples_N, np.float32))
        mail: Mail[Seen] = Mail(self._inline)
        self._ask(Tick(row, samples, token, mail.tell))
        return await self._got(mail)

    def draft(self, row: int, opener: Opener, words: int | None) -> AsyncIterator[Drafting]:
        """Forks the row as it is after the ticks asked for so far, and drafts; [BOS] or [BOC] is fed first.

        Yields the words so far whenever there are more, and at last once with ``last``. Whoever stops listening
        (``aclose`` or cancellation) ends it. ``words`` None: to the end of the answer. Full where as many drafts as
        there is room for are under way. Ends with Closed where the engine stops or the row is closed.
        """
        self._check(row)
        mail: Mail[Drafting] = Mail(self._inline)
        draft, call = self._work.fork(row, opener, words, mail.tell)
        self._ask(call)
        return self._drafted(draft, mail)

    async def judge(self, drafted: Drafting) -> Decision:
        """The verifier's decision about the first words of a draft, seen as in training (``trainer.prefixes``).

        Without a verifier, and where there is nothing to say, nothing is committed.
        """
        self._check()
        if self._decider is None:
            return Decision(False, 0.0, 0.0)
        mail: Mail[Decision] = Mail(self._inline)
        decider = self._decider
        self._ask(Call(lambda: mail.tell(decided(drafted, self._fast, decider)), mail.tell))
        return await self._got(mail)

    async def transcribe(self, row: int, first_tick: int, ticks: int) -> str:
        """What the user has said in some ticks (0 is the row's first) by the model's own transcription.

        Of ticks that are not there, ahead or longer than 60 s ago, nothing is heard; "" where none is left.
        """
        self._check(row)
        mail: Mail[list[int]] = Mail(self._inline)
        one, call = self._work.transcribe(row, first_tick, ticks, mail.tell)
        self._ask(call)
        try:
            return " ".join(self._fast.decode(await self._got(mail)).split())
        finally:
            one.dropped = True

    def stop(self) -> None:
        """Ends the thread after the step it is at; whoever waits gets Closed. Stopping twice is as good as once."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._work.fail(Closed("the engine has been stopped"))

    async def _drafted(self, draft: Draft, mail: Mail[Drafting]) -> AsyncIterator[Drafting]:
        try:
            while True:
                found = await self._got(mail)
                yield found
                if found.last:
                    return
        finally:
            draft.dropped = True

    async def _got(self, mail: Mail[T]) -> T:
        """The next thing in the mail, or raises it; inline, by doing the work that leads to it."""
        if self._inline:
            # Others that are due as well get in line first.
            await asyncio.sleep(0)
            while mail.empty and self._work.once():
                pass
        return await mail.get()

    def _ask(self, piece: Tick | Call) -> None:
        self._work.ask(piece)
        self._wake.set()

    def _check(self, row: int | None = None) -> None:
        if self._stopped:
            raise Closed("the engine has been stopped")
        if row is not None and row not in self._open:
            raise ValueError(f"row {row} is not open")

    def _run(self, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            while not self._stopped:
                self._wake.clear()
                while not self._stopped and self._work.once():
                    pass
                if not self._stopped:
                    self._wake.wait()
        except BaseException:
            # Nobody waits for a thread that is gone.
            self._stopped = True
            self._work.fail(Closed("the engine has broken down; its thread's error is on standard error"))
            raise


def decided(drafted: Drafting, fast: FastPath, decider: Decider) -> Decision:
    """The verifier about the first words of a draft."""
    spoken = [token for token in drafted.tokens if token not in fast.tokens.ids]
    _, num_tokens = prefix_of(fast.decode(spoken), fast.encode, drafted.words or WORDS)
    kept = cut(drafted.steps, num_tokens)
    return decider.decide(kept.hidden_LD, kept.scalars_L3)
