"""Rendering with tones and noise in place of voices: what is heard is what the plan says, and nothing else."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.codec import decode_flac
from datagen.core.audio import (
    CLICK_LIMIT,
    FULL_SCALE,
    Pcm,
    active_power,
    clicks,
    db,
    from_pcm16,
    longest_zero_run,
    peak,
    power,
)
from datagen.core.mixing import Blocks, Levels
from datagen.core.types import Blob, Speaker
from datagen.core.units import from_ms
from datagen.kinds import KindConfig
from datagen.phenomena import backchannel, interruption, pause
from datagen.stages import render
from tests.singing import CONFIG, Samples, Scene, Sing, hiss, scene, tone
from tests.strategies import annotated, chatter, dialogue, voiced, voiced_scripts

ALL: tuple[KindConfig, ...] = (
    backchannel.Config(kind="backchannel", assistant_per_minute=20, user_per_minute=20),
    pause.Config(kind="pause", per_minute=20),
    interruption.Config(kind="interruption", probability=1),
)
STEP = np.float64(1 / FULL_SCALE)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    record, phenomena = draw(voiced_scripts(max_turns=4, max_words=14))
    sing = draw(st.sampled_from([tone, hiss]))
    return scene(record, phenomena, seed=draw(st.integers(0, 99)), sing=sing)


def example(number: int = 1, **options: Any) -> Scene:
    """A conversation with pauses, backchannels, interruptions and noise."""
    return scene(voiced(annotated(chatter(number, 6, (8, 24)), ALL)), ALL, **options)


def ramp(size: int) -> Samples:
    return np.sin((np.arange(size) + 0.5) * np.pi / (2 * size)) ** 2


def faded(signal: Samples, before: int, after: int) -> Samples:
    """Raised-cosine edges, both shrunk where they do not fit."""
    if before + after > signal.size:
        before, total = signal.size * before // (before + after), signal.size
        after = total - before if after else 0
    out = signal.copy()
    out[:before] *= ramp(before) if before else 1
    out[out.size - after :] *= ramp(after)[::-1] if after else 1
    return out


def speech(given: Scene, speaker: Speaker) -> Samples:
    """One speaker's pieces, summed one by one."""
    out = np.zeros(given.timeline.num_samples)
    gain = given.plan.mix.user_gain if speaker == "user" else given.plan.mix.assistant_gain
    for segment in (s for s in given.timeline.segments if s.speaker == speaker):
        for number, piece in enumerate(segment.pieces):
            pcm = given.sound.utterances[segment.utterance][piece.start : piece.end]
            stretch = pcm.astype(np.float64) * (gain / FULL_SCALE)
            last = number == len(segment.pieces) - 1
            after = from_ms(40) * segment.yielded if last else from_ms(5)
            out[piece.at : piece.stop] += faded(stretch, from_ms(5) * bool(number), after)
    return out


def said(given: Scene, speaker: Speaker) -> list[tuple[int, int]]:
    return [(w.start, w.end) for s in given.timeline.segments if s.speaker == speaker for w in s.words]


def mean_square(signal: Samples, spans: list[tuple[int, int]]) -> float:
    return float(np.square(np.concatenate([signal[a:b] for a, b in spans])).mean())


def noise(given: Scene, reference: float) -> Samples:
    """The blocks alone, each at its asked distance below the speech."""
    out = np.zeros(given.timeline.num_samples)
    for block, clip in zip(given.plan.mix.noise, given.sound.noise, strict=True):
        stretch = faded(from_pcm16(clip).astype(np.float64), from_ms(15), from_ms(15))
        wanted = reference / 10 ** (block.snr_db / 10)
        out[block.start : block.end] += stretch * math.sqrt(wanted / np.square(stretch).mean())
    return out


@given(scenes())
@settings(max_examples=25)
def test_the_user_is_speech_and_noise_and_floor_and_nothing_else(given_scene: Scene) -> None:
    signals = given_scene.render()
    own = said(given_scene, "user")
    spoken = speech(given_scene, "user")
    reference = mean_square(spoken if own else speech(given_scene, "assistant"), own or said(given_scene, "assistant"))
    floor = given_scene.floor().user * STEP
    expected = (spoken + noise(given_scene, reference) + floor) * signals.scale
    # The floor read back is rounded once, the sum once more, and both may be scaled.
    assert np.abs(signals.user / FULL_SCALE - expected).max() <= 1.02 * STEP


@given(scenes())
@settings(max_examples=25)
def test_the_assistant_is_its_speech_and_else_digital_silence(given_scene: Scene) -> None:
    signals = given_scene.render()
    assert np.abs(signals.assistant / FULL_SCALE - speech(given_scene, "assistant")).max() <= 0.51 * STEP
    silent = np.ones(signals.assistant.size, bool)
    for segment in given_scene.timeline.segments:
        if segment.speaker == "assistant":
            for piece in segment.pieces:
                silent[piece.at : piece.stop] = False
    assert not signals.assistant[silent].any()


@given(scenes())
@settings(max_examples=25)
def test_nothing_clips_and_the_users_channel_is_never_digital_silence(given_scene: Scene) -> None:
    signals = given_scene.render()
    assert signals.clipped_samples == 0
    assert 0 < signals.scale <= 1
    assert signals.user.size == signals.assistant.size == given_scene.timeline.num_samples
    assert longest_zero_run(signals.user) < from_ms(10)
    assert peak(from_pcm16(signals.user)) <= CONFIG.max_peak + STEP


@pytest.mark.parametrize("number", range(4))
def test_the_realised_ratio_of_speech_to_noise_is_the_asked_one(number: int) -> None:
    """Measured from outside: the user's channel with noise minus the same without."""
    given_scene = example(number)
    noisy = given_scene.render()
    calm = given_scene.calm()
    spoken = active_power(calm.user, said(given_scene, "user"))
    blocks = given_scene.plan.mix.noise
    assert blocks
    assert len(noisy.snr_db) == len(blocks)
    for block, realised in zip(blocks, noisy.snr_db, strict=True):
        added = noisy.user[block.start : block.end] / noisy.scale - calm.user[block.start : block.end] / calm.scale
        measured = db(spoken / calm.scale**2 / (float(np.square(added).mean()) * STEP**2))
        assert measured == pytest.approx(block.snr_db, abs=0.1)
        assert realised == pytest.approx(block.snr_db, abs=0.01)


@pytest.mark.parametrize("number", range(4))
def test_speech_is_as_loud_as_asked(number: int) -> None:
    asked = Levels(user_dbfs=(-25, -25), assistant_dbfs=(-30, -30), floor_dbfs=(-70, -70))
    given_scene = example(number, asked=asked, blocks=Blocks(probability=0))
    signals = given_scene.render()
    assert db(signals.user_speech_power) == pytest.approx(-25, abs=0.6), "what is cut off was counted in the gain"
    assert db(signals.assistant_speech_power) == pytest.approx(-30, abs=0.6)
    assert db(active_power(signals.user, said(given_scene, "user"))) == pytest.approx(-25, abs=0.6)
    silent = np.ones(signals.user.size, bool)
    for segment in given_scene.timeline.segments:
        if segment.speaker == "user":
            silent[segment.start : segment.end] = False
    assert db(power(signals.user[silent])) == pytest.approx(-70, abs=0.5)


@pytest.mark.parametrize("sing", [tone, hiss])
def test_joins_and_cuts_do_not_click(sing: Sing) -> None:
    seen: dict[Speaker, int] = {"user": 0, "assistant": 0}
    for number in range(8):
        given_scene = example(number, sing=sing)
        signals = given_scene.calm()
        channels: dict[Speaker, Pcm] = {"user": signals.user, "assistant": signals.assistant}
        for speaker, pcm in channels.items():
            own = [s for s in given_scene.timeline.segments if s.speaker == speaker]
            joins = [t for s in own for t in [t for piece in s.pieces for t in (piece.at, piece.stop)][1:-1]]
            cuts = [s.end for s in own if s.yielded]
            assert clicks(from_pcm16(pcm), joins + cuts) < CLICK_LIMIT
            seen[speaker] += len(joins) + len(cuts)
    assert min(seen.values()) > 5


def test_rendering_is_repeatable_and_hangs_on_the_conversation_alone() -> None:
    one, two = example(1), example(2)
    first = one.render()
    two.render()
    again = one.render()
    assert np.array_equal(first.user, again.user)
    assert np.array_equal(first.assistant, again.assistant)
    other_seed = one.render(render.Config(seed=2))
    assert not np.array_equal(first.user, other_seed.user), "another floor"
    assert np.array_equal(first.assistant, other_seed.assistant)


def test_what_is_too_loud_is_turned_down_whole() -> None:
    given_scene = example(1, blocks=Blocks(snr_db=(-30, -30), coverage=(1, 1)))
    signals = given_scene.render()
    assert signals.scale < 1
    assert peak(from_pcm16(signals.user)) == pytest.approx(CONFIG.max_peak, abs=2 * STEP)
    assert signals.snr_db == pytest.approx([-30.0] * len(signals.snr_db), abs=0.01)


def test_a_user_who_says_nothing_is_measured_by_the_assistant() -> None:
    alone = dialogue(chatter(1, 2, (20, 20)).turns[1:])
    given_scene = scene(voiced(annotated(alone, ())), ())
    signals = given_scene.render()
    assert signals.user_speech_power == 0
    assert signals.snr_db == pytest.approx([b.snr_db for b in given_scene.plan.mix.noise], abs=0.01)


def test_process_reads_packs_and_writes_both_signals() -> None:
    given_scene = example(3)
    stored: list[bytes] = []

    def put(content: bytes) -> Blob:
        stored.append(content)
        return Blob(offset=len(stored) - 1, nbytes=len(content))

    utterances = tuple(
        u.model_copy(update={"pcm": Blob(offset=n, nbytes=2 * u.num_samples)})
        for n, u in enumerate(given_scene.plan.voiced.utterances)
    )
    voiced_with_pcm = given_scene.plan.voiced.model_copy(update={"utterances": utterances})
    record = given_scene.plan.model_copy(update={"voiced": voiced_with_pcm})
    inputs = Mock(noise_clips={"n0": "n0", "n1": "n1"})
    inputs.samples = lambda stage, blob: given_scene.sound.utterances[blob.offset]
    inputs.noise = Mock(side_effect=given_scene.sound.noise)
    made = render.process(record, CONFIG, inputs, put)
    signals = given_scene.render()
    assert np.array_equal(decode_flac(stored[made.user_flac.offset]), signals.user)
    assert np.array_equal(decode_flac(stored[made.assistant_flac.offset]), signals.assistant)
    assert made.snr_db == pytest.approx(signals.snr_db, abs=0.001)
    assert (made.id, made.scale, made.clipped_samples) == (given_scene.plan.id, signals.scale, 0)


def test_a_preview_cannot_be_rendered() -> None:
    with pytest.raises(ValueError, match="a preview cannot be rendered"):
        render.process(example(1).plan, CONFIG, Mock(), Mock())
