"""Conversations of the protocol for its tests: stories that a session tells, events that a client sends."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

from trainer.runtime.events import (
    Audio,
    Began,
    Ended,
    Kind,
    Outcome,
    UserBegan,
    UserEnded,
    UserSaid,
    Word,
)
from trainer.runtime.server.protocol import (
    Call,
    Conversation,
    Event,
)

TYPED: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(RealtimeServerEvent)[0])
}
"""Name of a standard event -> the SDK's type."""
SECOND = np.zeros(16_000, np.int16)


def told(conversation: Conversation, *stories: Any) -> list[Event]:
    """What a client gets for what a session tells; every standard event as the SDK types it."""
    return checked([event for story in stories for event in conversation.tell(story)])


def checked(events: list[Event]) -> list[Event]:
    """The events, after the SDK's types have read those that are standard."""
    for event in events:
        if not event["type"].startswith("relay."):
            TYPED[event["type"]].model_validate_json(json.dumps(event, allow_nan=False))
    return events


def sent(conversation: Conversation, type: str, **fields: Any) -> tuple[list[Event], list[Call]]:
    """What a client's event leads to."""
    taken = conversation.take(json.dumps({"type": type, "event_id": "mine"} | fields))
    return checked(taken.events), taken.calls


def refusal(conversation: Conversation, type: str, **fields: Any) -> dict[str, Any]:
    """The error for a client's event; it names the event and calls nothing."""
    events, calls = sent(conversation, type, **fields)
    assert not calls
    assert [event["type"] for event in events] == ["error"]
    assert events[0]["error"]["event_id"] == "mine"
    return events[0]["error"]


def types(events: list[Event]) -> list[str]:
    """Their types."""
    return [event["type"] for event in events]


def user_turn(item: str = "u1", at: float = 100) -> list[Any]:
    """A turn of the user of a second, recognised."""
    return [UserBegan(item, at), UserEnded(item, at + 1_000), UserSaid(item, "help me please", 1.0)]


def ended(outcome: Outcome = "completed", heard: str = "Sure I can", turn: int = 0, kind: Kind = "turn") -> Ended:
    """The end of a response of a second."""
    return Ended(
        turn, f"a{turn}", kind, outcome, heard, 1_000.0, {"onset_ms": 81.25, "committed": True, "margin_ms": None}
    )


def answer(turn: int = 0, words: str = "Sure I can help") -> list[Any]:
    """A response that has begun."""
    said = [Word(turn, word, 200.0 * at, "fast") for at, word in enumerate(words.split())]
    return [Began(turn, f"a{turn}", "turn", 1_200), *said, Audio(turn, SECOND)]


CHAIN = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
