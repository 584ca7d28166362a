"""check: the encoded audio is decoded again and measured against its plan; what fails is rejected with the reason."""

from __future__ import annotations

import numpy as np

from datagen.codec import decode_flac
from datagen.core.audio import FULL_SCALE, Pcm, clicks, db, from_pcm16, longest_zero_run, power
from datagen.core.types import Checked, Quality, Rendered, Segment, Strict, Timeline
from datagen.core.units import from_ms
from datagen.stages.inputs import Inputs, Put

NAME = "check"
VERSION = 1
UPSTREAM = "render"
IN = Rendered
OUT = Checked


class Config(Strict):
    max_zero_run_ms: float = 20.0
    """Longest stretch of exact zeros in the user's channel."""
    max_clipped: int = 0
    click_limit: float = 6.0
    """Largest ``clicks`` where speech was parted or cut: well above what fades leave, below what a hard cut makes."""
    max_outside_db: float = -60.0
    """The assistant's channel outside its segments, relative to its speech."""


def process(record: Rendered, config: Config, inputs: Inputs, put: Put) -> Checked:
    """The record with its quality figures; ValueError when it breaks a limit."""
    user = decode_flac(inputs.bytes("render", record.user_flac))
    assistant = decode_flac(inputs.bytes("render", record.assistant_flac))
    timeline = record.plan.timeline
    for name, pcm in (("user", user), ("assistant", assistant)):
        if pcm.size != timeline.num_samples:
            raise ValueError(f"{name} channel has {pcm.size} samples, the plan {timeline.num_samples}")
    _check_user(user, config)
    _check_assistant(assistant, record, config)
    if record.clipped_samples > config.max_clipped:
        raise ValueError(f"{record.clipped_samples} samples clip, at most {config.max_clipped} may")
    return Checked(rendered=record, quality=measure(user, assistant, record))


def measure(user: Pcm, assistant: Pcm, record: Rendered) -> Quality:
    """The published quality figures."""
    timeline = record.plan.timeline
    words = [w for s in timeline.segments for w in s.words]
    return Quality(
        clipped_samples=record.clipped_samples,
        user_peak=_peak(user),
        assistant_peak=_peak(assistant),
        user_speech_dbfs=_level(record.user_speech_power),
        assistant_speech_dbfs=_level(record.assistant_speech_power),
        floor_dbfs=_level((record.plan.mix.floor_rms * record.scale) ** 2),
        words_estimated=round(sum(w.estimated for w in words) / max(len(words), 1), 4),
        fto_clipped=sum(t.clipped for t in timeline.transitions),
        cues_dropped=len(timeline.dropped),
    )


def _check_user(user: Pcm, config: Config) -> None:
    run = longest_zero_run(user)
    if run > from_ms(config.max_zero_run_ms):
        raise ValueError(f"user channel has {run} exact zeros in a row; raise levels.floor_dbfs")


def _check_assistant(assistant: Pcm, record: Rendered, config: Config) -> None:
    timeline = record.plan.timeline
    outside = _outside(assistant, timeline)
    if record.assistant_speech_power and db(power(outside) / record.assistant_speech_power) > config.max_outside_db:
        raise ValueError("assistant channel sounds outside its segments")
    own = [s for s in timeline.segments if s.speaker == "assistant"]
    loudest = clicks(from_pcm16(assistant), _cuts(own))
    if loudest > config.click_limit:
        raise ValueError(f"assistant channel clicks where it is cut ({loudest:.1f} times its surroundings)")


def _outside(pcm: Pcm, timeline: Timeline) -> Pcm:
    """The assistant's samples outside its segments."""
    silent = np.ones(pcm.size, bool)
    for segment in timeline.segments:
        if segment.speaker == "assistant":
            silent[segment.start : segment.end] = False
    return pcm[silent]


def _cuts(segments: list[Segment]) -> list[int]:
    """Where pieces of speech begin or end in mid-utterance."""
    inner = [
        at
        for s in segments
        for left, right in zip(s.pieces, s.pieces[1:], strict=False)
        for at in (left.stop, right.at)
    ]
    return inner + [s.end for s in segments if s.yielded]


def _peak(pcm: Pcm) -> float:
    return round(max(int(pcm.max()), -int(pcm.min())) / FULL_SCALE, 5)


def _level(mean_square: float) -> float:
    return round(db(mean_square), 2) if mean_square > 0 else -120.0
