"""Client events, typed, and the calls into the session that they lead to. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from trainer.runtime.server._config import Loose
from trainer.runtime.server._errors import Refusal, refused
from trainer.runtime.server._session import Settings

LARGEST = 256 * 1024
"""Characters of an event that is not audio."""
DEEPEST = 32
"""Objects and lists inside one another."""

Id = Annotated[str, Field(min_length=1, max_length=128)]


# ---- client events ----------------------------------------------------------------------------------------------


class _ClientEvent(Loose):
    event_id: str | None = Field(default=None, max_length=512)


class SessionUpdate(_ClientEvent):
    """Lay ``session`` over the session's config."""

    type: Literal["session.update"]
    session: dict[str, Any]


class Append(_ClientEvent):
    """More of the user's audio."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class Commit(_ClientEvent):
    """The audio so far is a turn of the user."""

    type: Literal["input_audio_buffer.commit"]


class Clear(_ClientEvent):
    """Forget the audio that is not yet a turn."""

    type: Literal["input_audio_buffer.clear"]


class Part(Loose):
    """A piece of a message's content."""

    type: Literal["input_text", "text", "output_text", "input_audio", "output_audio"]
    text: str | None = None
    transcript: str | None = None


class Message(Loose):
    """A message that the client adds to the conversation."""

    type: Literal["message"]
    role: Literal["user", "assistant", "system"]
    content: list[Part] = Field(min_length=1, max_length=64)
    id: Id | None = None


class Tool(Loose):
    """A function call or its result: kept in the conversation, of no effect."""

    type: Literal["function_call", "function_call_output"]
    id: Id | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class CreateItem(_ClientEvent):
    """Add an item; after ``previous_item_id``, before all with "root", else last."""

    type: Literal["conversation.item.create"]
    item: Annotated[Message | Tool, Field(discriminator="type")]
    previous_item_id: str | None = None


class TruncateItem(_ClientEvent):
    """The user heard this much of an assistant's message."""

    type: Literal["conversation.item.truncate"]
    item_id: Id
    content_index: Literal[0] = 0
    audio_end_ms: int = Field(ge=0)


class DeleteItem(_ClientEvent):
    """Take an item out of the conversation."""

    type: Literal["conversation.item.delete"]
    item_id: Id


class RetrieveItem(_ClientEvent):
    """Show an item."""

    type: Literal["conversation.item.retrieve"]
    item_id: Id


_MetadataValue = Annotated[str, Field(max_length=512)]


class ResponseOptions(Loose):
    """What is asked of one response."""

    instructions: str | None = Field(default=None, max_length=100_000)
    metadata: dict[Annotated[str, Field(max_length=64)], _MetadataValue] | None = Field(default=None, max_length=16)
    output_modalities: list[Literal["audio", "text"]] | None = Field(default=None, min_length=1, max_length=2)
    conversation: Literal["auto"] = "auto"
    """Responses outside the conversation are not offered."""


class CreateResponse(_ClientEvent):
    """Respond now."""

    type: Literal["response.create"]
    response: ResponseOptions | None = None


class CancelResponse(_ClientEvent):
    """Stop the response under way."""

    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | CreateItem
    | TruncateItem
    | DeleteItem
    | RetrieveItem
    | CreateResponse
    | CancelResponse
)
_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])


def event_id(raw: object) -> str | None:
    """The id that a client gave its event, where it gave a usable one."""
    found = raw.get("event_id") if isinstance(raw, dict) else None
    return found[:512] if isinstance(found, str) else None


def read(text: str) -> dict[str, Any]:
    """A frame's JSON object. Refusal where it is none."""
    try:
        raw = json.loads(text, parse_constant=_not_a_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refusal("invalid_json", f"the frame is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise Refusal("invalid_json", "the frame is not a JSON object")
    return raw


def _deep(raw: object) -> bool:
    """Nested beyond ``DEEPEST``; without recursion."""
    level: list[object] = [raw]
    for _ in range(DEEPEST + 1):
        inner: list[object] = []
        for value in level:
            inner.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
        level = inner
    return bool(level)


def typed(raw: dict[str, Any], text: str) -> ClientEvent:
    """The client event in a frame. Refusal where it is unknown, wrong, too large or nested beyond reason."""
    if len(text) > LARGEST and raw.get("type") != "input_audio_buffer.append":
        raise Refusal("invalid_value", f"the event has {len(text)} characters; only audio may have over {LARGEST}")
    if text.count("{") + text.count("[") > DEEPEST and _deep(raw):
        raise Refusal("invalid_value", f"the event is nested more than {DEEPEST} deep")
    try:
        return _EVENT.validate_python(raw)
    except ValidationError as error:
        raise _refusal(error, raw) from None


def _refusal(error: ValidationError, raw: dict[str, Any]) -> Refusal:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid" and not first["loc"]:
        return Refusal("unknown_event", f"unknown event type {str(raw.get('type'))[:60]!r}", "type")
    if first["type"] == "union_tag_not_found" and not first["loc"]:
        return Refusal("missing_required_parameter", "the event has no type", "type")
    found = refused(error)
    kind = f"{raw.get('type')}."
    if found.param and found.param.startswith(kind):
        place = found.param.removeprefix(kind)
        return Refusal(found.code, f"{place}: {first['msg']}", place)
    return found


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


# ---- calls ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Configure:
    """``Session.configure``."""

    settings: Settings


@dataclass(frozen=True)
class Hear:
    """``Session.hear``: int16[N] at 16 kHz."""

    pcm: npt.NDArray[np.int16]


@dataclass(frozen=True)
class Request:
    """``Session.request``."""

    instructions: str


@dataclass(frozen=True)
class Cancel:
    """``Session.cancel``."""


@dataclass(frozen=True)
class Truncate:
    """``Session.truncate``; what it returns goes to ``Conversation.truncated``."""

    item: str
    ms: int
    tell: bool = True
    """False: the item is gone for the client, which is not told of a truncation."""


@dataclass(frozen=True)
class UserText:
    """``Session.user_text``."""

    text: str


@dataclass(frozen=True)
class AssistantText:
    """``Session.assistant_text``."""

    text: str


Call = Configure | Hear | Request | Cancel | Truncate | UserText | AssistantText
