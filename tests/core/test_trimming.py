"""Laws of trimming: silence goes, speech stays, and what was trimmed stays as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.audio import Signal
from datagen.core.trimming import FRAME, SPEECH_DB, active_level, frame_levels, longest_silence, spoken, trimmed
from datagen.core.units import SAMPLE_RATE
from tests.helpers import samples


def voice(seconds: float, level_db: float = -20, seed: int = 0) -> Signal:
    """A buzz with a little breath: every 10 ms of it is loud."""
    count = round(seconds * SAMPLE_RATE)
    phase = np.arange(count) * (140 / SAMPLE_RATE)
    buzz = (phase % 1 - 0.5) + 0.05 * np.random.default_rng(seed).standard_normal(count)
    return (buzz / max(buzz.std(), 1e-9) * 10 ** (level_db / 20)).astype(np.float32)


def room(seconds: float, level_db: float, seed: int = 1) -> Signal:
    """White noise."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return (noise * 10 ** (level_db / 20)).astype(np.float32)


@st.composite
def clips(draw: st.DrawFn) -> Signal:
    """Stretches of buzz and noise of any level and length, as they come."""
    parts = draw(
        st.lists(
            st.tuples(st.booleans(), st.integers(1, 3000), st.integers(-110, -6), st.integers(0, 5)),
            min_size=1,
            max_size=8,
        )
    )
    made = [(voice if voiced else room)(count / SAMPLE_RATE, level, seed) for voiced, count, level, seed in parts]
    return np.concatenate(made)


@given(clips(), st.integers(0, 3000), st.booleans())
def test_no_loud_frame_is_cut_off_and_a_second_pass_changes_nothing(clip: Signal, keep: int, as_pcm: bool) -> None:
    pcm = np.clip(np.rint(clip * 32_768), -32_768, 32_767).astype(np.int16) if as_pcm else clip
    start, stop = trimmed(pcm, keep)
    assert 0 <= start < stop <= pcm.size
    bound = active_level(frame_levels(pcm)) - SPEECH_DB
    for gone in (pcm[:start], pcm[stop:]):
        assert not (frame_levels(gone) > bound + 1e-3).any()
    assert trimmed(pcm[start:stop], keep) == (0, stop - start)


@given(clips(), st.sampled_from([0.001, 0.1, 3.0]))
def test_the_level_of_a_clip_does_not_matter(clip: Signal, gain: float) -> None:
    if frame_levels(clip).max() + 20 * np.log10(gain) < -60:
        return  # too near the end of the scale
    floored = frame_levels(clip).min() < -55  # what lies below the scale is the same for both
    if not floored:
        assert trimmed(clip * np.float32(gain), 160) == trimmed(clip, 160)


@given(
    lead=st.integers(0, 60),
    tail=st.integers(0, 60),
    noise_db=st.sampled_from([-300, -90, -70, -60]),
    keep=st.sampled_from([0, 160, 1280]),
)
def test_silence_goes_but_for_the_margin(lead: int, tail: int, noise_db: int, keep: int) -> None:
    """Speech at -20 dBFS in a room up to 40 dB below it."""
    clip = np.concatenate([np.zeros(lead * FRAME), voice(0.6), np.zeros(tail * FRAME)]).astype(np.float32)
    clip = clip + room(clip.size / SAMPLE_RATE, noise_db)
    start, stop = trimmed(clip, keep)
    assert start == max(lead * FRAME - keep, 0)
    assert stop == min(clip.size - tail * FRAME + keep, clip.size)


def test_a_loud_room_is_trimmed_less_and_never_speech() -> None:
    for noise_db in (-50, -40, -35, -30):
        clip = np.concatenate([room(0.5, -120), voice(0.6), room(0.5, -120)]) + room(1.6, noise_db)
        start, stop = trimmed(clip, 0)
        assert start <= 8000
        assert stop >= 17_600


def test_a_room_that_sets_in_after_digital_silence_is_silence_too() -> None:
    """Only without the zeros is it the quietest there is."""
    clip = np.concatenate([np.zeros(4800, np.float32), room(0.4, -56), voice(0.5), room(0.4, -56)])
    assert trimmed(clip, 0) == (11_200, 19_200)


def test_a_constant_offset_is_no_sound() -> None:
    clip = np.pad(voice(0.5), (4800, 3200))
    assert trimmed(clip + np.float32(0.1), 160) == trimmed(clip, 160) == (4640, 12_960)


@pytest.mark.parametrize(("below_db", "silent"), [(22, 0), (28, 100)])
def test_soft_sounds_are_speech_and_a_breath_is_none(below_db: int, silent: int) -> None:
    clip = np.concatenate([voice(0.4), room(1.0, -20 - below_db), voice(0.4)])
    assert longest_silence(frame_levels(clip)) == silent


@pytest.mark.parametrize("clip", [np.zeros(5000, np.int16), room(0.4, -30), np.zeros(7, np.float32)])
def test_a_clip_of_one_level_is_left_whole(clip: Signal) -> None:
    assert trimmed(clip, 0) == (0, clip.size)


def test_nothing_is_left_of_nothing() -> None:
    empty = np.zeros(0, np.int16)
    assert trimmed(empty, 80) == (0, 0)
    assert spoken(frame_levels(empty)) == (0, 0)
    assert longest_silence(frame_levels(empty)) == 0


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="keep_samples is -1"):
        trimmed(np.zeros(5, np.int16), -1)


@given(st.integers(0, 150), st.sampled_from([-300, -80, -50]))
def test_the_longest_silence_is_found_whatever_hisses_in_it(gap: int, noise_db: int) -> None:
    short, silence = np.zeros(3 * FRAME, np.float32), np.zeros(gap * FRAME, np.float32)
    clip = np.concatenate([np.zeros(9 * FRAME), voice(0.3), short, voice(0.2), silence, voice(0.3), np.zeros(999)])
    clip = clip.astype(np.float32) + room(clip.size / SAMPLE_RATE, noise_db)
    assert longest_silence(frame_levels(clip)) == max(gap, 3)


def test_recorded_speech_keeps_all_that_a_voice_activity_detector_hears() -> None:
    """In recordings of one speaker, set into half a second of a quiet room."""
    vad = pytest.importorskip("faster_whisper.vad")
    options = vad.VadOptions(speech_pad_ms=0, min_silence_duration_ms=100)
    folder = samples()
    listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    names = [m["file"] for m in listed if m.get("transcript") and "2spk" not in m["file"]]
    assert len(names) > 10
    for name in names:
        read, rate = soundfile.read(folder / name, dtype="float32", always_2d=True)
        speech = soxr.resample(read.mean(axis=1), rate, SAMPLE_RATE)[: 8 * SAMPLE_RATE]
        clip = np.pad(speech, 8000) + room((speech.size + 16_000) / SAMPLE_RATE, -75)
        heard = vad.get_speech_timestamps(clip, options)
        start, stop = trimmed(clip, 1280)
        assert start >= 8000 - 1280 - FRAME
        assert stop <= clip.size - 8000 + 1280 + FRAME
        assert start <= heard[0]["start"]
        assert stop >= heard[-1]["end"] - 512, "one window of the detector"
