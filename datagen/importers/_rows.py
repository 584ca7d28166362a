"""The published row of a conversation from elsewhere. Pure: what is not told is derived, measured or left empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from datagen.codec import encode_flac
from datagen.core.audio import FULL_SCALE, Pcm, active_power, db
from datagen.core.types import SPEAKERS, Speaker, Word, other
from datagen.core.units import SAMPLE_RATE, to_seconds
from datagen.core.words import fill_word_times
from datagen.identity import code_version
from datagen.importers._base import Draft, ImportConfig, Said, dataset_name
from datagen.importers._sound import TOLERANCE, same_length
from datagen.sources._turns import clean_id


def row_of(draft: Draft, config: ImportConfig, identity: str) -> dict[str, Any]:
    """The row; ValueError when the conversation cannot be one."""
    user, assistant = same_length(draft.user, draft.assistant)
    said = [_inside(item, len(user)) for item in sorted(draft.said, key=lambda s: (s.start, s.end))]
    name = clean_id(draft.id)
    known = draft.known
    made = {
        "id": name,
        "language": known.get("language") or config.language,
        "domain": known.get("domain") or config.domain,
        "source": known.get("source") or config.kind,
        "profile": known.get("profile") or "imported",
        "duration": to_seconds(len(user)),
        "num_samples": len(user),
        "sample_rate": SAMPLE_RATE,
        "user_audio": {"bytes": encode_flac(user), "path": f"{name}_user.flac"},
        "assistant_audio": {"bytes": encode_flac(assistant), "path": f"{name}_assistant.flac"},
        "segments": [_segment(item) for item in said],
        "events": known["events"] if "events" in known else events(said),
        "noise": known.get("noise") or [],
        "voices": {role: _voice(draft, role, config) for role in SPEAKERS},
        "licences": known.get("licences") or ([config.licence] if config.licence else []),
        "provenance": known.get("provenance") or _provenance(config, identity),
        "quality": known.get("quality") or _quality(user, assistant, said),
    }
    for column, example in (("language", "en"), ("licences", "CC-BY-4.0")):
        if not made[column]:
            key = "licence" if column == "licences" else column
            raise ValueError(f"{key}: the set does not tell it; add --set {key}={example}")
    return made


def _inside(item: Said, length: int) -> Said:
    """A segment that ends with the conversation at the latest; times of words are filled in where they are unknown."""
    end = min(item.end, length) if item.end <= length + TOLERANCE else item.end
    if not 0 <= item.start < end <= length:
        raise ValueError(
            f"segment {item.text[:20]!r} of the {item.speaker} from {to_seconds(item.start):g} to "
            f"{to_seconds(item.end):g} s does not lie in the {to_seconds(length):g} s of audio; correct its times"
        )
    words = item.words
    if words is None:
        words = fill_word_times(item.text.split(), {}, item.start, end)
    words = tuple(Word(text=w.text, start=min(w.start, end), end=min(w.end, end), estimated=w.estimated) for w in words)
    return replace(item, end=end, words=words, text_full=item.text_full or item.text)


def _segment(item: Said) -> dict[str, Any]:
    return {
        "speaker": item.speaker,
        "kind": item.kind,
        "start": to_seconds(item.start),
        "end": to_seconds(item.end),
        "text": item.text,
        "text_full": item.text_full,
        "words": [
            {"word": w.text, "start": to_seconds(w.start), "end": to_seconds(w.end), "estimated": w.estimated}
            for w in item.words or ()
        ],
        "yielded": item.yielded,
    }


def events(said: Sequence[Said]) -> list[dict[str, Any]]:
    """What the segments tell: backchannels, and the barge-ins that cut a turn. In order of start."""
    found: list[dict[str, Any]] = []
    for index, item in enumerate(said):
        if item.kind == "backchannel":
            target = _held(said, index)
            found.append(_event("backchannel", item.speaker, item.start, item.end, target, "floor kept"))
        elif item.yielded:
            cutting = [s for s in said if s.speaker != item.speaker and s.kind == "turn" and s.start > item.start]
            start = min([item.end, *(s.start for s in cutting)])
            found.append(_event("barge_in", other(item.speaker), start, item.end, index, "yielded"))
    return sorted(found, key=lambda e: (e["start"], e["end"]))


def _held(said: Sequence[Said], index: int) -> int:
    """The turn of the other speaker in which a backchannel is heard, or the last one before it."""
    earlier = [n for n, s in enumerate(said[:index]) if s.kind == "turn" and s.speaker != said[index].speaker]
    return earlier[-1] if earlier else index


def _event(kind: str, actor: Speaker, start: int, end: int, target: int, outcome: str) -> dict[str, Any]:
    return {
        "type": kind,
        "actor": actor,
        "start": to_seconds(start),
        "end": to_seconds(end),
        "target": target,
        "outcome": outcome,
        "probability": 1.0,
    }


def _voice(draft: Draft, role: Speaker, config: ImportConfig) -> dict[str, str]:
    """Who speaks; conversations whose voices are not known have voices of their own."""
    told = (draft.known.get("voices") or {}).get(role)
    if told:
        return {key: told.get(key) or "" for key in ("id", "origin", "licence", "consent")}
    return {
        "id": draft.voices.get(role) or f"{clean_id(draft.id)}-{role}",
        "origin": config.origin or f"imported from {config.kind}",
        "licence": config.licence,
        "consent": config.consent,
    }


def _provenance(config: ImportConfig, identity: str) -> dict[str, Any]:
    version = _version()
    engine = {"role": "import", "name": config.kind, "revision": version}
    return {
        "recipe": dataset_name(config),
        "recipe_hash": identity,
        "seed": 0,
        "code_version": version,
        "engines": [engine],
    }


@cache
def _version() -> str:
    return code_version()


def _quality(user: Pcm, assistant: Pcm, said: Sequence[Said]) -> dict[str, Any]:
    """What can be measured without knowing how the sound was made."""
    words = [w for item in said for w in item.words or ()]
    estimated = sum(w.estimated for w in words) / len(words) if words else 0.0
    clipped = sum(int(np.count_nonzero((x >= FULL_SCALE - 1) | (x == -FULL_SCALE))) for x in (user, assistant))
    found: dict[str, Any] = {"wer": None, "token_overflow": None, "clipped_samples": clipped}
    for name, x in (("user", user), ("assistant", assistant)):
        spans = [(item.start, item.end) for item in said if item.speaker == name]
        level = active_power(x, spans) if spans else 0.0
        found[f"{name}_peak"] = round(max(int(x.max()), -int(x.min())) / FULL_SCALE, 5)
        found[f"{name}_speech_dbfs"] = round(db(level), 2) if level > 0 else None
    return {**found, "floor_dbfs": None, "words_estimated": estimated, "fto_clipped": 0, "cues_dropped": 0}
