"""The published row (schema_version 1) of a checked conversation. Pure; seconds appear here and nowhere before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datagen.core.records import Checked, Segment
from datagen.core.types import Speaker, Strict, Voice
from datagen.core.units import SAMPLE_RATE, to_seconds
from datagen.stages.inputs import NoiseClip


class Provenance(Strict):
    """What every row says of its making."""

    recipe: str
    seed: int
    code_version: str
    engines: tuple[tuple[str, str, str], ...]
    """(role, kind, revision)."""


def row(
    record: Checked,
    flac: Mapping[Speaker, bytes],
    clips: Mapping[str, NoiseClip],
    profile: str,
    provenance: Provenance,
    recipe_hash: str,
) -> dict[str, Any]:
    """The published row of a conversation; seconds from here on."""
    rendered = record.rendered
    plan = rendered.plan
    timeline, voiced = plan.timeline, plan.voiced
    dialogue = voiced.script.dialogue
    licences = {dialogue.licence, voiced.user_voice.licence, voiced.assistant_voice.licence}
    licences |= {clips[b.clip].licence for b in plan.mix.noise}
    return {
        "id": dialogue.id,
        "language": dialogue.language,
        "domain": dialogue.domain,
        "source": dialogue.source,
        "profile": profile,
        "duration": to_seconds(timeline.num_samples),
        "num_samples": timeline.num_samples,
        "sample_rate": SAMPLE_RATE,
        "user_audio": _audio(dialogue.id, "user", flac["user"]),
        "assistant_audio": _audio(dialogue.id, "assistant", flac["assistant"]),
        "segments": [_segment(s) for s in timeline.segments],
        "events": [{**e.model_dump(), "start": to_seconds(e.start), "end": to_seconds(e.end)} for e in timeline.events],
        "noise": _noise(record, clips),
        "voices": {"user": _voice(voiced.user_voice), "assistant": _voice(voiced.assistant_voice)},
        "licences": sorted({part for licence in licences for part in licence.split(" AND ")}),
        "provenance": {
            "recipe": provenance.recipe,
            "recipe_hash": recipe_hash,
            "seed": provenance.seed,
            "code_version": provenance.code_version,
            "engines": [{"role": r, "name": n, "revision": v} for r, n, v in provenance.engines],
        },
        "quality": record.quality.model_dump(),
    }


def _audio(identifier: str, role: str, content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": f"{identifier}_{role}.flac"}


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "speaker": segment.speaker,
        "kind": segment.kind,
        "start": to_seconds(segment.start),
        "end": to_seconds(segment.end),
        "text": segment.text,
        "text_full": segment.text_full,
        "words": [
            {"word": w.text, "start": to_seconds(w.start), "end": to_seconds(w.end), "estimated": w.estimated}
            for w in segment.words
        ],
        "yielded": segment.yielded,
    }


def _noise(record: Checked, clips: Mapping[str, NoiseClip]) -> list[dict[str, Any]]:
    blocks = record.rendered.plan.mix.noise
    return [
        {
            "clip": block.clip,
            "scene": clips[block.clip].scene,
            "start": to_seconds(block.start),
            "end": to_seconds(block.end),
            "snr_db_asked": block.snr_db,
            "snr_db": realised,
        }
        for block, realised in zip(blocks, record.rendered.snr_db, strict=True)
    ]


def _voice(voice: Voice) -> dict[str, str]:
    return {"id": voice.id, "origin": voice.origin, "licence": voice.licence, "consent": voice.consent}
