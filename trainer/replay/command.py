"""Replays a source through a bundle: one or several conversations at a time, logs and sound to a folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from datagen.core.types import Split, Strict
from datagen.core.units import FRAME_MS, SAMPLE_RATE
from trainer.aside import aside
from trainer.replay.figures import Figures, figures
from trainer.replay.sources import Talk, talks
from trainer.runtime.events import Mode
from trainer.runtime.following import Follow
from trainer.runtime.listening import Listener, RecordedListener
from trainer.runtime.playing import play
from trainer.runtime.recording import Recording
from trainer.runtime.relaying import Relay, warm
from trainer.runtime.session import Session
from trainer.runtime.virtual import run

FIGURES = "replay.json"
Say = Callable[[str], None]


class Options(Strict):
    """What is replayed, and how."""

    source: str
    split: Split = "test"
    limit: int | None = None
    mode: Mode = "relay"
    turn_taking: Literal["model", "recorded"] = "model"
    """recorded: the floor goes as in the recording, so that systems differ in nothing else."""
    trigger: Literal["voice", "model"] = "voice"
    """Of a cascade."""
    follow: Follow = "text"
    speed: Literal["real", "fast"] = "real"
    """fast: on a jumping clock; what is computed takes no time there, so latencies are those of the waiting alone."""
    at_once: int = 1
    """Conversations side by side."""


def replay(open_relay: Callable[[bool], Relay], options: Options, out: Path | None, say: Say) -> Figures:
    """Plays everything, writes OUT/ID.jsonl, OUT/ID.wav (channel 0 the assistant, 1 the user) and OUT/replay.json.

    ``open_relay`` makes the relay, for a jumping clock or not. ValueError for sources that cannot be replayed so.
    """
    found = list(talks(options.source, options.split, options.limit))
    if options.turn_taking == "recorded" and any(talk.row is None for talk in found):
        raise ValueError(f"turn_taking: {options.source} has no recorded turns; take a dataset or turn_taking model")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    jumping = options.speed == "fast"
    recordings = run(_all(open_relay(jumping), found, options, say), jumping)
    result = figures(options.mode, list(zip(found, recordings, strict=True)))
    if out is not None:
        for talk, recording in zip(found, recordings, strict=True):
            write(out, talk, recording)
        with aside(out / FIGURES) as file:
            file.write_text(result.model_dump_json(indent=1) + "\n")
    return result


async def _all(relay: Relay, found: list[Talk], options: Options, say: Say) -> list[Recording]:
    free = asyncio.Semaphore(options.at_once)

    async def one(number: int, talk: Talk) -> Recording:
        async with free:
            # Ticks of conversations side by side fall into different parts of the 160 ms, as in life.
            await asyncio.sleep(FRAME_MS / 1000 * (number % options.at_once) / options.at_once)
            recording = await play(_session(relay, talk, options), talk.user)
            say(f"{number + 1}/{len(found)} {talk.id}: {len(recording.responses)} responses")
            return recording

    try:
        await warm(relay)
        return await asyncio.gather(*(one(number, talk) for number, talk in enumerate(found)))
    finally:
        await relay.aclose()


def _session(relay: Relay, talk: Talk, options: Options) -> Session:
    listener: Listener | None = None
    if options.turn_taking == "recorded":
        listener = RecordedListener(
            talk.ticks_of("assistant", "turn"), talk.ticks_of("assistant", "backchannel"), talk.ticks_of("user", "turn")
        )
    return relay.session(options.mode, listener=listener, trigger=options.trigger, follow=options.follow)


def write(out: Path, talk: Talk, recording: Recording) -> None:
    """The log and the sound of one conversation."""
    name = "".join(c if c.isalnum() or c in "-._" else "_" for c in talk.id)
    lines = [json.dumps({"at_ms": e.at_ms, "what": e.what, "turn": e.turn, **e.data}) for e in recording.log]
    lines += [
        json.dumps({"what": "response", "turn": e.turn, "heard": e.heard, **e.record}) for e in recording.responses
    ]
    with aside(out / f"{name}.jsonl") as file:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    both = np.stack([recording.assistant(len(talk.user)), talk.user], axis=1)
    with aside(out / f"{name}.wav") as file:
        soundfile.write(file, both, SAMPLE_RATE, format="WAV", subtype="PCM_16")


def table(found: Figures) -> list[str]:
    """For people: one figure a line."""
    rows = [
        ("conversations", f"{found.conversations}, {found.seconds / 60:.1f} min"),
        ("turns", ", ".join(f"{count} {name}" for name, count in found.outcomes.items()) or "none"),
        ("backchannels", str(found.backchannels)),
        ("committed", "-" if found.committed is None else f"{100 * found.committed:.1f} %"),
        ("onset (paper's)", _spread(found.onset_ms)),
        ("audible onset", _spread(found.audible_ms)),
        ("relay margin", _spread(found.margin_ms)),
        ("seamless", "-" if found.seamless is None else f"{100 * found.seamless:.1f} %"),
        ("underruns", f"{found.underruns}, {found.underrun_ms:.0f} ms"),
        ("barge-in stop", f"{_spread(found.stops)}; talked over {found.talked_over}"),
        ("tick lateness", _spread(found.lateness_ms)),
    ]
    rows += [
        (f"[{k.upper()}] F1", f"{100 * c.f1:.1f} % of {c.truths}") for k, c in found.turn_taking.items() if c.truths
    ]
    if found.failures:
        rows.append(("failures", str(found.failures)))
    return [f"  {name:<16} {value}" for name, value in rows]


def _spread(found: Any) -> str:
    if found is None:
        return "-"
    return f"P50 {found.p50:.0f} P90 {found.p90:.0f} P99 {found.p99:.0f} worst {found.worst:.0f} ms ({found.count})"
