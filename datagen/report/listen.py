"""The conversations one can hear and see in the report: their audio as it is in the data set, and what to draw."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from datagen.codec import decode_flac
from datagen.core.audio import Pcm
from datagen.core.turntaking import from_row, transfers
from datagen.core.types import SPEAKERS, Speaker
from datagen.core.units import SAMPLE_RATE, to_ms, to_seconds
from datagen.report.choice import Address

ENVELOPE_RATE = 100
"""Points per second of the drawn waveform; finer than a pixel at the zoom the page opens with."""
_HOP = SAMPLE_RATE // ENVELOPE_RATE
_FULL = 255
_BUFFER = 1 << 20
"""Pages are read as they are needed; without a buffer size the whole row group would be in memory."""


@dataclass(frozen=True)
class Exhibit:
    """One conversation, ready for the page."""

    id: str
    title: str
    shows: tuple[str, ...]
    duration: float
    drawing: str
    """JSON for report.js: segments, events, noise, floor changes, envelopes."""
    flac: Mapping[Speaker, str]
    """Base64 of the row's own FLAC bytes."""


def envelope(pcm: Pcm) -> bytes:
    """Largest magnitude of every 10 ms, one byte each (255 = full scale); the last stretch may be shorter."""
    padded = np.zeros(-(-len(pcm) // _HOP) * _HOP, dtype=np.int32)
    padded[: len(pcm)] = pcm
    peaks = np.abs(padded).reshape(-1, _HOP).max(axis=1)
    return (peaks * _FULL // 32_768).astype(np.uint8).tobytes()


def exhibits(dataset: str, addresses: Sequence[Address]) -> list[Exhibit]:
    """Loads conversations, in the order asked for.

    Row groups are read row by row up to the last one needed, so memory holds one row and what the page will hold.
    ValueError when a row is not where its address says (the data set changed after ``collect``).
    """
    found: dict[str, Exhibit] = {}
    places = sorted({(a.file, a.row_group) for a in addresses})
    for file, group in places:
        wanted = {a.row: a for a in addresses if (a.file, a.row_group) == (file, group)}
        for index, row in _rows(dataset, file, group, max(wanted) + 1):
            address = wanted.get(index)
            if address is None:
                continue
            values = row.to_pylist()[0]
            if values["id"] != address.id:
                raise ValueError(
                    f"{file}: row {index} is {values['id']}, not {address.id}; collect the statistics again"
                )
            found[address.id] = _exhibit(values, address.shows)
    return [found[a.id] for a in addresses]


def _rows(dataset: str, file: str, group: int, stop: int) -> Iterator[tuple[int, Any]]:
    fs, root = url_to_fs(str(dataset))
    with pq.ParquetFile(f"{root.rstrip('/')}/data/{file}", filesystem=fs, buffer_size=_BUFFER) as parquet:
        for index, batch in enumerate(parquet.iter_batches(batch_size=1, row_groups=[group])):
            if index >= stop:
                return
            yield index, batch


def _exhibit(row: Mapping[str, Any], shows: tuple[str, ...]) -> Exhibit:
    flac: dict[Speaker, bytes] = {s: bytes(row[f"{s}_audio"]["bytes"]) for s in SPEAKERS}
    text: dict[Speaker, str] = {s: b64encode(flac[s]).decode() for s in SPEAKERS}
    return Exhibit(
        id=row["id"],
        title=row["domain"],
        shows=tuple(s for s in shows if s != row["domain"]),
        duration=row["duration"],
        drawing=script_json(_drawing(row, flac)),
        flac=text,
    )


def _drawing(row: Mapping[str, Any], flac: Mapping[Speaker, bytes]) -> dict[str, Any]:
    """What report.js draws. Times are seconds, rounded to a millisecond."""
    changes = transfers(from_row(row).spans)
    segments = [
        {
            "speaker": s["speaker"],
            "kind": s["kind"],
            "start": round(s["start"], 3),
            "end": round(s["end"], 3),
            "text": s["text"],
            "full": s["text_full"],
            "words": [[w["word"], round(w["start"], 3), round(w["end"], 3)] for w in s["words"] or ()],
            "yielded": bool(s["yielded"]),
        }
        for s in row["segments"]
    ]
    return {
        "id": row["id"],
        "duration": round(row["num_samples"] / SAMPLE_RATE, 3),
        "segments": segments,
        "events": [
            {k: round(e[k], 3) if k in ("start", "end") else e[k] for k in ("type", "actor", "start", "end", "outcome")}
            for e in row["events"] or ()
        ],
        "noise": [
            {"scene": n["scene"], "start": round(n["start"], 3), "end": round(n["end"], 3)}
            | {k: None if n[k] is None else round(n[k], 1) for k in ("snr_db", "snr_db_asked")}
            for n in row["noise"] or ()
        ],
        "transfers": [
            {"from": round(to_seconds(t.before.end), 3), "to": round(to_seconds(t.after.start), 3)}
            | {"ms": round(to_ms(t.offset)), "cut": t.cut}
            for t in changes
        ],
        "envelope": {s: b64encode(envelope(decode_flac(flac[s]))).decode() for s in SPEAKERS},
    }


def script_json(value: object) -> str:
    """JSON that is safe inside a script element: no character in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
