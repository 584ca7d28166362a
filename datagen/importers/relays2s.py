"""RelayS2S: its published data, or anything in its format.

    DIR/train.jsonl valid.jsonl test.jsonl      a conversation per line
        syn_dialogs/*.wav                       mono, named in the line; --set audios_dir=.. for another folder

Times of words are not told: they are filled in by the number of letters and marked as estimated. A label of the type
``interrupted`` is a turn that was cut, ``backchannel`` a backchannel; the events that follow from both are derived.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from datagen.core.types import Speaker, Strict
from datagen.core.units import SAMPLE_RATE
from datagen.importers import _sound
from datagen.importers._base import Draft, ImportConfig, Item, Said, folder, json_lines, required


class Config(ImportConfig):
    kind: Literal["relays2s"] = "relays2s"
    audios_dir: str = "syn_dialogs"
    """Below the set's folder."""


class _Label(Strict, extra="ignore"):
    """A turn or backchannel; seconds."""

    start: float = Field(ge=0)
    end: float
    text: str
    type: str = "standard"


class _Line(Strict, extra="ignore"):
    """A conversation."""

    conv_id: str
    user_audio: str
    user_label: tuple[_Label, ...]
    assistant_audio: str
    assistant_label: tuple[_Label, ...]


class RelayS2S:
    """See the module."""

    lost = (
        "segments.words (times filled in by letter count, marked as estimated)",
        "segments.text_full (as segments.text)",
        "events (derived from the labels: backchannels and barge-ins that cut a turn)",
        "noise (it is in the user's audio)",
        "domain (as --set domain)",
        "voices (but for the ids in the file names)",
        "provenance (that of the import)",
        "quality (measured again, as far as possible)",
    )
    notes = ("a turn of the type interrupted is taken as cut by the other speaker",)

    def __init__(self, config: Config) -> None:
        required(config, "licence", "language")
        self._config = config

    def items(self) -> Iterator[Item]:
        """See Importer."""
        fs, root = folder(self._config)
        yield from json_lines(fs, root, self._config)

    def read(self, item: Item) -> Draft:
        """See Importer."""
        fs, root = folder(self._config)
        content: Any = fs.cat_file(item.file, start=item.start, end=item.start + item.size)
        line = _parsed(content)
        said = [_said("user", label) for label in line.user_label]
        said += [_said("assistant", label) for label in line.assistant_label]
        paths: Mapping[Speaker, str] = {"user": line.user_audio, "assistant": line.assistant_audio}
        audio = {
            role: _sound.read(fs, f"{root}/{self._config.audios_dir}/{name}", 1)[0] for role, name in paths.items()
        }
        voices: dict[Speaker, str] = {role: voice_of(name, line.conv_id, role) for role, name in paths.items()}
        return Draft(line.conv_id, audio["user"], audio["assistant"], said, voices=voices)


def make(config: Config) -> RelayS2S:
    return RelayS2S(config)


def _parsed(content: bytes) -> _Line:
    try:
        return _Line.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"the line is no JSON: {error}") from None


def _said(speaker: Speaker, label: _Label) -> Said:
    start, end = round(label.start * SAMPLE_RATE), round(label.end * SAMPLE_RATE)
    kind = "backchannel" if label.type == "backchannel" else "turn"
    return Said(speaker, start, end, " ".join(label.text.split()), kind, label.type == "interrupted")


def voice_of(name: str, conversation: str, role: Speaker) -> str:
    """The voice in a file name ``<conversation>_<voice>.wav``; ours end in the role.

    >>> voice_of("c7_id08234_cajg.wav", "c7", "user"), voice_of("c7_en-gb-f5_user.wav", "c7", "user")
    ('id08234_cajg', 'en-gb-f5')
    """
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return stem.removeprefix(f"{conversation}_").removesuffix(f"_{role}") if stem.startswith(f"{conversation}_") else ""
