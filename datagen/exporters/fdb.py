"""A test set in the layout of Full-Duplex-Bench v1 and v1.5, cut from the test split: in your language and domain.

    DIR/v1.0/pause_handling/<n>/      input.wav pause.json transcription.json
             smooth_turn_taking/<n>/  input.wav turn_taking.json transcription.json
             backchannel/<n>/         input.wav transcription.json backchannel.json (when ours gave them: no part of v1)
             user_interruption/<n>/   input.wav interrupt.json context.wav interrupt.wav transcription.json
        v1.5/user_interruption/<n>/   input.wav clean_input.wav metadata.json
             user_backchannel/<n>/    the same
        items.jsonl                   which conversation a number was cut from

``input.wav`` is the user alone, mono 16 kHz; times count from its start. ``clean_input.wav`` is the same without the
event: its background goes on. v1.5's other two tasks, speech to somebody else and background speech, need phenomena
that the dataset has not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from datagen.core.types import Split
from datagen.core.units import to_seconds
from datagen.exporters._base import ExportConfig, pcm, sound
from datagen.exporters._clips import Clip, Span, clips, quieted, spans_of
from datagen.published import Part, Row
from datagen.sink import Sink

MARKS: Mapping[str, str] = {
    "pause_handling": "pause.json",
    "smooth_turn_taking": "turn_taking.json",
    "backchannel": "backchannel.json",
}
"""Tasks whose marks are a list of texts with times."""
PER_PART = 100_000
"""Numbers a part has for its items, so that parts need not know of each other; names are numbers in the benchmark."""


class Config(ExportConfig):
    kind: Literal["fdb"] = "fdb"


class FullDuplexBench:
    """See the module."""

    columns: Sequence[str] = ("id", "language", "num_samples", "user_audio", "segments", "events")
    splits: Sequence[Split] = ("test",)
    lost = (
        "assistant_audio (the system under test takes its place)",
        "domain",
        "source",
        "profile",
        "segments (but for the user's around an event)",
        "events (but for pauses, backchannels and interruptions)",
        "noise (it is in the user's audio)",
        "voices",
        "licences (of the whole set, in export.json)",
        "provenance",
        "quality",
    )
    notes = ("v1.0 and v1.5 are --root_dir of the benchmark's scripts, a folder per task",)

    def __init__(self, config: Config) -> None:
        self.part_rows = config.part_rows

    @contextmanager
    def writer(self, part: Part, sink: Sink) -> Iterator[Callable[[Row], None]]:
        """See Exporter."""
        yield partial(_write, part=part, sink=sink, counts=Counter[str]())


def make(config: Config) -> FullDuplexBench:
    return FullDuplexBench(config)


def _write(row: Row, part: Part, sink: Sink, counts: Counter[str]) -> None:
    """Every item of a conversation."""
    user = pcm(row, "user")
    for clip in clips(row):
        number = (part.index + 1) * PER_PART + counts[clip.task]
        counts[clip.task] += 1
        files: dict[str, Any] = {}
        for folder, made in items(row, user, clip).items():
            files |= {f"{folder}/{clip.task}/{number}/{name}": content for name, content in made.items()}
        for name, content in files.items():
            sink.file(name, content)
        about = {"task": clip.task, "item": number, "conversation": row["id"], "start": to_seconds(clip.start)}
        sink.json("items.jsonl", {**about, "end": to_seconds(clip.end), "language": row["language"]})
        sink.figures.update({clip.task: 1})


def items(row: Row, user: Any, clip: Clip) -> dict[str, dict[str, bytes | str]]:
    """The files of a clip by the benchmark's version."""
    heard, spans = sound(user[clip.start : clip.end]), spans_of(row)
    said = transcription(clip, spans)
    if clip.task in MARKS:
        found = {"input.wav": heard, MARKS[clip.task]: _json(marks(clip)), "transcription.json": said}
        return {"v1.0": found}
    context, event = clip.spans
    texts = {"context_text": context.text, "current_turn_text": event.text}
    times = [to_seconds(event.start - clip.start), to_seconds(event.end - clip.start)]
    clean = sound(quieted(user, clip, spans))
    newer = {"input.wav": heard, "clean_input.wav": clean, "metadata.json": _json({**texts, "timestamps": times})}
    if clip.task != "user_interruption":
        return {"v1.5": newer}
    older = {
        "input.wav": heard,
        "context.wav": sound(user[context.start : context.end]),
        "interrupt.wav": sound(user[event.start : event.end]),
        "interrupt.json": _json([{"context": context.text, "interrupt": event.text, "timestamp": times}]),
        "transcription.json": said,
    }
    return {"v1.0": older, "v1.5": newer}


def marks(clip: Clip) -> list[dict[str, Any]]:
    """What is scored, from the start of the clip."""
    return [
        {"text": text, "timestamp": [to_seconds(start - clip.start), to_seconds(end - clip.start)]}
        for text, start, end in clip.marks
    ]


def transcription(clip: Clip, spans: Sequence[Span]) -> str:
    """The user's words in the clip in the form of the benchmark's own transcripts."""
    words = [word for span in spans if span.speaker == "user" for word in span.words]
    words = [word for word in words if clip.start <= word[1] and word[2] <= clip.end]
    chunks = [
        {"text": text, "timestamp": [to_seconds(start - clip.start), to_seconds(end - clip.start)]}
        for text, start, end in words
    ]
    return _json({"text": " ".join(text for text, _, _ in words), "chunks": chunks})


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
