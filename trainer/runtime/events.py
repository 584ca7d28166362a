"""What happens in a conversation, and what is to be done about it: the words that the runtime's parts speak. Pure.

Times are milliseconds on the session's clock, which starts at 0 with the session; audio positions are samples at
16 kHz from the start of what they belong to. ``turn`` numbers the assistant's responses of a session from 0, turns and
backchannels alike.

    events  ──► relay.next(state, event) ──► state, actions          told: what a listener of the session learns
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["turn", "backchannel"]
Mode = Literal["relay", "s2s", "cascade"]
Fired = Literal["bos", "boc", "stp"]
Outcome = Literal["completed", "interrupted", "cancelled", "failed", "empty"]
"""completed: heard to its end; interrupted: stopped by the user ([STP]); cancelled: by the client; failed: the slow
path gave nothing and nothing was said; empty: there was nothing to say."""


# ---- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """A tick in which a control token fired."""

    fired: Fired


@dataclass(frozen=True)
class Requested:
    """The client asks for a response without waiting for [BOS]."""


@dataclass(frozen=True)
class Drafted:
    """The fast path's first words; ``text`` is empty where it drafts none."""

    turn: int
    text: str
    ended: bool
    """The draft is a whole answer: there is nothing after it."""


@dataclass(frozen=True)
class Judged:
    """The verifier's decision about the draft."""

    turn: int
    commit: bool
    probability: float


@dataclass(frozen=True)
class Transcribed:
    """What the user has said; empty where nothing was understood."""

    turn: int
    text: str


@dataclass(frozen=True)
class SlowText:
    """A piece of the slow path's answer as it comes: any cut, spaces included."""

    turn: int
    text: str


@dataclass(frozen=True)
class SlowEnded:
    """The slow path's answer is complete."""

    turn: int


@dataclass(frozen=True)
class SlowFailed:
    """The recogniser or the slow path broke, hung or was refused."""

    turn: int
    reason: str


@dataclass(frozen=True)
class Played:
    """Everything of a response that will ever be said has been heard."""

    turn: int


@dataclass(frozen=True)
class Cancelled:
    """The client stops the response that is under way."""


Event = Heard | Requested | Drafted | Judged | Transcribed | SlowText | SlowEnded | SlowFailed | Played | Cancelled


# ---- actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draft:
    """Fork the main stream and draft; ``words`` None: to the end of the answer."""

    turn: int
    kind: Kind
    words: int | None


@dataclass(frozen=True)
class Judge:
    """Ask the verifier about the draft of this turn."""

    turn: int


@dataclass(frozen=True)
class Transcribe:
    """Recognise what the user has said since the floor was theirs."""

    turn: int


@dataclass(frozen=True)
class Ask:
    """Ask the slow path to go on after ``prefix`` (the words committed; may be empty), given what the user said."""

    turn: int
    prefix: str
    user: str


@dataclass(frozen=True)
class Say:
    """More of the response, to be synthesised at once; whole words. ``last``: nothing follows."""

    turn: int
    text: str
    source: Literal["fast", "slow"]
    last: bool


@dataclass(frozen=True)
class Stop:
    """End all work for a turn, its audio at once: draft, recogniser, slow path, synthesis."""

    turn: int


@dataclass(frozen=True)
class End:
    """A response is over; what was heard of it goes into the history."""

    turn: int
    outcome: Outcome
    reason: str = ""


Action = Draft | Judge | Transcribe | Ask | Say | Stop | End


# ---- told -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UserBegan:
    """The user speaks; the client should be silent. While the assistant is audible: only once it yields."""

    item: str
    at_ms: float


@dataclass(frozen=True)
class UserEnded:
    """The user's turn is over."""

    item: str
    at_ms: float


@dataclass(frozen=True)
class UserSaid:
    """What the recogniser made of the user's turn; None where it failed."""

    item: str
    text: str | None
    seconds: float


@dataclass(frozen=True)
class Began:
    """A response begins."""

    turn: int
    item: str
    kind: Kind
    at_ms: float


@dataclass(frozen=True)
class Word:
    """A word of a response whose audio is on its way."""

    turn: int
    text: str
    start_ms: float
    """From the start of the response's audio."""
    source: Literal["fast", "slow"]


@dataclass(frozen=True)
class Audio:
    """Audio of a response, in order, at most the pace's lead ahead of being heard."""

    turn: int
    pcm: npt.NDArray[np.int16]


@dataclass(frozen=True)
class Ended:
    """A response is over."""

    turn: int
    item: str
    kind: Kind
    outcome: Outcome
    heard: str
    """The words heard, exactly."""
    heard_ms: float
    record: dict[str, float | str | bool | None]
    """Stages and latencies of the turn (``trainer.runtime.metrics``)."""


@dataclass(frozen=True)
class Trace:
    """An entry of the session's log, for those who watch: ticks, tokens, forks, verdicts."""

    at_ms: float
    what: str
    turn: int | None
    data: dict[str, float | str | bool | None]


@dataclass(frozen=True)
class Failed:
    """A part of the session broke."""

    code: str
    message: str
    fatal: bool = False
    """The session cannot go on; else it does."""


Told = UserBegan | UserEnded | UserSaid | Began | Word | Audio | Ended | Trace | Failed
