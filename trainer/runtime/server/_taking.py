"""What a client sends, as events back to it and calls into the session. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datagen.core.types import CONTROL
from trainer.runtime.server._calls import (
    Append,
    AssistantText,
    Call,
    Cancel,
    CancelResponse,
    Clear,
    ClientEvent,
    Commit,
    Configure,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Hear,
    Request,
    ResponseOptions,
    RetrieveItem,
    SessionUpdate,
    Truncate,
    TruncateItem,
    UserText,
)
from trainer.runtime.server._errors import Refusal
from trainer.runtime.server._items import Item, created
from trainer.runtime.server._state import Event, State, commit, commit_held
from trainer.runtime.server.wire import BadAudio, Decoder, unpacked

Answer = tuple[list[Event], list[Call]]

SHORTEST_COMMIT_S = 0.1
"""Seconds of audio that a commit needs at least, as the protocol's own servers ask."""


def answer(state: State, event: ClientEvent) -> Answer:
    """The events for the client and the calls for the session. Refusal where the event can not be done."""
    return _TAKERS[type(event)](state, event)


def _update(state: State, event: SessionUpdate) -> Answer:
    config = state.config.updated(event.session)
    own = event.session.get("relay")
    if isinstance(own, dict) and isinstance(own.get("events"), bool):
        state.vendor = own["events"]
    state.config = config
    updated: list[Event] = [{"type": "session.updated", "session": state.shown()}]
    return updated, [Configure(config.settings(state.items.system()))]


def _append(state: State, event: Append) -> Answer:
    coding = state.config.audio.input.format.type
    if state.decoder is None or state.decoder.coding != coding:
        state.decoder = Decoder(coding)
    try:
        data = unpacked(event.audio)
        pcm = state.decoder.feed(data)
    except BadAudio as error:
        raise Refusal("invalid_value", f"audio: {error}", "audio") from None
    state.unsettled_s += state.decoder.seconds(data)
    return [], [Hear(pcm)] if len(pcm) else []


def _commit(state: State, event: Commit) -> Answer:
    if state.held:
        return commit_held(state), []
    if state.unsettled_s < SHORTEST_COMMIT_S:
        raise Refusal(
            "input_audio_buffer_commit_empty",
            f"the input buffer holds {state.unsettled_s * 1000:.0f} ms of audio; a commit needs at least 100 ms",
        )
    if state.speaking is not None:
        return commit(state, state.speaking), []
    state.early = state.new_id("item")
    return commit(state, state.early), []


def _clear(state: State, event: Clear) -> Answer:
    state.decoder, state.unsettled_s = None, 0.0
    state.held.clear()
    state.spoken.clear()
    return [{"type": "input_audio_buffer.cleared"}], []


def _create_item(state: State, event: CreateItem) -> Answer:
    id = event.item.id or state.new_id("item")
    if id in state.items:
        raise Refusal("item_create_duplicate_item_id", f"item.id: {id!r} is in the conversation already", "item.id")
    after = event.previous_item_id
    if after is not None and after != "root" and after not in state.items:
        place = "previous_item_id"
        raise Refusal("item_create_invalid_previous_item_id", f"{place}: no item {after!r}", place)
    item = created(id, event.item)
    before = state.items.add(item, after)
    shown = item.shown()
    events: list[Event] = [
        {"type": f"conversation.item.{what}", "previous_item_id": before, "item": shown} for what in ("added", "done")
    ]
    return events, _written(state, item)


def _written(state: State, item: Item) -> list[Call]:
    """The call for an item's text: one line; nothing where there is nothing to say."""
    text = " ".join(CONTROL.sub(" ", item.text).split())
    if item.role == "system":
        return [Configure(state.config.settings(state.items.system()))]
    if not any(character.isalnum() for character in text):
        return []
    return [UserText(text)] if item.role == "user" else [AssistantText(text)]


def _truncate(state: State, event: TruncateItem) -> Answer:
    item = state.items.get(event.item_id)
    if item is None or item.produced_ms is None:
        raise Refusal(
            "item_truncate_invalid_item_id",
            f"item_id: no spoken message of the assistant {event.item_id!r}",
            "item_id",
        )
    if state.response is not None and state.response.item == item.id:
        state.response.cancelling = True
    return [], [Truncate(item.id, min(event.audio_end_ms, int(item.produced_ms)))]


def _delete(state: State, event: DeleteItem) -> Answer:
    item = state.items.get(event.item_id)
    if item is None:
        raise Refusal("item_delete_invalid_item_id", f"item_id: no item {event.item_id!r}", "item_id")
    state.items.remove(item.id)
    calls: list[Call] = []
    if item.produced_ms is not None:
        calls = [Truncate(item.id, 0, tell=False)]
    elif item.role == "system":
        calls = [Configure(state.config.settings(state.items.system()))]
    return [{"type": "conversation.item.deleted", "item_id": item.id}], calls


def _retrieve(state: State, event: RetrieveItem) -> Answer:
    item = state.items.get(event.item_id)
    if item is None:
        raise Refusal("item_retrieve_invalid_item_id", f"item_id: no item {event.item_id!r}", "item_id")
    return [{"type": "conversation.item.retrieved", "item": item.shown()}], []


def _create_response(state: State, event: CreateResponse) -> Answer:
    if state.busy:
        raise Refusal(
            "conversation_already_has_active_response",
            "a response is under way already; wait for response.done or cancel it",
        )
    state.pending = event.response or ResponseOptions()
    return commit_held(state), [Request(state.pending.instructions or "")]


def _cancel(state: State, event: CancelResponse) -> Answer:
    active = state.response
    wrong = event.response_id is not None and (active is None or event.response_id != active.id)
    if not state.busy or wrong:
        raise Refusal("response_cancel_not_active", "Cancellation failed: no such active response", "response_id")
    if active is not None:
        active.cancelling = True
    state.pending = None
    return [], [Cancel()]


_TAKERS: dict[type, Callable[[State, Any], Answer]] = {
    SessionUpdate: _update,
    Append: _append,
    Commit: _commit,
    Clear: _clear,
    CreateItem: _create_item,
    TruncateItem: _truncate,
    DeleteItem: _delete,
    RetrieveItem: _retrieve,
    CreateResponse: _create_response,
    CancelResponse: _cancel,
}
