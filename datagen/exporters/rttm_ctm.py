"""RTTM, CTM and UEM per split, for diarisation, recognition and their scorers; no audio, `stereo` has it.

    SPEAKER <id> <channel> <start> <length> <NA> <NA> <speaker> <NA> <NA>     who speaks, split where words pause 200 ms
    <id> <channel> <start> <length> <word> 1.00                               every word
    <id> <channel> 0 <length>                                                 what is to be scored

Channels count from 1, as these formats have it; times are seconds, exact to the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datagen.core.turntaking import from_row, units
from datagen.core.types import Speaker
from datagen.core.units import SAMPLE_RATE
from datagen.exporters._base import ChannelsConfig, PerConversation, samples_of
from datagen.published import Part, Row
from datagen.sink import Sink


class Config(ChannelsConfig):
    kind: Literal["rttm_ctm"] = "rttm_ctm"
    speech: Literal["units", "segments"] = "units"
    """units: inter-pausal units, what a voice activity detector should find; segments: turns and backchannels whole."""


class RttmCtm(PerConversation):
    """See the module."""

    columns = ("id", "num_samples", "segments", "events")
    lost = (
        "language",
        "domain",
        "source",
        "profile",
        "user_audio (see the format stereo, whose files have the same names)",
        "assistant_audio",
        "segments (but for their words and times)",
        "events",
        "noise",
        "voices",
        "licences",
        "provenance",
        "quality",
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        names = [f"channel {n} = {speaker}" for n, speaker in enumerate(config.channels, 1)]
        self.notes = (", ".join(names) + " (counted from 1)",)

    def conversation(self, row: Row, part: Part, sink: Sink) -> None:
        """See PerConversation."""
        spans = list(rttm(row, self._config))
        words = list(ctm(row, self._config))
        length = number(row["num_samples"])
        for line in spans:
            sink.line(f"{part.split}.rttm", line)
        for line in words:
            sink.line(f"{part.split}.ctm", line)
        for channel in (1, 2):
            sink.line(f"{part.split}.uem", f"{row['id']} {channel} 0 {length}")
        sink.figures.update(spans=len(spans), words=len(words))


def make(config: Config) -> RttmCtm:
    return RttmCtm(config)


def rttm(row: Row, config: Config) -> Iterator[str]:
    """A line per stretch of speech, in order of start."""
    found: list[tuple[int, int, Speaker]] = []
    for span in from_row(row).spans:
        pieces = units(span) if config.speech == "units" else [(span.start, span.end)]
        found.extend((start, end, span.speaker) for start, end in pieces)
    for start, end, speaker in sorted(found):
        channel = config.channels.index(speaker) + 1
        yield f"SPEAKER {row['id']} {channel} {number(start)} {number(end - start)} <NA> <NA> {speaker} <NA> <NA>"


def ctm(row: Row, config: Config) -> Iterator[str]:
    """A line per word, by channel and start."""
    for channel, speaker in enumerate(config.channels, 1):
        words = [w for s in row["segments"] if s["speaker"] == speaker for w in s["words"]]
        for word in sorted(words, key=lambda w: (w["start"], w["end"])):
            start, end = samples_of(word["start"]), samples_of(word["end"])
            yield f"{row['id']} {channel} {number(start)} {number(end - start)} {word['word']} 1.00"


def number(samples: int) -> str:
    """Seconds without needless digits; a sample is 0.0000625 s.

    >>> number(1), number(16_000), number(24_000)
    ('0.0000625', '1', '1.5')
    """
    return f"{samples / SAMPLE_RATE:.7f}".rstrip("0").rstrip(".")
