"""The OpenAI Realtime GA protocol of one conversation: what the session tells becomes events, what the client sends
becomes calls. Pure: no sockets, no clock.

    Told    ──► Conversation.tell ──► events for the client
    a frame ──► Conversation.take ──► events for the client, calls for the session
"""

from __future__ import annotations

from typing import Any, NamedTuple

from trainer.runtime.events import Told
from trainer.runtime.server import _taking, _telling
from trainer.runtime.server._calls import (
    AssistantText,
    Call,
    Cancel,
    Configure,
    Hear,
    Request,
    Truncate,
    UserText,
    event_id,
    read,
    typed,
)
from trainer.runtime.server._config import SessionConfig
from trainer.runtime.server._errors import SERVER, Refusal
from trainer.runtime.server._session import Settings
from trainer.runtime.server._state import Event, State

__all__ = [
    "SERVER",
    "AssistantText",
    "Call",
    "Cancel",
    "Configure",
    "Conversation",
    "Event",
    "Hear",
    "Refusal",
    "Request",
    "SessionConfig",
    "Settings",
    "Taken",
    "Truncate",
    "UserText",
]


class Taken(NamedTuple):
    """What a client's frame leads to. The calls come first; ``client_event`` is the frame's own id."""

    events: list[Event]
    calls: list[Call]
    client_event: str | None


class Conversation:
    """One client's view of one session."""

    def __init__(
        self, name: str, config: SessionConfig | None = None, *, expires_at: int = 0, vendor: bool = False
    ) -> None:
        """``name`` begins all ids; ``expires_at``: Unix seconds; ``vendor``: send ``relay.*`` events as well."""
        self._state = State(name, config or SessionConfig(), expires_at, vendor)
        self._sent = 0

    @property
    def config(self) -> SessionConfig:
        """The session's config as it stands."""
        return self._state.config

    @property
    def history(self) -> list[dict[str, Any]]:
        """All items, in order."""
        return self._state.items.shown()

    def opened(self) -> list[Event]:
        """The first event of a connection."""
        return self._stamped([{"type": "session.created", "session": self._state.shown()}])

    def tell(self, told: Told) -> list[Event]:
        """What the session tells, as events in the protocol's order."""
        return self._stamped(_telling.events_of(self._state, told))

    def take(self, text: str) -> Taken:
        """A frame of the client. What can not be done becomes an error event, and changes nothing."""
        client_event = None
        try:
            raw = read(text)
            client_event = event_id(raw)
            events, calls = _taking.answer(self._state, typed(raw, text))
        except Refusal as refusal:
            return Taken(self.refused(refusal, client_event), [], client_event)
        return Taken(self._stamped(events), calls, client_event)

    def truncated(self, call: Truncate, heard: str) -> list[Event]:
        """The session has shortened an item to the words ``heard``."""
        item = self._state.items.get(call.item)
        if item is None:
            return []
        item.cut = True
        item.say(heard)
        place = {"item_id": call.item, "content_index": 0, "audio_end_ms": call.ms}
        return self._stamped([{"type": "conversation.item.truncated"} | place] if call.tell else [])

    def refused(self, refusal: Refusal, client_event: str | None = None) -> list[Event]:
        """An error event."""
        return self._stamped([refusal.event(client_event)])

    def _stamped(self, events: list[Event]) -> list[Event]:
        stamped: list[Event] = []
        for event in events:
            self._sent += 1
            stamped.append({"event_id": f"event_{self._state.name}_{self._sent}"} | event)
        return stamped
