"""NeMo speechlm2 (SALM-Duplex): Lhotse Shar with the user as recording and the assistant as ``target_audio``.

    DIR/train/cuts.000000.jsonl.gz recording.000000.tar target_audio.000000.tar     DIR/validation/..  DIR/test/..

The audio is the published FLAC, byte by byte; writing needs neither NeMo nor Lhotse. Traps of the consumer, all silent:

* speakers must be ``user``/``User`` and ``agent``/``Assistant``; with ``assistant`` there is nothing to learn, and
  swapping roles in training wants exactly ``User`` and ``Assistant``: ``--set user=User --set agent=Assistant``;
* inline times are frames of 80 ms from the start of the supervision;
* text that is longer than its frames is cut.

The same cuts serve the parser for overlapping speech, ``s2s_duplex_overlap_as_s2s_duplex``: its ``agent_segments`` and
``user_segments`` are in ``custom``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from datagen.core.types import SPLITS, Speaker, Split
from datagen.core.units import from_ms
from datagen.exporters._base import ExportConfig, flac, plain, samples_of
from datagen.exporters._lhotse import recording, supervision
from datagen.exporters._shar import Tar
from datagen.published import Part, Row
from datagen.schema import SCHEMA
from datagen.sink import Sink

FRAME = from_ms(80)
FIELDS: Mapping[str, Speaker] = {"recording": "user", "target_audio": "assistant"}
KEPT = ("domain", "source", "profile", "events", "noise", "voices", "licences", "provenance", "quality")


class Config(ExportConfig):
    kind: Literal["nemo"] = "nemo"
    user: Literal["user", "User"] = "user"
    agent: Literal["agent", "Assistant"] = "agent"
    word_times: Literal["both", "user", "agent", "none"] = "both"
    """Whose words have their times in the text. They are in ``alignment`` in any case."""
    system_prompt: str = ""
    overlap: bool = True
    """``agent_segments`` and ``user_segments`` too."""


class Nemo:
    """See the module."""

    columns: Sequence[str] = tuple(SCHEMA.names)
    splits: Sequence[Split] = SPLITS
    lost: Sequence[str] = ()
    """Training reads far less; the rest waits in ``custom`` and ``alignment``."""

    def __init__(self, config: Config) -> None:
        self._config, self.part_rows = config, config.part_rows
        self.notes = (
            f"speakers {config.user} (recording) and {config.agent} (target_audio)",
            "input_cfg: [{type: lhotse_shar, shar_path: DIR/train}]",
            *(["overlaps: {type: s2s_duplex_overlap_as_s2s_duplex, shar_path: DIR/train}"] if config.overlap else []),
        )

    @contextmanager
    def writer(self, part: Part, sink: Sink) -> Iterator[Callable[[Row], None]]:
        """See Exporter: a part is a shard."""
        with ExitStack() as stack:
            tars = {
                field: Tar(stack.enter_context(sink.open(f"{part.split}/{field}.{part.number:06d}.tar")))
                for field in FIELDS
            }
            out = stack.enter_context(sink.open(f"{part.split}/cuts.{part.number:06d}.jsonl.gz"))
            lines = stack.enter_context(gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0))

            def put(row: Row) -> None:
                sounds = {field: flac(row, speaker) for field, speaker in FIELDS.items()}
                made = cut(row, self._config)
                for field, content in sounds.items():
                    tars[field].add(f"{row['id']}.flac", content)
                    tars[field].add(f"{row['id']}.json", json.dumps(placeholder(row, field)).encode() + b"\n")
                lines.write(json.dumps(made, ensure_ascii=False).encode() + b"\n")
                sink.figures.update(supervisions=len(made["supervisions"]))

            yield put
            for tar in tars.values():
                tar.close()


def make(config: Config) -> Nemo:
    return Nemo(config)


def placeholder(row: Row, field: str) -> dict[str, Any]:
    """The recording of a field; its bytes are in the shard's tar."""
    source = {"type": "shar", "channels": [0], "source": ""}
    return recording(f"{row['id']}_{FIELDS[field]}", [source], row)


def cut(row: Row, config: Config) -> dict[str, Any]:
    """The cut of a row."""
    roles: dict[Speaker, str] = {"user": config.user, "assistant": config.agent}
    supervisions = [
        supervision(
            row,
            index,
            recording_id=f"{row['id']}_user",
            channel=0,
            speaker=roles[segment["speaker"]],
            text=text(segment, config),
        )
        for index, segment in enumerate(row["segments"])
    ]
    custom = {"target_audio": placeholder(row, "target_audio"), "total_turns": len(supervisions)}
    if config.system_prompt:
        custom["system_prompt"] = config.system_prompt
    if config.overlap:
        for name, speaker in (("agent_segments", "assistant"), ("user_segments", "user")):
            custom[name] = [
                {"start": s["start"], "end": s["end"], "text": text(s, config)}
                for s in row["segments"]
                if s["speaker"] == speaker
            ]
    kept = plain(row)
    return {
        "id": row["id"],
        "start": 0,
        "duration": row["duration"],
        "channel": 0,
        "supervisions": supervisions,
        "recording": placeholder(row, "recording"),
        "custom": {**custom, **{name: kept[name] for name in KEPT}},
        "type": "MonoCut",
    }


def text(segment: Mapping[str, Any], config: Config) -> str:
    """The audible words, with their times where they are asked for and known.

    >>> words = [{"word": "I", "start": 1.0, "end": 1.1}, {"word": "can", "start": 1.2, "end": 1.4}]
    >>> text({"speaker": "user", "start": 1.0, "text": "I can", "words": words}, Config())
    '<|0|> I <|1|> <|2|> can <|5|>'
    """
    role = "agent" if segment["speaker"] == "assistant" else "user"
    if config.word_times not in ("both", role) or not segment["words"]:
        return segment["text"]
    begin = samples_of(segment["start"])

    def frame(time: float) -> int:
        return max(0, samples_of(time) - begin) // FRAME

    return " ".join(f"<|{frame(w['start'])}|> {w['word']} <|{frame(w['end'])}|>" for w in segment["words"])
