"""What the session tells, as events of the protocol. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trainer.runtime.events import Audio, Began, Ended, Failed, Told, Trace, UserBegan, UserEnded, UserSaid, Word
from trainer.runtime.server._calls import ResponseOptions
from trainer.runtime.server._errors import SERVER, Refusal
from trainer.runtime.server._responses import Response
from trainer.runtime.server._state import Event, Spoken, State, commit, transcription
from trainer.runtime.server.wire import Encoder, packed

_MOST_HELD = 63
"""Turns that wait for a commit, besides the newest."""
_NOTHING = np.zeros(0, np.int16)


def events_of(state: State, told: Told) -> list[Event]:
    """The events that a client gets for what the session tells."""
    return _TELLERS[type(told)](state, told)


def _user_began(state: State, told: UserBegan) -> list[Event]:
    state.speaking, state.began_ms = told.item, told.at_ms
    if state.manual:
        return []
    state.early = None
    return [{"type": "input_audio_buffer.speech_started", "audio_start_ms": round(told.at_ms), "item_id": told.item}]


def _user_ended(state: State, told: UserEnded) -> list[Event]:
    if state.speaking == told.item:
        state.user_ms += max(0.0, told.at_ms - state.began_ms)
    state.speaking = None
    if state.early is not None and told.item not in state.items:
        state.aliases[told.item] = state.early
        state.early = None
        return []
    if state.manual:
        if told.item not in state.items:
            state.held = [*state.held[-_MOST_HELD:], told.item]
        return []
    stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": round(told.at_ms), "item_id": told.item}
    return [stopped, *commit(state, told.item)]


def _user_said(state: State, told: UserSaid) -> list[Event]:
    id = state.aliases.pop(told.item, told.item)
    state.spoken[id] = Spoken(told.text, told.seconds, told=True)
    return transcription(state, id)


def _began(state: State, told: Began) -> list[Event]:
    if told.kind == "backchannel":
        state.backchannels[told.turn] = Encoder(state.config.audio.output.format.type)
        return _backchannel(state, told.turn, "began", item_id=told.item, at_ms=told.at_ms)
    state.early = None
    asked, state.pending = state.pending or ResponseOptions(), None
    state.response, state.turn = _response(state, told.turn, told.item, asked), told.turn
    return state.response.created()


def _response(state: State, turn: int, item: str, asked: ResponseOptions) -> Response:
    modalities = asked.output_modalities or state.config.output_modalities
    return Response(
        id=f"resp_{state.name}_{turn}",
        item=item,
        config=state.config,
        items=state.items,
        conversation=f"conv_{state.name}",
        text_only=modalities == ["text"],
        metadata=(asked.metadata or {}) | ({"turn": str(turn)} if state.vendor else {}),
    )


def _word(state: State, told: Word) -> list[Event]:
    if told.turn in state.backchannels:
        return _backchannel(state, told.turn, "word", word=told.text, start_ms=told.start_ms)
    if state.response is None or told.turn != state.turn:
        return []
    return state.response.word(told)


def _audio(state: State, told: Audio) -> list[Event]:
    encoder = state.backchannels.get(told.turn)
    if encoder is not None:
        return _backchannel(state, told.turn, "audio", delta=packed(encoder.feed(told.pcm)))
    if state.response is None or told.turn != state.turn:
        return []
    return state.response.audio(told)


def _ended(state: State, told: Ended) -> list[Event]:
    extra = _vendor(
        state,
        "relay.ended",
        turn=told.turn,
        item_id=told.item,
        kind=told.kind,
        outcome=told.outcome,
        heard=told.heard,
        heard_ms=told.heard_ms,
        record=_finite(told.record),
    )
    if told.kind == "backchannel":
        encoder = state.backchannels.pop(told.turn, None)
        rest = b"" if encoder is None or told.outcome != "completed" else encoder.feed(_NOTHING, last=True)
        fields = {"delta": packed(rest), "text": told.heard, "outcome": told.outcome}
        return _backchannel(state, told.turn, "ended", **fields) + extra
    created: list[Event] = []
    response = state.response
    if response is None or told.turn != state.turn:
        asked, state.pending = state.pending or ResponseOptions(), None
        response = _response(state, told.turn, told.item, asked)
        created = response.created()
    else:
        state.response, state.turn = None, None
    done = response.done(told, state.user_ms)
    state.user_ms = 0.0
    return created + done + extra


def _trace(state: State, told: Trace) -> list[Event]:
    return _vendor(state, "relay.trace", at_ms=told.at_ms, what=told.what, turn=told.turn, data=_finite(told.data))


def _failed(state: State, told: Failed) -> list[Event]:
    return [Refusal(told.code, told.message, kind=SERVER).event()]


def _backchannel(state: State, turn: int, phase: str, **fields: Any) -> list[Event]:
    """``phase``: began, word, audio (``delta``: base64), ended; ``last``: nothing more comes."""
    return _vendor(state, "relay.backchannel", turn=turn, phase=phase, last=phase == "ended", **fields)


def _vendor(state: State, type: str, **fields: Any) -> list[Event]:
    """Events that only those get who asked for them: typed clients stumble over unknown ones."""
    return [{"type": type} | fields] if state.vendor else []


def _finite(data: Mapping[str, float | str | bool | None]) -> dict[str, float | str | bool | None]:
    """JSON knows no infinity."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in data.items()
    }


_TELLERS: dict[type, Callable[[State, Any], list[Event]]] = {
    UserBegan: _user_began,
    UserEnded: _user_ended,
    UserSaid: _user_said,
    Began: _began,
    Word: _word,
    Audio: _audio,
    Ended: _ended,
    Trace: _trace,
    Failed: _failed,
}
