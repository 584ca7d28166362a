"""What the protocol remembers of one conversation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.runtime.server._calls import ResponseOptions
from trainer.runtime.server._config import SessionConfig
from trainer.runtime.server._items import Item, Items, user_turn
from trainer.runtime.server._responses import Response
from trainer.runtime.server.wire import Decoder, Encoder

Event = dict[str, Any]


@dataclass
class Spoken:
    """What is known of a user's turn that is not in the conversation yet."""

    text: str | None = None
    seconds: float = 0.0
    told: bool = False
    """The recogniser is through with it; ``text`` None then means that it failed."""


@dataclass
class State:
    """One conversation; ``name`` begins the ids made here."""

    name: str
    config: SessionConfig
    expires_at: int
    vendor: bool
    items: Items = field(default_factory=Items)
    response: Response | None = None
    turn: int | None = None
    """Number of the response under way."""
    pending: ResponseOptions | None = None
    """A response asked for that has not begun."""
    backchannels: dict[int, Encoder] = field(default_factory=dict)
    speaking: str | None = None
    """The session's id of the user's turn under way."""
    began_ms: float = 0.0
    user_ms: float = 0.0
    """User speech since the last response ended."""
    held: list[str] = field(default_factory=list)
    """Turns that are over and wait for the client's commit (``turn_detection`` null)."""
    early: str | None = None
    """A turn that the client committed before the session told of it."""
    aliases: dict[str, str] = field(default_factory=dict)
    """The session's id of a turn -> the id that the client knows."""
    spoken: dict[str, Spoken] = field(default_factory=dict)
    unsettled_s: float = 0.0
    """Audio heard since the last turn of the user that the conversation holds."""
    decoder: Decoder | None = None
    made: int = 0

    @property
    def manual(self) -> bool:
        """Turns end at the client's commit."""
        return self.config.audio.input.turn_detection is None

    @property
    def busy(self) -> bool:
        """A response is under way or asked for, and not being cancelled."""
        return self.pending is not None or (self.response is not None and not self.response.cancelling)

    def new_id(self, kind: str) -> str:
        """An id that no one has."""
        self.made += 1
        return f"{kind}_{self.name}_{self.made}"

    def shown(self) -> Event:
        """The session as the protocol shows it."""
        ids = {"id": f"sess_{self.name}", "object": "realtime.session", "expires_at": self.expires_at}
        return self.config.model_dump() | ids


def commit(state: State, session_id: str) -> list[Event]:
    """A turn of the user goes into the conversation under the id the client knows: committed, added, done, its text."""
    id = state.aliases.get(session_id, session_id)
    if id in state.items:
        return []
    item = user_turn(id)
    bare = item.shown()
    before = state.items.add(item)
    state.unsettled_s = 0.0
    events: list[Event] = [
        {"type": "input_audio_buffer.committed", "previous_item_id": before, "item_id": id},
        {"type": "conversation.item.added", "previous_item_id": before, "item": bare},
        {"type": "conversation.item.done", "previous_item_id": before, "item": bare},
    ]
    return events + transcription(state, id)


def commit_held(state: State) -> list[Event]:
    """All turns that wait for a commit go into the conversation, in their order."""
    events = [event for held in state.held for event in commit(state, held)]
    state.held.clear()
    return events


def transcription(state: State, id: str) -> list[Event]:
    """What the recogniser made of a turn, once the turn is in the conversation."""
    item, spoken = state.items.get(id), state.spoken.get(id)
    if item is None or spoken is None or not spoken.told:
        return []
    del state.spoken[id]
    if item.content:
        item.content[0]["transcript"] = spoken.text
    if state.config.audio.input.transcription is None:
        return []
    return _transcribed(item, spoken)


def _transcribed(item: Item, spoken: Spoken) -> list[Event]:
    place = {"item_id": item.id, "content_index": 0}
    name = "conversation.item.input_audio_transcription."
    if spoken.text is None:
        message = "the recogniser failed on this turn"
        error = {"type": "transcription_error", "code": "audio_unintelligible", "message": message, "param": None}
        return [{"type": f"{name}failed", **place, "error": error}]
    usage = {"type": "duration", "seconds": spoken.seconds}
    deltas: Sequence[Event] = [{"type": f"{name}delta", **place, "delta": spoken.text}] if spoken.text else []
    return [*deltas, {"type": f"{name}completed", **place, "transcript": spoken.text, "usage": usage}]
