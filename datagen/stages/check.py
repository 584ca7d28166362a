"""check: what was measured on the signals is held against limits, and the encoded audio against the signals.

Every FLAC must say it holds the planned samples; one conversation in twenty is decoded and measured again.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.codec import decode_flac, num_samples
from datagen.core.audio import db
from datagen.core.checks import measure
from datagen.core.records import Checked, Quality, Rendered, Utterance
from datagen.core.rng import key
from datagen.core.types import Strict
from datagen.core.units import from_ms
from datagen.stages.inputs import Inputs, Put

NAME = "check"
VERSION = 1
UPSTREAM = ("render",)
IN = Rendered


class Config(Strict):
    max_zero_run_ms: float = 20.0
    """Longest stretch of exact zeros in the user's channel."""
    max_clipped: int = 0
    click_limit: float = 6.0
    """Largest ``clicks`` where speech was parted or cut: well above what fades leave, below what a hard cut makes."""
    max_outside_db: float = -60.0
    """The assistant's channel outside its segments, relative to its speech."""
    decode_one_in: int = 20
    """How many conversations share one that is decoded; 1 = decode all (an eighth more time)."""


def process(record: Rendered, config: Config, inputs: Inputs, put: Put) -> Checked:
    """The record with its quality figures; ValueError when it breaks a limit."""
    user, assistant = (inputs.bytes("render", blob) for blob in (record.user_flac, record.assistant_flac))
    timeline = record.plan.timeline
    for name, flac in (("user", user), ("assistant", assistant)):
        if (found := num_samples(flac)) != timeline.num_samples:
            raise ValueError(f"{name} channel has {found} samples, the plan {timeline.num_samples}")
    if key(0, record.id, "decode") % config.decode_one_in == 0:
        again = measure(decode_flac(user), decode_flac(assistant), timeline)
        if again != record.measured:
            raise ValueError("the encoded audio is not what was rendered; check memory and disk, then run again")
    judge(record, config)
    return Checked(rendered=record, quality=quality(record))


def judge(record: Rendered, config: Config) -> None:
    """ValueError when a measured figure breaks a limit."""
    found = record.measured
    if found.longest_zero_run > from_ms(config.max_zero_run_ms):
        raise ValueError(f"user channel has {found.longest_zero_run} exact zeros in a row; raise levels.floor_dbfs")
    speech = record.assistant_speech_power
    if found.outside_power and (not speech or db(found.outside_power / speech) > config.max_outside_db):
        raise ValueError("assistant channel sounds outside its segments")
    if found.click > config.click_limit:
        raise ValueError(f"assistant channel clicks where it is cut ({found.click:.1f} times its surroundings)")
    if record.clipped_samples > config.max_clipped:
        raise ValueError(f"{record.clipped_samples} samples clip, at most {config.max_clipped} may")


def quality(record: Rendered) -> Quality:
    """The published quality figures."""
    timeline = record.plan.timeline
    words = [w for s in timeline.segments for w in s.words]
    heard = [u for u in record.plan.voiced.utterances if u.wer is not None]
    return Quality(
        wer=_word_error_rate(heard),
        clipped_samples=record.clipped_samples,
        user_peak=record.measured.user_peak,
        assistant_peak=record.measured.assistant_peak,
        user_speech_dbfs=_level(record.user_speech_power),
        assistant_speech_dbfs=_level(record.assistant_speech_power),
        floor_dbfs=_level((record.plan.mix.floor_rms * record.scale) ** 2),
        words_estimated=round(sum(w.estimated for w in words) / max(len(words), 1), 4),
        fto_clipped=sum(t.clipped for t in timeline.transitions),
        cues_dropped=len(timeline.dropped),
    )


def _word_error_rate(heard: Sequence[Utterance]) -> float | None:
    """Word errors per word over all utterances that were listened to."""
    words = sum(len(u.words) for u in heard)
    return round(sum((u.wer or 0.0) * len(u.words) for u in heard) / words, 4) if words else None


def _level(mean_square: float) -> float:
    return round(db(mean_square), 2) if mean_square > 0 else -120.0
