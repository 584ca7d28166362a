"""A small published data set made on the spot: hummed words, plausible turns, every phenomenon and some noise."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datagen.codec import encode_flac
from datagen.core.rng import stream
from datagen.core.types import SPEAKERS, Speaker
from datagen.schema import SCHEMA, writer_options

RATE = 16_000
ASKED = "could you book a table for two at the little place near the harbour on friday evening please"
ANSWERED = "sure I have found a quiet table by the window at half past seven would that be fine"
DOMAINS = ("restaurant", "travel", "banking", "smart home")
SCENES = ("kitchen", "street", "babble")
SPLITS = ("train", "validation", "test")
MANIFEST: dict[str, Any] = {
    "recipe": "assistant",
    "profile": "polite",
    "language": "en",
    "seconds_per_stage": {"ingest": 0.4, "annotate": 1.2, "synthesize": 31.0, "plan": 2.2, "render": 9.5, "check": 3.0},
    "counts": {
        "ingest": {"in": 26, "out": 26, "rejected": 0},
        "synthesize": {"in": 26, "out": 25, "rejected": 1},
        "check": {"in": 25, "out": 24, "rejected": 1},
    },
    "rejected_reasons": {"synthesize": {"turn N: nothing audible": 1}, "check": {"clipped samples above N": 1}},
    "human": [
        {
            "text": "Telephone dialogues, 262 floor changes",
            "source": "a made-up citation for tests",
            "fto_quantiles": [[0.1, -80], [0.25, 70], [0.5, 250], [0.75, 540], [0.9, 890]],
            "overlap_share": 0.176,
            "backchannels_per_minute": 1.7,
            "yield_probability": 0.368,
        }
    ],
}


@dataclass
class Draft:
    """A conversation under construction; times in samples."""

    rng: np.random.Generator
    clock: int = RATE // 2
    segments: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def event(self, kind: str, actor: Speaker, start: int, end: int, outcome: str, probability: float) -> None:
        target = len(self.segments) - 1
        self.events.append(
            {"type": kind, "actor": actor, "start": start / RATE, "end": end / RATE, "target": target}
            | {"outcome": outcome, "probability": probability}
        )

    def say(self, speaker: Speaker, kind: str, start: int, text: list[str], pause_after: int = -1) -> int:
        """Adds a segment; returns its end."""
        at, words = start, []
        for index, word in enumerate(text):
            length = int(RATE * (0.08 + 0.045 * len(word)) * self.rng.uniform(0.85, 1.15))
            words.append({"word": word, "start": at / RATE, "end": (at + length) / RATE, "estimated": False})
            at += length + RATE // 50
            if index == pause_after:
                at += RATE * 4 // 5
        end = at - RATE // 50
        full = " ".join(text)
        self.segments.append(
            {"speaker": speaker, "kind": kind, "start": start / RATE, "end": end / RATE, "text": full}
            | {"text_full": full, "words": words, "yielded": False}
        )
        if pause_after >= 0:
            gap = (words[pause_after]["end"], words[pause_after + 1]["start"])
            self.event("pause", speaker, int(gap[0] * RATE), int(gap[1] * RATE), "turn kept", 0.5)
        return end

    def cut(self, share: float) -> int:
        """Cuts the last segment; returns where it now ends."""
        last = self.segments[-1]
        end = last["start"] + (last["end"] - last["start"]) * share
        last["words"] = [w for w in last["words"] if w["end"] <= end]
        last["end"], last["yielded"] = last["words"][-1]["end"], True
        last["text"] = " ".join(w["word"] for w in last["words"])
        return round(last["end"] * RATE)


def draft(index: int, turns: int, gap_ms: float | None) -> Draft:
    """Alternating turns; ``gap_ms`` fixes every offset, else they vary and may overlap."""
    made = Draft(stream(7, f"tiny-{index}", "draft"))
    rng, end = made.rng, made.clock
    for turn in range(turns):
        speaker: Speaker = SPEAKERS[turn % 2]
        low = 60 if speaker == "assistant" else -300
        drawn = rng.uniform(low, 500) if gap_ms is None else gap_ms
        start = max(end + int(drawn * 16), 0) if turn else end
        cut_in = bool(made.segments) and made.segments[-1]["yielded"]
        if cut_in:
            start = end - RATE * 2 // 5
            made.event("barge_in", speaker, start, end, "yielded", 0.25)
        text: list[str] = [*(ASKED if speaker == "user" else ANSWERED).split()][: int(rng.integers(6, 17))]
        pause = 3 if speaker == "user" and (index + turn) % 4 == 0 else -1
        end = made.say(speaker, "turn", start, text, pause)
        if speaker == "user" and (index + turn) % 3 == 0 and end - start > 2 * RATE:
            at = start + int((end - start) * 0.6)
            stop = made.say("assistant", "backchannel", at, ["mm-hmm"])
            made.event("backchannel", "assistant", at, stop, "floor kept", 0.4)
        elif speaker == "assistant" and (index + turn) % 5 == 1 and turn < turns - 1:
            end = made.cut(0.6)
    made.segments.sort(key=lambda s: s["start"])
    made.clock = end + RATE // 2
    return made


def hum(made: Draft, speaker: Speaker, noise: float) -> bytes:
    """A tone per word on a faint floor, as FLAC."""
    pcm = made.rng.normal(0, 20 + noise, made.clock + RATE)
    for segment in (s for s in made.segments if s["speaker"] == speaker):
        for word in segment["words"]:
            a, b = int(word["start"] * RATE), int(word["end"] * RATE)
            t = np.arange(b - a) / RATE
            pitch = (210 if speaker == "assistant" else 130) + 3 * len(word["word"])
            pcm[a:b] += 6000 * np.sin(2 * np.pi * pitch * t) * np.sin(np.pi * np.arange(b - a) / (b - a))
    return encode_flac(np.clip(pcm, -32768, 32767).astype(np.int16))


def row(index: int, *, turns: int = 5, gap_ms: float | None = None, split: str = "train") -> dict[str, Any]:
    """One published row."""
    made = draft(index, turns, gap_ms)
    n, noisy = made.clock + RATE, index % 3 == 0
    asked = 5.0 + index % 16
    block = {"clip": f"clip-{index}", "scene": SCENES[index // 3 % 3], "start": 1.0, "end": n / RATE - 1}
    voice = {"origin": "synthetic tone", "licence": "CC0-1.0", "consent": "not needed: no real person's voice"}
    return {
        "id": f"tiny-{index:05d}",
        "language": "en",
        "domain": DOMAINS[index % len(DOMAINS)],
        "source": "grammar",
        "profile": "polite",
        "duration": n / RATE,
        "num_samples": n,
        "sample_rate": RATE,
        "user_audio": {"bytes": hum(made, "user", 300.0 * noisy), "path": f"tiny-{index:05d}.user.flac"},
        "assistant_audio": {"bytes": hum(made, "assistant", 0.0), "path": f"tiny-{index:05d}.assistant.flac"},
        "segments": made.segments,
        "events": made.events,
        "noise": [{**block, "snr_db_asked": asked, "snr_db": asked + made.rng.normal(0, 0.2)}] if noisy else [],
        "voices": {
            "user": {"id": f"{split}-user-{index % 4}", **voice},
            "assistant": {"id": f"{split}-assistant", **voice},
        },
        "licences": ["Apache-2.0", "CC0-1.0"],
        "provenance": {"recipe": "assistant", "recipe_hash": "0123abcd", "seed": 7, "code_version": "0.1.0"}
        | {"engines": [{"role": "tts", "name": "hum", "revision": "1"}]},
        "quality": {"wer": 0.02, "clipped_samples": 0, "user_peak": 0.2, "assistant_peak": 0.2, "fto_clipped": 1}
        | {"user_speech_dbfs": -23.0 + index % 3, "assistant_speech_dbfs": -22.0, "floor_dbfs": -64.0}
        | {"words_estimated": 0.0, "cues_dropped": 0, "token_overflow": 0.0},
    }


def write_rows(folder: Path, rows: dict[str, list[dict[str, Any]]], manifest: dict[str, Any] | None = None) -> str:
    """Writes split files with small row groups; returns the folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, found in rows.items():
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        with pq.ParquetWriter(path, SCHEMA, **writer_options()) as writer:
            for k in range(0, len(found), 8):
                writer.write_table(pa.Table.from_pylist(found[k : k + 8], schema=SCHEMA))
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def write(folder: Path, count: int = 24, *, gap_ms: float | None = None, turns: int = 5) -> str:
    """A data set of ``count`` conversations in three splits, with its manifest."""
    rows: dict[str, list[dict[str, Any]]] = {s: [] for s in SPLITS}
    for index in range(count):
        split = SPLITS[max(0, index % 8 - 5)]
        rows[split].append(row(index, turns=turns, gap_ms=gap_ms, split=split))
    return write_rows(folder, rows, MANIFEST)
