"""What the formats share: their settings, the sound of a row, times, and the plain way from rows to files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import soundfile
from pydantic import Field, model_validator

from datagen.codec import decode_flac, num_samples
from datagen.core.audio import Pcm
from datagen.core.types import SPLITS, Speaker, Split
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import KindConfig
from datagen.published import Part, Row
from datagen.schema import SCHEMA
from datagen.sink import Sink

AudioFormat = Literal["wav", "flac"]


class ExportConfig(KindConfig):
    """Base of the formats' settings."""

    part_rows: int = Field(default=100, ge=1)
    """Conversations a part has at least, and a shard where the format has shards."""


class ChannelsConfig(ExportConfig):
    """Of formats that have both speakers in one file."""

    channels: tuple[Speaker, Speaker] = ("assistant", "user")
    """Who is on channel 0 and who on channel 1. Moshi's order; others have the opposite one."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if set(self.channels) != {"user", "assistant"}:
            raise ValueError("channels: name both speakers once, [assistant, user] or [user, assistant]")
        return self

    @property
    def order(self) -> str:
        """For people."""
        return f"channel 0 = {self.channels[0]}, channel 1 = {self.channels[1]} (--set channels=[..])"


class PerConversation(ABC):
    """An exporter whose conversations do not share files but for listings."""

    columns: Sequence[str] = tuple(SCHEMA.names)
    splits: Sequence[Split] = SPLITS
    lost: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __init__(self, config: ExportConfig) -> None:
        self.part_rows = config.part_rows

    @abstractmethod
    def conversation(self, row: Row, part: Part, sink: Sink) -> None:
        """Writes one row."""

    @contextmanager
    def writer(self, part: Part, sink: Sink) -> Iterator[Callable[[Row], None]]:
        """See Exporter."""
        yield partial(self.conversation, part=part, sink=sink)


def pcm(row: Row, speaker: Speaker) -> Pcm:
    """A speaker's samples; ValueError when they are not as many as the row says."""
    found = decode_flac(row[f"{speaker}_audio"]["bytes"])
    _check(row, speaker, len(found))
    return found


def flac(row: Row, speaker: Speaker) -> bytes:
    """A speaker's FLAC file as published; ValueError when it does not say that it has the row's samples."""
    content = row[f"{speaker}_audio"]["bytes"]
    _check(row, speaker, num_samples(content))
    return content


def _check(row: Row, speaker: Speaker, found: int) -> None:
    if found != row["num_samples"]:
        raise ValueError(f"{speaker}_audio has {found} samples, the row says {row['num_samples']}; build it again")


def stereo(row: Row, channels: Sequence[Speaker]) -> npt.NDArray[np.int16]:
    """Both speakers as samples x channels."""
    return np.stack([pcm(row, speaker) for speaker in channels], axis=1)


def sound(samples: npt.NDArray[np.int16], kind: AudioFormat = "wav") -> bytes:
    """A 16 kHz sound file of 16 bits."""
    buffer = BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format=kind.upper(), subtype="PCM_16")
    return buffer.getvalue()


def samples_of(seconds: float) -> int:
    """The sample a published time stands for, to the nearest."""
    return round(seconds * SAMPLE_RATE)


def plain(row: Row) -> dict[str, Any]:
    """The row without its audio."""
    return {name: value for name, value in row.items() if not name.endswith("_audio")}
