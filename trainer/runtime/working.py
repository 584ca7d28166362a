"""Does what the relay asks for: drafts, verdicts, transcripts, answers and speech, each as a task of its response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from datagen.core.units import SAMPLE_RATE
from trainer.runtime.answering._base import SlowPathError
from trainer.runtime.events import (
    Action,
    Ask,
    Cancelled,
    Draft,
    Drafted,
    End,
    Judge,
    Judged,
    Kind,
    Played,
    Say,
    SlowEnded,
    SlowFailed,
    SlowText,
    Stop,
    Transcribe,
    Transcribed,
    UserSaid,
)
from trainer.runtime.response import Response
from trainer.runtime.speaking._base import SpeakingError, Utterance
from trainer.runtime.user import one_line

if TYPE_CHECKING:
    from trainer.runtime.session import Session


class Working:
    """Of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks: set[asyncio.Task[None]] = set()

    def tasks(self) -> list[asyncio.Task[None]]:
        """All that are under way, told to end."""
        for task in self._tasks:
            task.cancel()
        return list(self._tasks)

    def do(self, action: Action) -> None:
        """One action of the relay."""
        match action:
            case Draft(turn, kind, words):
                self._fork(self._of(turn, kind), words)
            case Judge(turn):
                response = self._of(turn)
                self._start(response, self._judge(response))
            case Transcribe(turn):
                response = self._of(turn)
                self._start(None, self._transcribe(response, *self._session.user.take()))
            case Ask(turn, prefix, user):
                response = self._of(turn)
                self._start(response, self._ask(response, prefix, user))
            case Say():
                self._say(self._of(action.turn), action)
            case Stop(turn):
                self._of(turn).stop()
                self._session.trace("stop", turn)
            case End():
                self._session.end(action)

    def _of(self, turn: int, kind: Kind = "turn") -> Response:
        """The response under way, begun where this is the first that is asked for it."""
        session = self._session
        if session.response is not None and session.response.turn == turn:
            return session.response
        response = session.begin(turn, kind)
        self._start(response, response.pace(lambda: session.happen(Played(turn))))
        return response

    def _start(self, response: Response | None, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._over(response, done))
        if response is not None:
            response.tasks.add(task)
            task.add_done_callback(response.tasks.discard)

    def _over(self, response: Response | None, task: asyncio.Task[None]) -> None:
        """A task that broke would leave its response unfinished for ever: it is told, and the response is ended."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._session.failed("internal_error", f"a part of the session broke: {type(error).__name__}: {error}")
            if response in (None, self._session.response):
                self._session.happen(Cancelled())

    # ---- the fast path -----------------------------------------------------------------------------------------

    def _fork(self, response: Response, words: int | None) -> None:
        """The fork is made now, before the next tick; the draft comes from a task."""
        session = self._session
        try:
            drafts = session.parts.engine.draft(session.row, "bos" if response.kind == "turn" else "boc", words)
        except RuntimeError as error:
            self._start(response, self._undrafted(response, str(error)))
            return
        self._start(response, self._draft(response, drafts, growing=words is None))

    async def _undrafted(self, response: Response, reason: str) -> None:
        self._session.trace("draft", response.turn, text="", error=reason)
        self._session.happen(Drafted(response.turn, "", True))

    async def _draft(self, response: Response, drafts: Any, growing: bool) -> None:
        session, last, forked = self._session, None, False
        try:
            async for last in drafts:
                if not forked:
                    session.trace("fork", response.turn, ms=round(last.fork_ms, 3))
                forked = True
                if len(last.text.split()) <= session.parts.words:
                    response.marks.drafted = session.now
                if growing and not last.last:
                    session.happen(Drafted(response.turn, last.text, False))
        except (ValueError, RuntimeError, OSError) as error:
            await self._undrafted(response, str(error))
            return
        response.draft = last
        text = last.text if last is not None else ""
        took = response.marks.since("drafted")
        session.trace("draft", response.turn, text=text, ms=None if took is None else round(took, 3))
        session.happen(Drafted(response.turn, text, growing or last is None or last.ended))

    async def _judge(self, response: Response) -> None:
        session = self._session
        commit, probability = True, 1.0
        if session.parts.gated:
            commit, probability = await self._decided(response)
        response.marks.judged = session.now
        response.commit, response.probability = commit, probability
        session.trace(
            "verdict",
            response.turn,
            commit=commit,
            probability=round(probability, 4),
            threshold=session.parts.threshold,
        )
        session.happen(Judged(response.turn, commit, probability))

    async def _decided(self, response: Response) -> tuple[bool, float]:
        """The verifier's decision and probability; one that breaks lets nothing through."""
        try:
            decision = await self._session.parts.engine.judge(response.draft)
        except (ValueError, RuntimeError) as error:
            self._session.trace("verdict", response.turn, commit=False, error=str(error))
            return False, 0.0
        return decision.commit, decision.probability

    # ---- the slow path -----------------------------------------------------------------------------------------

    async def _transcribe(self, response: Response, first: int, pcm: Any) -> None:
        """Goes on after a barge-in: what the user said belongs into the history."""
        session = self._session
        typed, session.user.typed = session.user.typed, ""
        item, seconds = session.user.last_item if not typed else None, len(pcm) / SAMPLE_RATE
        try:
            text = typed or one_line(await self._recognised(first, pcm))
        except (SlowPathError, ValueError, RuntimeError, OSError) as error:
            session.trace("transcript", response.turn, text="", error=str(error))
            if item:
                session.told.put_nowait(UserSaid(item, None, seconds))
            session.happen(SlowFailed(response.turn, f"the recogniser failed: {error}"))
            return
        response.marks.transcribed = session.now
        if item:
            session.said(item, text)
            session.told.put_nowait(UserSaid(item, text, seconds))
        session.trace("transcript", response.turn, text=text)
        session.happen(Transcribed(response.turn, text))

    async def _recognised(self, first: int, pcm: Any) -> str:
        session = self._session
        if not len(pcm):
            return ""
        language = session.settings.language or session.parts.language
        return await session.hearing.transcribe(pcm, language, first_tick=first)

    async def _ask(self, response: Response, prefix: str, user: str) -> None:
        session = self._session
        session.trace("asked", response.turn, prefix=prefix)
        instructions = " ".join(filter(None, [session.settings.instructions, session.asked_for]))
        session.asked_for = ""
        try:
            async with aclosing(session.parts.answerer.answer(session.past(), user, prefix, instructions)) as pieces:
                async for piece in pieces:
                    self._piece(response, piece)
        except SlowPathError as error:
            session.happen(SlowFailed(response.turn, str(error)))
            return
        session.happen(SlowEnded(response.turn))

    def _piece(self, response: Response, piece: str) -> None:
        session, marks = self._session, response.marks
        if marks.slow_text is None:
            marks.slow_text = session.now
            session.trace("slow_first", response.turn, ms=marks.since("slow_text"))
        if response.slow_words < session.parts.words:
            marks.slow_words = session.now
        response.slow_words += len(piece.split())
        session.trace("slow_text", response.turn, text=piece)
        session.happen(SlowText(response.turn, piece))

    # ---- speech ------------------------------------------------------------------------------------------------

    def _say(self, response: Response, action: Say) -> None:
        session, parts = self._session, self._session.parts
        written = action.source == "fast" or session.follow == "text"
        if written and action.text:
            first = not response.buffer.words
            ids = parts.encode(action.text if first else " " + action.text)
            session.following.write(ids, last=action.last or (session.follow == "hold" and session.mode == "relay"))
        elif action.last and session.follow == "text":
            session.following.write((), last=True)
        begins = response.utterance is None
        try:
            response.say(self._utterance, action.text, action.source, action.last)
        except (ValueError, SpeakingError) as error:
            self._speechless(str(error))
            return
        if begins:
            self._start(response, self._speak(response))

    def _utterance(self, seed: int) -> Utterance:
        session, parts = self._session, self._session.parts
        return parts.speaker.begin(
            session.voice, seed, clock=session.clock if parts.inline else time.monotonic, inline=parts.inline
        )

    async def _speak(self, response: Response) -> None:
        try:
            await response.synthesized()
        except SpeakingError as error:
            self._speechless(str(error))

    def _speechless(self, reason: str) -> None:
        """Nothing can be said: the response ends with what was heard of it."""
        self._session.failed("speech_failed", reason)
        self._session.happen(Cancelled())
