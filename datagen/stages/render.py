"""render: a plan's two signals. The only stage that touches samples of whole conversations, so the hot path.

user       = gain * speech + noise floor + noise blocks       (what the assistant hears)
assistant  = gain * speech                                    (clean)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datagen.codec import encode_flac
from datagen.core.audio import (
    FULL_SCALE,
    Pcm,
    Signal,
    active_power,
    add_at,
    add_noise_floor,
    fade_edges,
    noise_gain,
    peak,
    power,
    realised_snr_db,
    to_pcm16,
)
from datagen.core.checks import measure
from datagen.core.records import Mix, Plan, Rendered, Timeline
from datagen.core.rng import stream
from datagen.core.types import Speaker, Strict
from datagen.core.units import from_ms
from datagen.stages.inputs import Inputs, Put

NAME = "render"
VERSION = 1
UPSTREAM = ("plan",)
IN = Plan


class Config(Strict):
    seed: int
    join_fade_ms: float = 5.0
    """Where speech is parted for a pause."""
    yield_fade_ms: float = 40.0
    """Where an interrupted speaker falls silent."""
    noise_fade_ms: float = 15.0
    """At both ends of a noise block (RelayS2S noise_mixing)."""
    max_peak: float = 0.98


@dataclass(frozen=True)
class Sound:
    """What a plan refers to, as arrays: utterances by index, and each noise block's stretch of its clip."""

    utterances: Sequence[Pcm]
    noise: Sequence[Pcm]


@dataclass(frozen=True)
class Signals:
    """A rendered conversation."""

    user: Pcm
    assistant: Pcm
    snr_db: tuple[float, ...]
    user_speech_power: float
    assistant_speech_power: float
    clipped_samples: int
    scale: float


def process(record: Plan, config: Config, inputs: Inputs, put: Put) -> Rendered:
    """The plan with both signals as FLAC in the pack."""
    clips = inputs.noise_clips
    utterances = [u.pcm for u in record.voiced.utterances if u.pcm is not None]
    if len(utterances) != len(record.voiced.utterances):
        raise ValueError("an utterance has no samples; a preview cannot be rendered")
    sound = Sound(
        utterances=[inputs.samples("synthesize", blob) for blob in utterances],
        noise=[inputs.noise(clips[b.clip], b.clip_start, b.end - b.start) for b in record.mix.noise],
    )
    signals = render(record.timeline, record.mix, sound, config)
    return Rendered(
        plan=record,
        user_flac=put(encode_flac(signals.user)),
        assistant_flac=put(encode_flac(signals.assistant)),
        snr_db=tuple(round(value, 3) for value in signals.snr_db),
        user_speech_power=signals.user_speech_power,
        assistant_speech_power=signals.assistant_speech_power,
        clipped_samples=signals.clipped_samples,
        measured=measure(signals.user, signals.assistant, record.timeline),
        scale=signals.scale,
    )


def render(timeline: Timeline, mix: Mix, sound: Sound, config: Config) -> Signals:
    """Both signals of a timeline. Pure: draws only from the conversation's floor stream."""
    user = speech(timeline, "user", sound.utterances, mix.user_gain, config)
    assistant = speech(timeline, "assistant", sound.utterances, mix.assistant_gain, config)
    user_power = speech_power(user, timeline, "user")
    assistant_power = speech_power(assistant, timeline, "assistant")
    realised: list[float] = []
    fade = from_ms(config.noise_fade_ms)
    for block, clip in zip(mix.noise, sound.noise, strict=True):
        noise = fade_edges(np.multiply(clip, np.float32(1 / FULL_SCALE), dtype=np.float32), fade, fade)
        noise *= np.float32(noise_gain(user_power or assistant_power, power(noise), block.snr_db))
        realised.append(realised_snr_db(user_power or assistant_power, noise))
        add_at(user, noise, block.start)
    add_noise_floor(user, mix.floor_rms, stream(config.seed, timeline.id, "floor"))
    scale = min(1.0, config.max_peak / peak(user))
    if scale < 1:
        user *= np.float32(scale)
    user_pcm, user_clipped = to_pcm16(user)
    assistant_pcm, assistant_clipped = _quantised(assistant, timeline)
    return Signals(
        user=user_pcm,
        assistant=assistant_pcm,
        snr_db=tuple(realised),
        user_speech_power=user_power * scale**2,
        assistant_speech_power=assistant_power,
        clipped_samples=user_clipped + assistant_clipped,
        scale=scale,
    )


def speech(timeline: Timeline, speaker: Speaker, utterances: Sequence[Pcm], gain: float, config: Config) -> Signal:
    """One speaker's words on the clock, silence elsewhere."""
    out = np.zeros(timeline.num_samples, np.float32)
    factor = np.float32(gain / FULL_SCALE)
    join, yielding = from_ms(config.join_fade_ms), from_ms(config.yield_fade_ms)
    for segment in timeline.segments:
        if segment.speaker != speaker:
            continue
        last = len(segment.pieces) - 1
        for number, piece in enumerate(segment.pieces):
            stretch = out[piece.at : piece.stop]
            np.multiply(utterances[segment.utterance][piece.start : piece.end], factor, out=stretch)
            after = join if number < last else (yielding if segment.yielded else 0)
            fade_edges(stretch, join if number else 0, after)
    return out


def _quantised(assistant: Signal, timeline: Timeline) -> tuple[Pcm, int]:
    """The assistant's 16-bit samples and how many clip; only its segments are worth the work."""
    pcm, clipped = np.zeros(assistant.size, np.int16), 0
    for segment in timeline.segments:
        if segment.speaker == "assistant":
            pcm[segment.start : segment.end], more = to_pcm16(assistant[segment.start : segment.end])
            clipped += more
    return pcm, clipped


def speech_power(signal: Signal, timeline: Timeline, speaker: Speaker) -> float:
    """Mean square over a speaker's audible words; 0 when it says nothing."""
    spans = [(w.start, w.end) for s in timeline.segments if s.speaker == speaker for w in s.words]
    spans = [(start, end) for start, end in spans if end > start]
    return active_power(signal, spans) if spans else 0.0
