"""moshi-finetune: stereo files with the words of the assistant, and of the user where the set has them.

    DIR/*.jsonl      {"path": "data_stereo/a.wav", "duration": 24.52}
        a.json       {"alignments": [["Hello", [0.42, 0.71], "SPEAKER_MAIN"], ..]}, other labels are the user; or
                     [{"speaker": "A", "word": "Hello", "start": 0.42, "end": 0.71}, ..], A = channel 0

Words are joined into segments where a speaker's silence is shorter than ``gap_ms``. Where the user has no words, the
user's segments are found by loudness and have no text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from datagen.core.audio import Pcm
from datagen.core.types import Speaker, Word, other
from datagen.core.units import SAMPLE_RATE, from_ms
from datagen.importers import _sound
from datagen.importers._base import Draft, ImportConfig, Item, Said, folder, json_lines, required

MAIN = ("SPEAKER_MAIN", "A")
BACKCHANNEL_WORDS = 3
"""At most so many words inside the other's segment are a backchannel."""


class Config(ImportConfig):
    kind: Literal["moshi"] = "moshi"
    channels: tuple[Speaker, Speaker] = ("assistant", "user")
    """Who is on channel 0 and who on channel 1. The main speaker's words are the assistant's."""
    gap_ms: float = Field(default=1_000, gt=0)


class Moshi:
    """See the module."""

    lost = (
        "segments (joined from words: kind, yielded and text_full are derived)",
        "segments of the user (by loudness, without text, where the set has no words of the user)",
        "events (derived from the segments)",
        "noise (it is in the user's audio)",
        "domain (as --set domain)",
        "voices (every conversation has its own)",
        "provenance (that of the import)",
        "quality (measured again, as far as possible)",
    )

    def __init__(self, config: Config) -> None:
        required(config, "licence", "language")
        self._config = config
        self.notes = (f"channel 0 = {config.channels[0]}, channel 1 = {config.channels[1]} (--set channels=[..])",)

    def items(self) -> Iterator[Item]:
        """See Importer."""
        fs, root = folder(self._config)
        yield from json_lines(fs, root, self._config)

    def read(self, item: Item) -> Draft:
        """See Importer."""
        fs, root = folder(self._config)
        line: Any = fs.cat_file(item.file, start=item.start, end=item.start + item.size)
        path = _path(line)
        first, second = _sound.read(fs, f"{root}/{path}", 2)
        sides: dict[Speaker, Pcm] = dict(zip(self._config.channels, (first, second), strict=True))
        words = _words(fs, f"{root}/{path.rsplit('.', 1)[0]}.json")
        gap = from_ms(self._config.gap_ms)
        said = [segment for speaker, found in words.items() for segment in segments(speaker, found, gap)]
        if not words["user"]:
            said += [Said("user", start, end, "") for start, end in _sound.speech(sides["user"])]
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        return Draft(stem, sides["user"], sides["assistant"], [_kinded(item, said) for item in said])


def make(config: Config) -> Moshi:
    return Moshi(config)


def _path(line: bytes) -> str:
    try:
        return str(json.loads(line)["path"])
    except (ValueError, KeyError, TypeError):
        raise ValueError('the line is not of the form {"path": .., "duration": ..}') from None


def _words(fs: Any, path: str) -> dict[Speaker, list[Word]]:
    """Both speakers' words in order of start."""
    if not fs.exists(path):
        raise ValueError(f"alignment: there is no file {path}")
    found: dict[Speaker, list[Word]] = {"user": [], "assistant": []}
    try:
        told = json.loads(fs.cat_file(path))
        items = told["alignments"] if isinstance(told, dict) else told
        for item in items:
            text, (start, end), label = _item(item)
            times = (round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
            found["assistant" if label in MAIN else "user"].append(Word(text=text, start=times[0], end=times[1]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"alignment: {path} is not as the format has it: {error}") from None
    return {speaker: sorted(words, key=lambda w: (w.start, w.end)) for speaker, words in found.items()}


def _item(item: Any) -> tuple[str, Sequence[float], str]:
    """Word, times and label of either form."""
    if isinstance(item, dict):
        return str(item["word"]).strip(), (item["start"], item["end"]), str(item["speaker"])
    text, times, label = item
    return str(text).strip(), times, str(label)


def segments(speaker: Speaker, words: Sequence[Word], gap: int) -> Iterator[Said]:
    """Words joined where the silence between them is shorter than ``gap`` samples."""
    if not words:
        return
    breaks = [0, *(n for n, (a, b) in enumerate(pairwise(words), 1) if b.start - a.end >= gap), len(words)]
    for first, stop in pairwise(breaks):
        part = tuple(words[first:stop])
        if (end := max(w.end for w in part)) > part[0].start:
            yield Said(speaker, part[0].start, end, " ".join(w.text for w in part), words=part)


def _kinded(item: Said, said: Sequence[Said]) -> Said:
    """A few words while the other speaks on are a backchannel."""
    short = 0 < len(item.words or ()) <= BACKCHANNEL_WORDS
    around = any(s.speaker == other(item.speaker) and s.start < item.start and item.end < s.end for s in said)
    return replace(item, kind="backchannel") if short and around else item
