"""moshi-finetune: a stereo wav per conversation (channel 0 = Moshi, the assistant), its words as JSON, and JSON lines.

    DIR/train.jsonl validation.jsonl test.jsonl     {"path": "data_stereo/a.wav", "duration": 24.52}
        data_stereo/a.wav  a.json                   {"alignments": [["Hello", [0.42, 0.71], "SPEAKER_MAIN"], ..]}

Alignments are in order of start, since they are searched by halving; a word without length is dropped there and left
out here.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from datagen.exporters._base import ChannelsConfig, PerConversation, sound, stereo
from datagen.published import Part, Row
from datagen.sink import Sink

MAIN, OTHER = "SPEAKER_MAIN", "SPEAKER_USER"
AUDIO = "data_stereo"


class Config(ChannelsConfig):
    kind: Literal["moshi"] = "moshi"
    user_words: bool = False
    """The user's words too, as SPEAKER_USER: training reads SPEAKER_MAIN alone, an import reads both."""


class Moshi(PerConversation):
    """See the module."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        self.lost = (
            "language",
            "domain",
            "source",
            "profile",
            *(() if config.user_words else ("segments of the user (--set user_words=true keeps their words)",)),
            "segments (but for their words: kind, text_full and where a turn was cut)",
            "events",
            "noise (it is in the user's audio)",
            "voices",
            "licences",
            "provenance",
            "quality",
        )
        first = "train_data: DIR/train.jsonl, eval_data: DIR/validation.jsonl"
        self.notes = (config.order, first, "16 kHz; the loader resamples to 24 kHz")

    def conversation(self, row: Row, part: Part, sink: Sink) -> None:
        """See PerConversation."""
        found = alignments(row, self._config.user_words)
        content = sound(stereo(row, self._config.channels))
        path = f"{AUDIO}/{row['id']}.wav"
        sink.file(path, content)
        sink.file(f"{AUDIO}/{row['id']}.json", json.dumps({"alignments": found}, ensure_ascii=False))
        sink.json(f"{part.split}.jsonl", {"path": path, "duration": row["duration"]})
        sink.figures.update(words=len(found))


def make(config: Config) -> Moshi:
    return Moshi(config)


def alignments(row: Row, user_words: bool) -> list[list[Any]]:
    """Words with their times and speaker, in order of start."""
    labels = {"assistant": MAIN} | ({"user": OTHER} if user_words else {})
    words = [
        [word["word"], [word["start"], word["end"]], labels[segment["speaker"]]]
        for segment in row["segments"]
        if segment["speaker"] in labels
        for word in segment["words"]
        if word["start"] < word["end"]
    ]
    return sorted(words, key=lambda item: item[1])
