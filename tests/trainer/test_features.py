"""Features: Kaldi's numbers, frame by frame independent, the same offline and tick by tick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tests.trainer.references import references
from tests.trainer.tiny_tower import furthest, sound
from trainer.features import CONTEXT, HOP, MEL, SILENCE, TICK, features, start, step, whole_ticks


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def streamed(samples: Tensor) -> Tensor:
    state, parts = start(1 if samples.ndim == 1 else len(samples)), []
    for tick in whole_ticks(samples).split(TICK, dim=-1):
        feats, state = step(tick, state)
        parts.append(feats)
    return torch.cat(parts, dim=-2)


@pytest.fixture(scope="module")
def chirp() -> Tensor:
    samples, rate = soundfile.read(references() / "chirp.wav", dtype="float32")
    assert rate == 16_000
    return torch.from_numpy(samples)


def test_the_reference_offline(chirp: Tensor) -> None:
    expected = load_file(references() / "chirp_fbank.safetensors")["offline"]
    assert furthest(features(chirp), expected) <= 1e-3


def test_the_reference_as_a_stream(chirp: Tensor) -> None:
    expected = load_file(references() / "chirp_fbank.safetensors")["streaming"]
    assert furthest(streamed(chirp), expected) <= 1e-3


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 5 * TICK + 7), seed=st.integers(0, 99), scale=st.sampled_from([1e-6, 1e-3, 1.0]))
def test_a_stream_gives_the_same_bits(count: int, seed: int, scale: float) -> None:
    samples = scale * sound(count, seed=seed)
    offline = features(samples)
    assert offline.shape == (count // HOP, MEL)
    if count:
        assert torch.equal(streamed(samples)[: len(offline)], offline)
        assert torch.equal(streamed(samples), features(whole_ticks(samples)))


@pytest.mark.slow
def test_the_same_bits_in_long_audio_in_batches_and_with_threads(threads: int) -> None:
    samples = sound(3, 150 * TICK)
    together = features(samples)
    assert torch.equal(together, streamed(samples)), threads
    assert all(torch.equal(together[row], features(samples[row])) for row in range(3)), threads


def test_a_frame_hears_its_own_hop_and_the_15_ms_before() -> None:
    samples, frame = sound(40 * HOP), 20
    before = features(samples)
    for at, hears in {HOP * frame - CONTEXT: True, HOP * (frame + 1) - 1: True, HOP * (frame + 1): False}.items():
        changed = samples.clone()
        changed[at + 1 if at < HOP * frame else at] += 0.3
        assert torch.equal(features(changed)[frame], before[frame]) != hears, at
    changed = samples.clone()
    changed[HOP * frame - CONTEXT - 1] += 0.3
    assert torch.equal(features(changed)[frame], before[frame])


def test_digital_silence_is_the_logarithm_of_the_smallest_number() -> None:
    assert (features(torch.zeros(TICK)) == SILENCE).all()
    assert pytest.approx(-15.9424, abs=1e-4) == SILENCE


def test_ten_times_the_amplitude_is_two_times_the_logarithm_of_ten() -> None:
    samples = 0.01 * torch.randn(TICK, generator=torch.Generator().manual_seed(3))
    assert furthest(features(10 * samples) - features(samples), torch.full((16, MEL), 4.60517)) < 1e-3


def test_a_constant_is_no_sound() -> None:
    """But for its beginning, where it jumps up from the zeros before the audio."""
    assert (features(torch.full((TICK,), 0.25))[3:] < -5).all()


def test_a_state_can_be_used_twice_and_is_left_alone() -> None:
    samples = sound(3 * TICK)
    _, state = step(samples[:TICK], start())
    held = state.samples_BN.clone()
    here, _ = step(samples[TICK : 2 * TICK], state.fork())
    there, _ = step(samples[2 * TICK :], state.fork())
    again, _ = step(samples[TICK : 2 * TICK], state)
    assert torch.equal(here, again)
    assert not torch.equal(here, there)
    assert torch.equal(state.samples_BN, held)


def test_samples_stay_as_they_are() -> None:
    samples = sound(2 * TICK)
    before = samples.clone()
    features(samples)
    assert torch.equal(samples, before)


def test_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="divide 16-bit ones by 32768"):
        features(torch.zeros(TICK, dtype=torch.int16))


def test_a_part_of_a_tick_is_refused() -> None:
    with pytest.raises(ValueError, match="2560 samples, not 100"):
        step(torch.zeros(100), start())
