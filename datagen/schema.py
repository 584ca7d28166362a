"""The published row, schema_version 1: the only contract between datagen, its consumers and the trainer.

The Arrow schema carries the Hugging Face features (metadata key ``huggingface``), so that ``datasets.load_dataset``
knows the two audio columns without ``datasets`` being needed to write them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from datagen.core.units import SAMPLE_RATE

SCHEMA_VERSION = 1
AUDIO_COLUMNS = ("user_audio", "assistant_audio")

_AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_WORD = pa.struct([("word", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("estimated", pa.bool_())])
_SEGMENT = pa.struct(
    [
        ("speaker", pa.string()),
        ("kind", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("text", pa.string()),
        ("text_full", pa.string()),
        ("words", pa.list_(_WORD)),
        ("yielded", pa.bool_()),
    ]
)
_EVENT = pa.struct(
    [
        ("type", pa.string()),
        ("actor", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("target", pa.int32()),
        ("outcome", pa.string()),
        ("probability", pa.float64()),
    ]
)
_NOISE = pa.struct(
    [
        ("clip", pa.string()),
        ("scene", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("snr_db_asked", pa.float64()),
        ("snr_db", pa.float64()),
    ]
)
_VOICE = pa.struct([("id", pa.string()), ("origin", pa.string()), ("licence", pa.string()), ("consent", pa.string())])
_ENGINE = pa.struct([("role", pa.string()), ("name", pa.string()), ("revision", pa.string())])
_PROVENANCE = pa.struct(
    [
        ("recipe", pa.string()),
        ("recipe_hash", pa.string()),
        ("seed", pa.int64()),
        ("code_version", pa.string()),
        ("engines", pa.list_(_ENGINE)),
    ]
)
_QUALITY = pa.struct(
    [
        ("wer", pa.float64()),
        ("token_overflow", pa.float64()),
        ("clipped_samples", pa.int64()),
        ("user_peak", pa.float64()),
        ("assistant_peak", pa.float64()),
        ("user_speech_dbfs", pa.float64()),
        ("assistant_speech_dbfs", pa.float64()),
        ("floor_dbfs", pa.float64()),
        ("words_estimated", pa.float64()),
        ("fto_clipped", pa.int32()),
        ("cues_dropped", pa.int32()),
    ]
)
_FIELDS = pa.schema(
    [
        ("id", pa.string()),
        ("language", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("profile", pa.string()),
        ("duration", pa.float64()),
        ("num_samples", pa.int64()),
        ("sample_rate", pa.int32()),
        ("user_audio", _AUDIO),
        ("assistant_audio", _AUDIO),
        ("segments", pa.list_(_SEGMENT)),
        ("events", pa.list_(_EVENT)),
        ("noise", pa.list_(_NOISE)),
        ("voices", pa.struct([("user", _VOICE), ("assistant", _VOICE)])),
        ("licences", pa.list_(pa.string())),
        ("provenance", _PROVENANCE),
        ("quality", _QUALITY),
    ]
)


def features(kind: pa.DataType | None = None) -> dict[str, Any]:
    """The Hugging Face ``Features`` as the JSON that ``datasets`` reads back, for the whole row or one Arrow type."""
    if kind is None:
        columns = {f.name: features(f.type) for f in _FIELDS}
        audio = {"sampling_rate": SAMPLE_RATE, "num_channels": 1, "_type": "Audio"}
        return {**columns, **dict.fromkeys(AUDIO_COLUMNS, audio)}
    if pa.types.is_struct(kind):
        return {kind.field(i).name: features(kind.field(i).type) for i in range(kind.num_fields)}
    if pa.types.is_list(kind):
        return {"feature": features(kind.value_type), "_type": "List"}
    names = {pa.bool_(): "bool", pa.float64(): "float64"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}


SCHEMA: pa.Schema = _FIELDS.with_metadata(
    {
        "huggingface": json.dumps({"info": {"features": features()}}),
        "schema_version": str(SCHEMA_VERSION),
    }
)


def leaves(kind: pa.DataType, path: str) -> list[str]:
    """Parquet leaf paths below a column, as ``ParquetWriter`` options name them."""
    if pa.types.is_struct(kind):
        return [p for i in range(kind.num_fields) for p in leaves(kind.field(i).type, f"{path}.{kind.field(i).name}")]
    if pa.types.is_list(kind):
        return leaves(kind.value_type, f"{path}.list.element")
    return [path]


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table of the published schema. The audio is copied once: it is nearly all there is."""
    columns = []
    for field in _FIELDS:
        values = [row[field.name] for row in rows]
        if field.name in AUDIO_COLUMNS:
            paths = pa.array([v["path"] for v in values], pa.string())
            columns.append(
                pa.StructArray.from_arrays([_binary([v["bytes"] for v in values]), paths], ["bytes", "path"])
            )
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _binary(blobs: Sequence[bytes]) -> pa.Array:
    """A binary array over one joined buffer; its 32-bit offsets bound a row group to 2 GiB."""
    offsets = np.zeros(len(blobs) + 1, np.int32)
    np.cumsum([len(b) for b in blobs], out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), len(blobs), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(blobs))])


def writer_options() -> dict[str, Any]:
    """Options for ``pyarrow.parquet.ParquetWriter``: audio plain and uncompressed (FLAC does not shrink further),
    everything else zstd. Plain audio needs no content-defined chunking for a re-published file to share
    its bytes (measured with the Hub's own chunker: the same 2.6 of 238 MB are new with it and without)."""
    paths = [p for f in SCHEMA for p in leaves(f.type, f.name)]
    audio = {f"{name}.bytes" for name in AUDIO_COLUMNS}
    return {
        "compression": {p: "none" if p in audio else "zstd" for p in paths},
        "use_dictionary": [p for p in paths if p not in audio],
        "column_encoding": dict.fromkeys(sorted(audio), "PLAIN"),
        "write_page_index": True,
    }
