"""Lhotse manifests: recordings of two channels, supervisions with word alignments, and cuts that hold both.

    DIR/train_recordings.jsonl.gz train_supervisions.jsonl.gz train_cuts.jsonl.gz ...     audio/<id>_<role>.flac

The audio is the published FLAC, byte by byte: a recording has one mono source per channel. Paths are relative: load
with ``CutSet.from_file(..).with_recording_path_prefix(DIR)``. Writing needs no Lhotse; what is not a field there is in
the cut's ``custom``, so nothing of the row is lost.
"""

from __future__ import annotations

from typing import Any, Literal

from datagen.exporters._base import ChannelsConfig, PerConversation, flac, plain
from datagen.exporters._lhotse import recording, supervision
from datagen.published import Part, Row
from datagen.sink import Sink


class Config(ChannelsConfig):
    kind: Literal["lhotse"] = "lhotse"


class Lhotse(PerConversation):
    """See the module."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        load = 'lhotse.CutSet.from_file("DIR/train_cuts.jsonl.gz").with_recording_path_prefix("DIR")'
        self.notes = (config.order, load)

    def conversation(self, row: Row, part: Part, sink: Sink) -> None:
        """See PerConversation."""
        content = {role: flac(row, role) for role in self._config.channels}
        sources = [
            {"type": "file", "channels": [channel], "source": f"audio/{row['id']}_{role}.flac"}
            for channel, role in enumerate(self._config.channels)
        ]
        recorded = recording(row["id"], sources, row)
        supervisions = self._supervisions(row)
        for role, found in content.items():
            sink.file(f"audio/{row['id']}_{role}.flac", found)
        sink.json(f"{part.split}_recordings.jsonl.gz", recorded)
        for item in supervisions:
            sink.json(f"{part.split}_supervisions.jsonl.gz", item)
        sink.json(f"{part.split}_cuts.jsonl.gz", cut(row, recorded, supervisions))
        sink.figures.update(supervisions=len(supervisions))

    def _supervisions(self, row: Row) -> list[dict[str, Any]]:
        channels = self._config.channels
        return [
            supervision(
                row,
                index,
                recording_id=row["id"],
                channel=channels.index(segment["speaker"]),
                speaker=segment["speaker"],
                text=segment["text"],
            )
            for index, segment in enumerate(row["segments"])
        ]


def make(config: Config) -> Lhotse:
    return Lhotse(config)


def cut(row: Row, recorded: dict[str, Any], supervisions: list[dict[str, Any]]) -> dict[str, Any]:
    """A cut of the whole conversation on both channels."""
    kept = {name: value for name, value in plain(row).items() if name not in ("id", "segments", "duration")}
    return {
        "id": row["id"],
        "start": 0,
        "duration": row["duration"],
        "channel": [0, 1],
        "supervisions": supervisions,
        "recording": recorded,
        "custom": kept,
        "type": "MultiCut",
    }
