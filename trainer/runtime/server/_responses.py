"""One response as a chain of protocol events, from ``response.created`` to ``response.done``. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.runtime.events import Audio, Ended, Outcome, Word
from trainer.runtime.server._config import SessionConfig
from trainer.runtime.server._items import Item, Items, Status
from trainer.runtime.server.wire import RATE, Encoder, packed

Event = dict[str, Any]
Details = dict[str, Any] | None

_TICK_MS = 160
"""The model's frame: one audio token of the usage."""
_PAIRS, _KEY, _VALUE = 16, 64, 512
"""The protocol's limits on metadata: pairs, characters of a key, of a value."""
_NOTHING = np.zeros(0, np.int16)


class Response:
    """A response under way. Its item is shown with its first word or sound, so that an empty one leaves no item."""

    def __init__(
        self,
        id: str,
        item: str,
        config: SessionConfig,
        items: Items,
        conversation: str,
        text_only: bool,
        metadata: Mapping[str, str],
    ) -> None:
        self.id = id
        self.cancelling = False
        self._items = items
        self._item = Item(item, "message", "assistant", "in_progress", produced_ms=0.0)
        self._config = config
        self._conversation = conversation
        self._text_only = text_only
        self._metadata = dict(metadata)
        self._encoder = Encoder(config.audio.output.format.type)
        self._words: list[str] = []
        self._begun = False
        self._samples = 0

    @property
    def item(self) -> str:
        """The id of its item."""
        return self._item.id

    def created(self) -> list[Event]:
        """The response is there, without output."""
        return [{"type": "response.created", "response": self._shown("in_progress", None, None)}]

    def word(self, told: Word) -> list[Event]:
        """A word: a delta of the transcript; beyond the protocol its time in seconds and the path that it came by."""
        events = self._begin()
        delta = (" " if self._words else "") + told.text
        self._words.append(told.text)
        if not self._item.cut:
            self._item.say(" ".join(self._words))
        name = "response.output_text.delta" if self._text_only else "response.output_audio_transcript.delta"
        return [*events, self._event(name, delta=delta, start_time=told.start_ms / 1000, source=told.source)]

    def audio(self, told: Audio) -> list[Event]:
        """Sound: a delta of audio, as soon as the resampler gives some."""
        events = self._begin()
        self._samples += len(told.pcm)
        self._item.produced_ms = self._samples * 1000 / RATE
        return events + self._sound(self._encoder.feed(told.pcm))

    def done(self, told: Ended, user_ms: float) -> list[Event]:
        """The end of everything: the words heard stand in the item. ``user_ms``: user speech that was answered."""
        status, details = _status(told.outcome, str(told.record.get("reason") or ""))
        usage = _usage(told, user_ms)
        events = self._close(told, "completed" if status == "completed" else "incomplete") if self._begun else []
        self._metadata |= metadata(told.record, self._metadata)
        return [*events, {"type": "response.done", "response": self._shown(status, details, usage)}]

    def _begin(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        bare = self._item.shown()
        part = {"type": "text", "text": ""} if self._text_only else {"type": "audio", "transcript": ""}
        before = self._items.add(self._item)
        own = {"type": "output_text", "text": ""} if self._text_only else {"type": "output_audio", "transcript": ""}
        self._item.content.append(own)
        return [
            {"type": "response.output_item.added", "response_id": self.id, "output_index": 0, "item": bare},
            {"type": "conversation.item.added", "previous_item_id": before, "item": bare},
            self._event("response.content_part.added", part=part),
        ]

    def _sound(self, data: bytes) -> list[Event]:
        if self._text_only or not data:
            return []
        return [self._event("response.output_audio.delta", delta=packed(data))]

    def _close(self, told: Ended, status: Status) -> list[Event]:
        events: list[Event] = []
        if not self._text_only:
            if status == "completed":
                events += self._sound(self._encoder.feed(_NOTHING, last=True))
            events.append(self._event("response.output_audio.done"))
        heard = told.heard
        if self._item.cut and len(self._item.text) < len(heard):
            heard = self._item.text
        self._item.say(heard)
        self._item.status = status
        if self._text_only:
            events.append(self._event("response.output_text.done", text=heard))
            part = {"type": "text", "text": heard}
        else:
            events.append(self._event("response.output_audio_transcript.done", transcript=heard))
            part = {"type": "audio", "transcript": heard}
        shown = self._item.shown()
        return [
            *events,
            self._event("response.content_part.done", part=part),
            {"type": "conversation.item.done", "previous_item_id": self._before(), "item": shown},
            {"type": "response.output_item.done", "response_id": self.id, "output_index": 0, "item": shown},
        ]

    def _before(self) -> str | None:
        return self._items.before(self._item.id)

    def _event(self, type: str, **fields: Any) -> Event:
        place = {"response_id": self.id, "item_id": self._item.id, "output_index": 0, "content_index": 0}
        return {"type": type} | place | fields

    def _shown(self, status: str, details: Details, usage: Details) -> Event:
        output = self._config.audio.output
        voice = output.voice if isinstance(output.voice, str) else output.voice.id
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": [self._item.shown()] if self._begun and status != "in_progress" else [],
            "conversation_id": self._conversation,
            "output_modalities": ["text"] if self._text_only else ["audio"],
            "max_output_tokens": self._config.max_output_tokens,
            "audio": {"output": {"format": output.format.model_dump(), "voice": voice}},
            "usage": usage,
            "metadata": dict(self._metadata) or None,
        }


def metadata(record: Mapping[str, float | str | bool | None], taken: Mapping[str, str]) -> dict[str, str]:
    """A turn's record as string pairs beside those of the client, 16 in all; what is too much goes, in order.

    Numbers have six digits; what is not known is left out.

    >>> metadata({"mode": "relay", "onset_ms": 81.25, "committed": True, "margin_ms": None}, {})
    {'mode': 'relay', 'onset_ms': '81.25', 'committed': 'true'}
    """
    pairs: dict[str, str] = {}
    for key, value in record.items():
        if value is None or key in taken or len(taken) + len(pairs) >= _PAIRS:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = value if isinstance(value, str) else f"{value:.6g}"
        pairs[key[:_KEY]] = text[:_VALUE]
    return pairs


def _status(outcome: Outcome, reason: str) -> tuple[str, Details]:
    if outcome == "interrupted":
        return "cancelled", {"type": "cancelled", "reason": "turn_detected"}
    if outcome == "cancelled":
        return "cancelled", {"type": "cancelled", "reason": "client_cancelled"}
    if outcome == "failed":
        error = {"type": "server_error", "code": "response_failed", "message": reason or "the response failed"}
        return "failed", {"type": "failed", "error": error}
    return "completed", None


def _usage(told: Ended, user_ms: float) -> Event:
    """Audio tokens are the model's ticks, text tokens words."""
    text, audio = len(told.heard.split()), math.ceil(told.heard_ms / _TICK_MS)
    heard = math.ceil(user_ms / _TICK_MS)
    cached = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": text + audio + heard,
        "input_tokens": heard,
        "output_tokens": text + audio,
        "input_token_details": {
            "cached_tokens": 0,
            "text_tokens": 0,
            "audio_tokens": heard,
            "image_tokens": 0,
            "cached_tokens_details": cached,
        },
        "output_token_details": {"text_tokens": text, "audio_tokens": audio},
    }
