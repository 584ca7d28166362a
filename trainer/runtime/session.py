"""One conversation, live: audio in, what is heard and said out. It does what the relay decides and keeps the clock.

hear(pcm) ─► ticks ─► engine ─► listener ─► relay.next ─► actions ─► draft, verify, recognise, answer, speak
                                               ▲                          │
                                               └────── their events ──────┘        told: what listeners learn
"""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from datagen.core.types import Turn
from datagen.core.units import FRAME_SAMPLES
from trainer.runtime import events, relay
from trainer.runtime.endpointing._base import Endpointer
from trainer.runtime.events import Event, Kind, Mode, Told, Trace
from trainer.runtime.following import Follow, Following
from trainer.runtime.items import Item, turns
from trainer.runtime.listening import Listener, Tick
from trainer.runtime.metrics import Marks
from trainer.runtime.parts import Parts
from trainer.runtime.response import Response
from trainer.runtime.settings import Settings
from trainer.runtime.user import User, one_line
from trainer.runtime.working import Working

Pcm = npt.NDArray[np.int16]


class Session:
    """Made by ``Relay.session``, inside a running event loop. ``told`` is where everything comes out."""

    def __init__(
        self,
        parts: Parts,
        mode: Mode,
        listener: Listener,
        voicing: Endpointer,
        follow: Follow = "text",
        name: str = "",
    ) -> None:
        """``voicing`` says when the user's voice is heard, for the client's sake; ``listener`` decides.

        ``name`` is part of all ids: a client that comes back brings those of an earlier session.
        """
        self.told: asyncio.Queue[Told] = asyncio.Queue()
        self.parts, self.mode, self.follow = parts, mode, follow
        self.row = parts.engine.open()
        self.voice = parts.voice
        self.asked_for = ""
        self.following = Following(parts.tokens, parts.hold)
        self.user = User()
        self.settings = Settings()
        self.items: list[Item] = []
        self._prefix = f"item_{name}_" if name else "item_"
        self.hearing = parts.hearing(lambda first, ticks: parts.engine.transcribe(self.row, first, ticks))
        self._listener, self._voicing = listener, voicing
        self._state = relay.start(mode, parts.words)
        self._working = Working(self)
        self._response: Response | None = None
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._rest = np.zeros(0, np.int16)
        self._ticks: asyncio.Queue[tuple[Pcm, float] | None] = asyncio.Queue()
        """What is to be heard, and between it the place of a request."""
        self._requested = False
        self._token = parts.tokens.sil
        self._closed = False
        self._live = asyncio.create_task(self._run())

    # ---- what a client can do ----------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Milliseconds since the session began."""
        return 1000 * (self._loop.time() - self._zero)

    def clock(self) -> float:
        """Seconds, for those who count so."""
        return self._loop.time()

    @property
    def behind(self) -> int:
        """Ticks of audio that wait to be heard."""
        return self._ticks.qsize()

    def configure(self, settings: Settings) -> None:
        """What the client asks for; holds from the next turn on."""
        self.voice = self.parts.cast(settings.voice)
        self.settings = settings

    def hear(self, pcm: Pcm) -> None:
        """The user's audio, mono, 16 kHz, any length. It waits until it is its turn; ``behind`` says how much does."""
        self._rest = np.concatenate([self._rest, pcm])
        whole = len(self._rest) // FRAME_SAMPLES * FRAME_SAMPLES
        for chunk in self._rest[:whole].reshape(-1, FRAME_SAMPLES):
            self._ticks.put_nowait((chunk, self.now))
        self._rest = self._rest[whole:]

    def request(self, instructions: str = "") -> None:
        """The client wants a response to all it has sent so far, by these instructions."""
        self.asked_for = instructions
        if not self.settings.respond and len(self._rest):  # the user's turn ends here: its last syllable counts
            self.hear(np.zeros(FRAME_SAMPLES - len(self._rest), np.int16))
        self._requested = True
        self._ticks.put_nowait(None)

    def cancel(self) -> None:
        """The client stops the response that is under way or asked for, if any."""
        self._requested = False
        self.happen(events.Cancelled())

    def user_text(self, text: str) -> None:
        """The user writes instead of speaking. ValueError for nothing."""
        if not (words := one_line(text)):
            raise ValueError("the user's text is empty")
        self.user.typed = " ".join(filter(None, [self.user.typed, words]))
        self.user.typed_item = self.add_item("user", words).id

    def assistant_text(self, text: str) -> None:
        """An earlier turn of the assistant: a client that comes back replays its items."""
        if words := one_line(text):
            self.add_item("assistant", words)

    def truncate(self, item: str, ms: float) -> str:
        """The client heard only so much of a response; returns its words. ValueError where there is no such one.

        One that is under way is stopped: what would follow is not heard either.
        """
        found = next((i for i in self.items if i.id == item and i.response is not None), None)
        if found is None:
            raise ValueError(f"item {item!r} is no response of this session")
        found.cut_ms = min(found.cut_ms, max(ms, 0.0))
        found.text = found.heard()
        if found.response is self._response:
            self.cancel()
        return found.text

    def history(self) -> list[Turn]:
        """What has been said so far, the assistant's words as they were heard."""
        return turns(self.items)

    def past(self) -> list[Turn]:
        """The history before the turn that is answered now."""
        current = {self.user.last_item, self._response.item if self._response else None}
        return turns(item for item in self.items if item.id not in current)

    def said(self, item: str, text: str) -> None:
        """What the recogniser made of a turn of the user."""
        next(i for i in self.items if i.id == item).text = text

    async def close(self) -> None:
        """Ends the session and all its work."""
        if self._closed:
            return
        self._closed = True
        self._live.cancel()
        if self._response is not None:
            self._response.stop()
        tasks = [self._live, *self._working.tasks()]
        await asyncio.gather(*tasks, return_exceptions=True)
        self.parts.engine.close(self.row)

    # ---- what the parts report ---------------------------------------------------------------------------------

    @property
    def response(self) -> Response | None:
        """That which is under way."""
        return self._response

    def happen(self, event: Event) -> None:
        """Something has happened; does what the relay makes of it."""
        if self._closed:
            return
        self._state, actions = relay.next(self._state, event)
        for action in actions:
            self._working.do(action)

    def failed(self, code: str, message: str, fatal: bool = False) -> None:
        """A part broke."""
        self.told.put_nowait(events.Failed(code, message, fatal))

    def trace(self, what: str, turn: int | None = None, **data: float | str | bool | None) -> None:
        """Tells those who watch."""
        self.told.put_nowait(Trace(round(self.now, 3), what, turn, data))

    def begin(self, turn: int, kind: Kind) -> Response:
        """A response begins: the user's turn is over, and what follows is said by the assistant."""
        if kind == "turn" and (ended := self.user.end()):
            self.told.put_nowait(events.UserEnded(ended, self.now))
        item = self.add_item("assistant", "")
        made = Response(turn, kind, item.id, Marks(self.now), lambda: self.now, self.told.put_nowait, self.trace)
        item.response = self._response = made
        self.told.put_nowait(events.Began(turn, item.id, kind, self.now))
        self.following.begin("bos" if kind == "turn" else "boc")
        return made

    def end(self, action: events.End) -> None:
        """A response is over."""
        response = self._response
        if response is None or response.turn != action.turn:
            return
        response.leave()
        item = next(i for i in self.items if i.id == response.item)
        item.text = item.heard()
        stopped = action.outcome in ("interrupted", "cancelled")
        (self.following.stop if stopped and response.kind == "turn" else self.following.over)()
        record = response.record(self.mode, action.outcome, action.reason)
        self.trace("end", response.turn, outcome=action.outcome, heard=item.text)
        self.told.put_nowait(
            events.Ended(response.turn, item.id, response.kind, action.outcome, item.text, response.heard_ms, record)
        )
        self._response = None

    def add_item(self, speaker: str, text: str) -> Item:
        """Something is said; ids rise."""
        item = Item(f"{self._prefix}{len(self.items):04d}", speaker, text)
        self.items.append(item)
        return item

    # ---- the ticks ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            heard = await self._ticks.get()
            if heard is None:
                wanted, self._requested = self._requested, False
                if wanted:
                    if not self.settings.respond and self.user.unnoticed:
                        self._user_begins()
                    self.happen(events.Requested())
                continue
            try:
                await self._tick(*heard)
            except (ValueError, OSError, RuntimeError) as error:
                self.failed("engine_failed", f"the model failed in a tick: {error}", fatal=True)
                return

    async def _tick(self, chunk: Pcm, due: float) -> None:
        samples = chunk.astype(np.float32) / np.float32(32768)
        seen = await self.parts.engine.tick(self.row, samples, self._token)
        late = self.now - due
        self.user.heard(chunk)
        voiced = self._voicing.push(samples)
        response = self._response
        tick = Tick(self.user.ticks - 1, samples, seen, response.kind if response else None)
        fired = self._allowed(self._listener.decide(tick))
        if self.user.voiced(voiced, silent=response is None or not response.audible, yielded=fired == "stp"):
            self._user_begins()
        if fired is not None:
            probability = {"bos": seen.bos, "boc": seen.boc, "stp": seen.stp}[fired]
            self.trace("fired", None, token=fired.upper(), probability=round(probability, 4))
            self.happen(events.Heard(fired))
        self._token = self.following.emit()
        self.trace(
            "tick",
            self._response.turn if self._response else None,
            token=self.parts.name(self._token),
            user_rms=round(float(np.sqrt(np.mean(samples**2))), 5),
            assistant_audible=bool(self._response and self._response.audible),
            lateness_ms=round(late, 3),
        )

    def _user_begins(self) -> None:
        self.user.item = self.add_item("user", "").id
        self.told.put_nowait(events.UserBegan(self.user.item, self.now))

    def _allowed(self, fired: events.Fired | None) -> events.Fired | None:
        """What the client has switched off does not fire."""
        off = (fired == "bos" and not self.settings.respond) or (fired == "stp" and not self.settings.interrupt)
        return None if off else fired
