"""One stereo file and one JSON per conversation, for listening and for other tools; nothing of the row is lost.

DIR/train.jsonl ...      {"id": .., "path": "train/a.wav", "duration": ..}
    train/a.wav a.json   the row's columns as they are, and {"audio": {"path", "channels"}}
"""

from __future__ import annotations

import json
from typing import Literal

from datagen.exporters._base import AudioFormat, ChannelsConfig, PerConversation, plain, sound, stereo
from datagen.published import Part, Row
from datagen.sink import Sink


class Config(ChannelsConfig):
    kind: Literal["stereo"] = "stereo"
    audio: AudioFormat = "wav"


class Stereo(PerConversation):
    """See the module."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        self.notes = (config.order,)

    def conversation(self, row: Row, part: Part, sink: Sink) -> None:
        """See PerConversation."""
        config = self._config
        content = sound(stereo(row, config.channels), config.audio)
        name = f"{row['id']}.{config.audio}"
        about = {**plain(row), "audio": {"path": name, "channels": list(config.channels)}}
        sink.file(f"{part.split}/{name}", content)
        sink.file(f"{part.split}/{row['id']}.json", json.dumps(about, ensure_ascii=False))
        line = {"id": row["id"], "path": f"{part.split}/{name}", "duration": row["duration"]}
        sink.json(f"{part.split}.jsonl", line)
        sink.figures.update(segments=len(row["segments"]), events=len(row["events"]))


def make(config: Config) -> Stereo:
    return Stereo(config)
