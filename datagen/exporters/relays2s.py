"""RelayS2S: a JSON line per conversation and a mono wav per speaker, as the public data loader reads them.

    DIR/train.jsonl valid.jsonl test.jsonl      syn_dialogs/<id>_<voice>_<role>.wav

The loader finds a tick as ``int(seconds / 0.16)``. In floating point that is one tick early for 132 of the first 1,200
tick borders (4.64 s -> 28); a time on such a border is written a tenth of a microsecond late, which changes nothing
else. Other times are exact: a sample has at most seven decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from datagen.core.types import Speaker, Split
from datagen.core.units import FRAME_MS, SAMPLE_RATE, frame_of
from datagen.exporters._base import ExportConfig, PerConversation, pcm, samples_of, sound
from datagen.published import Part, Row
from datagen.sink import Sink

NAMES: Mapping[Split, str] = {"train": "train", "validation": "valid", "test": "test"}
AUDIO = "syn_dialogs"
NUDGE_S = 1e-7


class Config(ExportConfig):
    kind: Literal["relays2s"] = "relays2s"


class RelayS2S(PerConversation):
    """See the module."""

    lost = (
        "language",
        "domain",
        "source",
        "profile",
        "segments.words",
        "segments.text_full (words that were cut)",
        "events (but for what the types of the labels tell: backchannels and turns that were cut)",
        "noise (it is in the user's audio; leave --noise_dir of prepare_shar away, or it is added twice)",
        "voices (but for their ids, which the file names have)",
        "licences",
        "provenance",
        "quality",
    )
    notes = ("python data/prepare_shar.py --input-jsonl DIR/train.jsonl --audios-dir DIR/syn_dialogs --output-dir ..",)

    def conversation(self, row: Row, part: Part, sink: Sink) -> None:
        """See PerConversation."""
        made = record(row)
        wavs = {made[f"{role}_audio"]: sound(pcm(row, role)) for role in ("user", "assistant")}
        for name, content in wavs.items():
            sink.file(f"{AUDIO}/{name}", content)
        sink.json(f"{NAMES[part.split]}.jsonl", made)
        sink.figures.update(labels=len(made["user_label"]) + len(made["assistant_label"]))


def make(config: Config) -> RelayS2S:
    return RelayS2S(config)


def record(row: Row) -> dict[str, Any]:
    """The JSON of a row."""
    labels = {role: [label(s) for s in row["segments"] if s["speaker"] == role] for role in ("user", "assistant")}
    types = {item["type"] for found in labels.values() for item in found}
    return {
        "conv_id": row["id"],
        "conv_len": row["duration"],
        "num_samples": row["num_samples"],
        "sampling_rate": row["sample_rate"],
        "subset": subset(types),
        "user_audio": _wav(row, "user"),
        "user_label": labels["user"],
        "assistant_audio": _wav(row, "assistant"),
        "assistant_label": labels["assistant"],
    }


def subset(types: set[str]) -> str:
    """A name for what happens in a conversation; the loader does not read it."""
    names = {"backchannel": "back_channels", "interrupted": "interruptions"}
    return "+".join(name for kind, name in names.items() if kind in types) or "standard"


def label(segment: Mapping[str, Any]) -> dict[str, Any]:
    """A segment: the words that are heard, and whether it was cut."""
    kind = "interrupted" if segment["yielded"] else "standard"
    return {
        "start": tick_safe(segment["start"]),
        "end": tick_safe(segment["end"]),
        "text": segment["text"],
        "type": "backchannel" if segment["kind"] == "backchannel" else kind,
    }


def tick_safe(seconds: float) -> float:
    """The time, so that the loader's division finds its tick; it stands for the same sample.

    >>> tick_safe(4.64), tick_safe(4.7)
    (4.6400001, 4.7)
    """
    sample = samples_of(seconds)
    exact = sample / SAMPLE_RATE
    return exact if int(exact / (FRAME_MS / 1000)) == frame_of(sample) else round(exact + NUDGE_S, 7)


def _wav(row: Row, role: Speaker) -> str:
    return f"{row['id']}_{row['voices'][role]['id']}_{role}.wav"
