"""One conversation of a data set, for eyes and ears: its timeline as text, a picture, a stereo file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
from fsspec.core import url_to_fs
from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from datagen.codec import decode_flac
from datagen.core.types import SPEAKERS, Speaker
from datagen.core.units import SAMPLE_RATE, to_ms, to_seconds
from datagen.schema import AUDIO_COLUMNS, SCHEMA

CHANNELS: tuple[Speaker, Speaker] = ("assistant", "user")
"""Default order of the channels of a stereo file: Moshi's."""

SILENT_EVENTS = ("pause", "invitation")
"""Events that are a silence inside their target segment."""
_BRIEF = SAMPLE_RATE // 20
"""A line without words or notes is not worth printing when it lasts less than this (50 ms)."""
_STYLE = {"user": "cyan", "assistant": "yellow"}


def find(dataset_dir: str, identifier: str, audio: bool = True) -> dict[str, Any]:
    """The row of a conversation, from the Parquet files under ``dataset_dir``/data.

    Only the id column is read until the row is found, then its row group row by row; without ``audio`` the two sound
    columns are left out. ValueError names the nearest ids where there is no such conversation.
    """
    fs, root = url_to_fs(str(dataset_dir))
    files = sorted(str(path) for path in fs.glob(f"{root.rstrip('/')}/data/*.parquet"))
    if not files:
        raise ValueError(f"data {str(dataset_dir)!r}: no file data/*.parquet; name the folder that a build wrote")
    columns = [name for name in SCHEMA.names if audio or name not in AUDIO_COLUMNS]
    seen: list[str] = []
    for path in files:
        with pq.ParquetFile(path, filesystem=fs) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                if identifier in ids:
                    return _row(file, group, ids.index(identifier), columns)
                seen += ids
    raise ValueError(
        f"id {identifier!r}: not among the {len(seen)} conversations of {dataset_dir}{_near(identifier, seen)}"
    )


def _row(file: pq.ParquetFile, group: int, index: int, columns: list[str]) -> dict[str, Any]:
    rows = file.iter_batches(batch_size=1, row_groups=[group], columns=columns)
    return next(batch.to_pylist()[0] for number, batch in enumerate(rows) if number == index)


def _near(identifier: str, ids: Sequence[str]) -> str:
    near = difflib.get_close_matches(identifier, ids, n=3, cutoff=0.5) or list(ids[:3])
    return f"; near it: {', '.join(near)}" if near else ""


# The timeline as text


@dataclass(frozen=True)
class Line:
    """A stretch of the clock in which nobody starts or stops to speak.

    ``said`` holds the words that begin in it by speaker, ``active`` who is speaking, ``unsaid`` the words that a
    speaker cut off at its end did not get to say.
    """

    start: int
    end: int
    said: Mapping[Speaker, str]
    active: frozenset[Speaker]
    unsaid: Mapping[Speaker, str]
    notes: tuple[str, ...]


def lines(row: Mapping[str, Any]) -> list[Line]:
    """The conversation cut at every start and end of a segment and of a silence inside one."""
    silences = [e for e in row["events"] if e["type"] in SILENT_EVENTS]
    borders = {_clock(x[key]) for x in [*row["segments"], *silences] for key in ("start", "end")}
    borders |= {0, row["num_samples"]}
    notes = _notes(row)
    out: list[Line] = []
    for start, end in pairwise(sorted(borders)):
        line = Line(
            start=start,
            end=end,
            said={s: _said(row, s, start, end) for s in SPEAKERS},
            active=frozenset(s for s in SPEAKERS if _speaks(row, silences, s, start)),
            unsaid={s: _unsaid(row, s, end) for s in SPEAKERS},
            notes=tuple(text for at, text in notes if start <= at < end),
        )
        if end - start >= _BRIEF or line.notes or any(line.said.values()):
            out.append(line)
    return out


def _clock(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _of(row: Mapping[str, Any], speaker: Speaker) -> Iterator[Mapping[str, Any]]:
    return (segment for segment in row["segments"] if segment["speaker"] == speaker)


def _said(row: Mapping[str, Any], speaker: Speaker, start: int, end: int) -> str:
    words = (word for segment in _of(row, speaker) for word in segment["words"])
    return " ".join(word["word"] for word in words if start <= _clock(word["start"]) < end)


def _speaks(row: Mapping[str, Any], silences: Sequence[Mapping[str, Any]], speaker: Speaker, at: int) -> bool:
    def covers(item: Mapping[str, Any]) -> bool:
        return _clock(item["start"]) <= at < _clock(item["end"])

    quiet = any(covers(e) and row["segments"][e["target"]]["speaker"] == speaker for e in silences)
    return not quiet and any(covers(segment) for segment in _of(row, speaker))


def unsaid_words(segment: Mapping[str, Any]) -> list[str]:
    """The words of a segment as written that were cut off."""
    return segment["text_full"].split()[len(segment["text"].split()) :] if segment["yielded"] else []


def _unsaid(row: Mapping[str, Any], speaker: Speaker, end: int) -> str:
    cut = (segment for segment in _of(row, speaker) if _clock(segment["end"]) == end)
    return " ".join(word for segment in cut for word in unsaid_words(segment))


def _notes(row: Mapping[str, Any]) -> list[tuple[int, str]]:
    events = [(_clock(e["start"]), event_text(e)) for e in row["events"]]
    noise = [
        (_clock(n["start"]), f"noise: {n['scene'] or n['clip']}, {n['snr_db']:.0f} dB SNR, until {n['end']:.2f}")
        for n in row["noise"]
    ]
    return sorted(events + noise)


def event_text(event: Mapping[str, Any]) -> str:
    """An event in a few words."""
    length = to_ms(_clock(event["end"]) - _clock(event["start"]))
    name = event["type"].replace("_", "-")
    return f"{name} by {event['actor']}: {event['outcome']} ({length:.0f} ms)"


def table(row: Mapping[str, Any]) -> RenderableType:
    """The timeline for a rich console: a heading, then a line per stretch, user left, assistant right."""
    grid = Table(box=SIMPLE, expand=True, pad_edge=False, show_edge=False)
    grid.add_column("s", justify="right", no_wrap=True)
    grid.add_column("user", ratio=5, header_style=_STYLE["user"])
    grid.add_column("assistant", ratio=5, header_style=_STYLE["assistant"])
    grid.add_column("", ratio=4, style="dim")
    for line in lines(row):
        both = len(line.active) == len(SPEAKERS)
        length = f"{to_ms(line.end - line.start):.0f} ms"
        notes = [f"both speak, {length}"] if both else []
        if not line.active and not line.notes:
            notes.append(f"silence, {length}")
        cells = [_cell(line, speaker, both) for speaker in SPEAKERS]
        grid.add_row(f"{to_seconds(line.start):.2f}", *cells, "\n".join([*notes, *line.notes]))
    return Group(_heading(row), grid)


def _heading(row: Mapping[str, Any]) -> Text:
    voices = " | ".join(f"{speaker}: {row['voices'][speaker]['id']}" for speaker in SPEAKERS)
    facts = f"{row['language']}, {row['domain']}, {row['source']}, profile {row['profile']}, {row['duration']:.2f} s"
    return Text.assemble((row["id"], "bold"), f"\n{facts}\n{voices}\n")


def _cell(line: Line, speaker: Speaker, both: bool) -> Text:
    said = line.said[speaker] or ("..." if speaker in line.active else "")
    cell = Text(said, style=f"{_STYLE[speaker]} bold" if both else _STYLE[speaker])
    if line.unsaid[speaker]:
        cell.append(f" / [not said: {line.unsaid[speaker]}]", style="dim strike")
    return cell


def text_timeline(row: Mapping[str, Any], width: int = 100) -> str:
    """The timeline as plain text, ``width`` columns wide (at least 50)."""
    out = StringIO()
    Console(file=out, width=max(width, 50), color_system=None, force_terminal=False).print(table(row))
    return "\n".join(text.rstrip() for text in out.getvalue().splitlines()) + "\n"


# Sound and picture


def channel(row: Mapping[str, Any], speaker: Speaker) -> np.ndarray:
    """A speaker's 16-bit samples."""
    return decode_flac(row[f"{speaker}_audio"]["bytes"])


def save_wav(row: Mapping[str, Any], path: str | Path, order: Sequence[Speaker] = CHANNELS) -> None:
    """A stereo 16-bit file (of the format the ending names), channel 0 = ``order[0]``; samples exactly as published."""
    if sorted(order) != sorted(SPEAKERS):
        raise ValueError(f"order {tuple(order)}: name {' and '.join(SPEAKERS)}, each once")
    soundfile.write(path, np.stack([channel(row, speaker) for speaker in order], axis=1), SAMPLE_RATE, subtype="PCM_16")


def picture(row: Mapping[str, Any], path: str | Path) -> None:
    """The whole conversation as an image file (PNG, SVG, PDF by the ending): words, waveforms, spectrograms, events."""
    from datagen import drawing  # matplotlib is slow to load and the text needs none

    drawing.save(drawing.draw_conversation(row), path)


def draw_timeline(row: Mapping[str, Any], start: float | None = None, end: float | None = None) -> Any:
    """A matplotlib figure of a stretch of the conversation (seconds), labelled for readers who see it first."""
    from datagen import drawing

    return drawing.draw_timeline(row, start, end)


def show(
    dataset_dir: str,
    identifier: str,
    out_dir: str | Path = ".",
    order: Sequence[Speaker] = CHANNELS,
    console: Console | None = None,
) -> list[Path]:
    """What ``datagen show`` does: prints the timeline and writes ``<id>.png`` and ``<id>.wav`` to ``out_dir``."""
    row = find(dataset_dir, identifier)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    image, sound = folder / f"{identifier}.png", folder / f"{identifier}.wav"
    picture(row, image)
    save_wav(row, sound, order)
    console = console or Console()
    console.print(table(row))
    console.print(f"{image}\n{sound}: channel 0 = {order[0]}, channel 1 = {order[1]}", highlight=False, soft_wrap=True)
    return [image, sound]
