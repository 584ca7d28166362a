"""The pieces of Lhotse's manifests that its own formats and NeMo's share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datagen.core.units import SAMPLE_RATE
from datagen.exporters._base import samples_of
from datagen.published import Row


def seconds(samples: int) -> float:
    """Lhotse rounds to eight decimals; a sample needs seven."""
    return samples / SAMPLE_RATE


def recording(name: str, sources: Sequence[dict[str, Any]], row: Row) -> dict[str, Any]:
    """A recording as long as the row."""
    return {
        "id": name,
        "sources": list(sources),
        "sampling_rate": row["sample_rate"],
        "num_samples": row["num_samples"],
        "duration": row["duration"],
        "channel_ids": sorted(channel for source in sources for channel in source["channels"]),
    }


def supervision(row: Row, index: int, *, recording_id: str, channel: int, speaker: str, text: str) -> dict[str, Any]:
    """A segment with the times of its words, all on the conversation's clock."""
    segment = row["segments"][index]
    start, end = samples_of(segment["start"]), samples_of(segment["end"])
    made: dict[str, Any] = {
        "id": f"{row['id']}-{index}",
        "recording_id": recording_id,
        "start": seconds(start),
        "duration": seconds(end - start),
        "channel": channel,
        "text": text,
        "language": row["language"],
        "speaker": speaker,
        "custom": {
            "type": segment["kind"],
            "yielded": segment["yielded"],
            "text_full": segment["text_full"],
            "voice": row["voices"][segment["speaker"]]["id"],
        },
    }
    if guessed := [n for n, word in enumerate(segment["words"]) if word["estimated"]]:
        made["custom"]["estimated_words"] = guessed
    if segment["words"]:
        made["alignment"] = {"word": [_word(word) for word in segment["words"]]}
    return made


def _word(word: dict[str, Any]) -> list[Any]:
    """Symbol, start, duration, score."""
    start, end = samples_of(word["start"]), samples_of(word["end"])
    return [word["word"], seconds(start), seconds(end - start), None]
