"""A session that follows the server's interface by a script: speech by loudness, answers of tones, one per word.

It hears loud audio as the user's turn and answers 160 ms after its end with the words of ``ANSWER``, each a tone of
``WORD`` samples, played in real time divided by ``pace``. A loud user stops the answer. Silence does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trainer.runtime.events import (
    Audio,
    Began,
    Ended,
    Failed,
    Mode,
    Outcome,
    Told,
    Trace,
    UserBegan,
    UserEnded,
    UserSaid,
    Word,
)
from trainer.runtime.server._session import Full
from trainer.runtime.settings import Settings

RATE = 16_000
WORD = 3_200
"""Samples of a word: 200 ms."""
ANSWER = ["Sure", "I", "can", "help", "you", "with", "that", "today", "if", "you", "like"]
_LOUD = 1_000
_PAUSE = 2_560


@dataclass
class ScriptedSession:
    """One conversation; ``log`` names the calls it got."""

    mode: Mode = "relay"
    settings: Settings = field(default_factory=Settings)
    pace: float = 1.0
    words: list[str] = field(default_factory=lambda: list(ANSWER))
    told: asyncio.Queue[Told] = field(default_factory=asyncio.Queue)
    log: list[str] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._samples = self._quiet = 0
        self._user: str | None = None
        self._turn = -1
        self._items = 0
        self._answer: asyncio.Task[None] | None = None
        self._heard: dict[str, list[str]] = {}
        self._texts: list[tuple[str, str]] = []

    def configure(self, settings: Settings) -> None:
        """Take settings."""
        self.settings = settings
        self.log.append("configure")

    def hear(self, pcm: npt.NDArray[np.int16]) -> None:
        """Follow the loudness in blocks of 20 ms."""
        for block in np.array_split(pcm, max(1, len(pcm) // 320)):
            self._samples += len(block)
            if len(block) and np.abs(block).max() > _LOUD:
                self._quiet = 0
                if self._user is None:
                    self._begin_user()
            elif self._user is not None:
                self._quiet += len(block)
                if self._quiet >= _PAUSE:
                    self._end_user()

    def request(self, instructions: str = "") -> None:
        """Answer now."""
        self.log.append(f"request {instructions}".strip())
        self._respond()

    def cancel(self) -> None:
        """Stop the answer."""
        self.log.append("cancel")
        self._stop("cancelled")

    def truncate(self, item: str, ms: float) -> str:
        """Keep the words that began before ``ms``."""
        self.log.append(f"truncate {ms:g}")
        words = self._heard[item]
        del words[-(-int(ms * RATE / 1000) // WORD) :]
        return " ".join(words)

    def user_text(self, text: str) -> None:
        """Note a written turn."""
        if len(text) > 2_000:
            raise ValueError("text has more than 2000 characters")
        self._texts.append(("user", text))

    def assistant_text(self, text: str) -> None:
        """Note a written turn."""
        self._texts.append(("assistant", text))

    def history(self) -> list[tuple[str, str]]:
        """What was said and written."""
        return self._texts + [("assistant", " ".join(words)) for words in self._heard.values()]

    async def close(self) -> None:
        """End the answer."""
        self.closed = True
        if self._answer is not None:
            self._answer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._answer

    def backchannel(self) -> None:
        """Say a short tone that is no response."""
        turn, item = self._next("backchannel")
        self.told.put_nowait(Word(turn, "mhm", 0.0, "fast"))
        self.told.put_nowait(Audio(turn, _tone(WORD)))
        self._tell_end(turn, item, "backchannel", "completed", ["mhm"])

    def flood(self, seconds: int) -> None:
        """Send a response all at once, in pieces of a second."""
        turn, item = self._next("turn")
        for _ in range(seconds):
            self.told.put_nowait(Audio(turn, _tone(RATE)))
        self._heard[item] = []

    def break_down(self) -> None:
        """Tell of a fault."""
        self.told.put_nowait(Failed("recogniser_failed", "the recogniser broke"))

    @property
    def _now(self) -> float:
        return self._samples * 1000 / RATE

    def _begin_user(self) -> None:
        self._items += 1
        self._user, self._quiet = f"user{self._items}", 0
        self.told.put_nowait(UserBegan(self._user, self._now))
        if self.settings.interrupt:
            self._stop("interrupted")

    def _end_user(self) -> None:
        assert self._user is not None
        self.told.put_nowait(UserEnded(self._user, self._now))
        self.told.put_nowait(UserSaid(self._user, "can you help me", 0.5))
        self._user = None
        if self.settings.respond:
            self._respond()

    def _next(self, kind: str) -> tuple[int, str]:
        self._turn += 1
        item = f"answer{self._turn}"
        self.told.put_nowait(Began(self._turn, item, "backchannel" if kind == "backchannel" else "turn", self._now))
        return self._turn, item

    def _respond(self) -> None:
        if self._answer is None or self._answer.done():
            self._answer = asyncio.create_task(self._speak(*self._next("turn")))
            self._outcome: Outcome = "completed"

    def _stop(self, outcome: Outcome) -> None:
        if self._answer is not None and not self._answer.done():
            self._outcome = outcome
            self._answer.cancel()

    async def _speak(self, turn: int, item: str) -> None:
        words = self._heard[item] = []
        try:
            for number, word in enumerate(self.words):
                self.told.put_nowait(Word(turn, word, number * WORD * 1000 / RATE, "fast" if number < 5 else "slow"))
                self.told.put_nowait(Audio(turn, _tone(WORD)))
                words.append(word)
                await asyncio.sleep(WORD / RATE / self.pace)
                self.told.put_nowait(Trace(self._now, "tick", turn, {"lateness_ms": 1.5}))
        except asyncio.CancelledError:
            if self.closed:
                raise
            self._tell_end(turn, item, "turn", self._outcome, words)
        else:
            self._tell_end(turn, item, "turn", "completed", words)

    def _tell_end(self, turn: int, item: str, kind: str, outcome: Outcome, words: list[str]) -> None:
        record = {"mode": self.mode, "onset_ms": 81.0, "margin_ms": 120.0, "committed": True, "fallback": None}
        heard_ms = len(words) * WORD * 1000 / RATE
        what = "backchannel" if kind == "backchannel" else "turn"
        self.told.put_nowait(Ended(turn, item, what, outcome, " ".join(words), heard_ms, record))


class Studio:
    """Makes sessions and keeps them; at most ``places`` at once."""

    def __init__(self, places: int = 1_000, pace: float = 1.0) -> None:
        self.places, self.pace = places, pace
        self.sessions: list[ScriptedSession] = []

    async def __call__(self, mode: Mode, settings: Settings) -> ScriptedSession:
        """A new session. Full where there is no place."""
        if sum(not session.closed for session in self.sessions) >= self.places:
            raise Full("no place")
        self.sessions.append(ScriptedSession(mode, settings, self.pace))
        return self.sessions[-1]


def speech(seconds: float, rate: int = 24_000, level: float = 0.3) -> bytes:
    """PCM16 of a 220 Hz tone; ``level`` 0: silence."""
    times = np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * 220 * times) * level * 32_767).astype("<i2").tobytes()


def _tone(samples: int) -> npt.NDArray[np.int16]:
    return np.frombuffer(speech(samples / RATE, RATE, 0.2), np.int16)
