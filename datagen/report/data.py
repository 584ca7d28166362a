"""One pass over a published data set: everything the report and the dataset card say about it, in constant memory.

Only the columns without audio and text are read, one row group at a time. What is kept are counters, histograms, the
voices and licences, and a few addresses of conversations worth listening to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from pydantic import BaseModel, ConfigDict, Field

from datagen.core.histogram import Histogram
from datagen.core.summary import Summary
from datagen.core.turntaking import Conversation, from_row
from datagen.core.types import SPEAKERS, SPLITS, Speaker, Split
from datagen.core.units import SAMPLE_RATE
from datagen.report.choice import Address, Shelf, features
from datagen.schema import AUDIO_COLUMNS, SCHEMA, SCHEMA_VERSION, leaves

_TEXTS = (".text", ".text_full", ".word")
COLUMNS = [p for f in SCHEMA if f.name not in AUDIO_COLUMNS for p in leaves(f.type, f.name) if not p.endswith(_TEXTS)]
"""The Parquet leaves statistics need."""
MILLI = 1_000
LEVELS = ("user_speech_dbfs", "assistant_speech_dbfs", "floor_dbfs")
SHARES = ("wer", "token_overflow", "words_estimated", "user_peak", "assistant_peak")
TOTALS = ("clipped_samples", "fto_clipped", "cues_dropped")


class Accumulator(BaseModel):
    """Base of what is counted up row by row: mutable, no unknown fields."""

    model_config = ConfigDict(extra="forbid")


class VoiceUse(Accumulator):
    """One voice: where it comes from and how many conversations each split has with it."""

    origin: str
    licence: str
    consent: str
    conversations: dict[Split, int] = Field(default_factory=dict)


class SplitStatistics(Accumulator):
    """Counts of one split."""

    conversations: int = 0
    samples: int = 0
    languages: dict[str, int] = Field(default_factory=dict)
    domains: dict[str, int] = Field(default_factory=dict)
    sources: dict[str, int] = Field(default_factory=dict)
    profiles: dict[str, int] = Field(default_factory=dict)
    durations: Histogram = Field(default_factory=lambda: Histogram(width=SAMPLE_RATE))
    turntaking: Summary = Field(default_factory=Summary)


class NoiseStatistics(Accumulator):
    """Noise blocks. ``snr``: asked, in half decibels -> realised, in thousandths of a decibel."""

    conversations: int = 0
    blocks: int = 0
    samples: int = 0
    scenes: dict[str, int] = Field(default_factory=dict)
    snr: dict[int, Histogram] = Field(default_factory=dict)
    error: Histogram = Field(default_factory=lambda: Histogram(width=100))
    """Realised minus asked, in thousandths of a decibel."""


class Statistics(Accumulator):
    """What ``collect`` found; written as ``statistics.json``. The same data set gives the same JSON."""

    schema_version: int = SCHEMA_VERSION
    splits: dict[Split, SplitStatistics] = Field(default_factory=dict)
    noise: NoiseStatistics = Field(default_factory=NoiseStatistics)
    levels: dict[str, Histogram] = Field(default_factory=lambda: {k: Histogram(width=MILLI) for k in LEVELS})
    """Thousandths of a decibel (full scale = 0)."""
    shares: dict[str, Histogram] = Field(default_factory=lambda: {k: Histogram(width=1) for k in SHARES})
    """Thousandths; only conversations where the figure was measured."""
    totals: dict[str, int] = Field(default_factory=lambda: dict.fromkeys(TOTALS, 0))
    voices: dict[Speaker, dict[str, VoiceUse]] = Field(default_factory=lambda: {s: {} for s in SPEAKERS})
    licences: dict[str, int] = Field(default_factory=dict)
    """Licence -> conversations it applies to."""
    engines: dict[str, int] = Field(default_factory=dict)
    """``role: name revision`` -> conversations."""
    recipes: dict[str, int] = Field(default_factory=dict)
    """``name hash, seed, code version`` -> conversations; the hash by its first 12 digits."""
    exhibits: tuple[Address, ...] = ()
    """Conversations that together show everything, the richest first."""

    @property
    def turntaking(self) -> Summary:
        """All splits together."""
        total = Summary()
        for split in self.splits.values():
            total = total.merge(split.turntaking)
        return total

    @property
    def conversations(self) -> int:
        return sum(s.conversations for s in self.splits.values())

    @property
    def hours(self) -> float:
        return sum(s.samples for s in self.splits.values()) / SAMPLE_RATE / 3600

    def counts(self, name: str) -> dict[str, int]:
        """``domains``, ``languages``, ``sources`` or ``profiles`` over all splits, most frequent first."""
        total: dict[str, int] = {}
        for split in self.splits.values():
            for key, count in getattr(split, name).items():
                total[key] = total.get(key, 0) + count
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    def voice_splits(self) -> dict[str, set[Split]]:
        """Every voice and the splits it is heard in, on either side."""
        found: dict[str, set[Split]] = {}
        for side in self.voices.values():
            for name, use in side.items():
                found.setdefault(name, set()).update(use.conversations)
        return found

    def shared_voices(self, speaker: Speaker) -> list[str]:
        """Voices of one side that are heard, on either side, in more than one split; none where splits are disjoint."""
        splits = self.voice_splits()
        return sorted(name for name in self.voices[speaker] if len(splits[name]) > 1)

    def add(self, split: Split, row: Mapping[str, Any]) -> Conversation:
        """Counts one row and returns its conversation."""
        conversation = from_row(row)
        part = self.splits.setdefault(split, SplitStatistics())
        part.conversations += 1
        part.samples += conversation.num_samples
        part.durations.add(conversation.num_samples)
        part.turntaking.add(conversation)
        for column, counts in (
            ("language", part.languages),
            ("domain", part.domains),
            ("source", part.sources),
            ("profile", part.profiles),
        ):
            _bump(counts, row[column])
        self._add_origin(split, row)
        self._add_noise(row["noise"] or ())
        self._add_quality(row["quality"] or {})
        return conversation

    def _add_origin(self, split: Split, row: Mapping[str, Any]) -> None:
        for speaker in SPEAKERS:
            voice = row["voices"][speaker]
            known = self.voices[speaker]
            if voice["id"] not in known:
                known[voice["id"]] = VoiceUse.model_validate(
                    {k: voice[k] or "" for k in ("origin", "licence", "consent")}
                )
            _bump(known[voice["id"]].conversations, split)
        for licence in row["licences"] or ():
            _bump(self.licences, licence)
        made = row["provenance"]
        name = f"{made['recipe']} {made['recipe_hash'][:12]}, seed {made['seed']}, code {made['code_version']}"
        _bump(self.recipes, name)
        for engine in made["engines"] or ():
            _bump(self.engines, f"{engine['role']}: {engine['name']} {engine['revision']}")

    def _add_noise(self, blocks: Iterable[Mapping[str, Any]]) -> None:
        noise, until = self.noise, 0
        for block in sorted(blocks, key=lambda b: (b["start"], b["end"])):
            noise.blocks += 1
            _bump(noise.scenes, block["scene"])
            start, end = (round(block[k] * SAMPLE_RATE) for k in ("start", "end"))
            noise.samples += max(0, end - max(start, until))
            until = max(until, end)
            asked, realised = block["snr_db_asked"], block["snr_db"]
            if asked is not None and realised is not None:
                noise.snr.setdefault(round(asked * 2), Histogram(width=500)).add(round(realised * MILLI))
                noise.error.add(round((realised - asked) * MILLI))
        noise.conversations += until > 0

    def _add_quality(self, quality: Mapping[str, Any]) -> None:
        for store in (self.levels, self.shares):
            for name, histogram in store.items():
                if quality.get(name) is not None:
                    histogram.add(round(quality[name] * MILLI))
        for name in self.totals:
            self.totals[name] += quality.get(name) or 0


def _bump(counts: dict[Any, int], key: Any) -> None:
    counts[key] = counts.get(key, 0) + 1


def parquet_files(fs: AbstractFileSystem, root: str) -> Iterator[tuple[Split, str]]:
    """The files of a data set, by split and name; ValueError when there are none."""
    found: list[tuple[Split, str]] = []
    for split in SPLITS:
        found.extend((split, str(path)) for path in sorted(fs.glob(f"{root.rstrip('/')}/data/{split}-*.parquet")))
    if not found:
        raise ValueError(f"dataset {root}: no data/train-*.parquet or other split; give the folder that holds data/")
    yield from found


def _rows(fs: AbstractFileSystem, path: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    with pq.ParquetFile(path, filesystem=fs) as file:
        if missing := set(SCHEMA.names) - set(file.schema_arrow.names):
            raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; schema_version {SCHEMA_VERSION} has it")
        for group in range(file.num_row_groups):
            for row, values in enumerate(file.read_row_group(group, columns=COLUMNS).to_pylist()):
                yield group, row, values


def collect(dataset: str) -> Statistics:
    """Statistics of the data set in a folder (any fsspec URL) that holds ``data/{split}-*.parquet``.

    ValueError when there is no such file or a column is missing.
    """
    fs, root = url_to_fs(str(dataset))
    statistics, shelf = Statistics(), Shelf()
    for split, path in parquet_files(fs, root):
        for group, index, row in _rows(fs, path):
            conversation = statistics.add(split, row)
            shelf.offer(
                Address(
                    id=row["id"],
                    split=split,
                    file=path.rsplit("/", 1)[-1],
                    row_group=group,
                    row=index,
                    duration=row["duration"],
                    shows=tuple(features(split, row, conversation)),
                )
            )
    statistics.exhibits = shelf.choose()
    return statistics
