"""Laws of the arithmetic on signals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datagen.codec import decode_flac, encode_flac
from datagen.core import audio
from datagen.core.rng import stream
from datagen.core.units import SAMPLE_RATE
from tests.helpers import samples

SIGNALS = hnp.arrays(
    np.float32, st.integers(1, 400), elements=st.floats(-1, 1, width=32, allow_nan=False, allow_subnormal=False)
)
PCM = hnp.arrays(np.int16, st.integers(1, 3000), elements=st.integers(-32768, 32767))
SEEDS = st.integers(0, 2**32)


def floor_of(num_samples: int, rms: float, rng: np.random.Generator) -> audio.Signal:
    """The noise floor alone."""
    x = np.zeros(num_samples, np.float32)
    audio.add_noise_floor(x, rms, rng)
    return x


def tone(hertz: float, num_samples: int, phase: float = 0.0) -> audio.Signal:
    t = np.arange(num_samples) / SAMPLE_RATE
    return (0.5 * np.sin(2 * math.pi * hertz * t + phase)).astype(np.float32)


# Levels


@given(st.floats(-200, 200))
def test_db_and_from_db_undo_each_other(level_db: float) -> None:
    assert audio.db(audio.from_db(level_db)) == pytest.approx(level_db, abs=1e-9)


def test_db_of_silence_and_of_nonsense() -> None:
    assert audio.db(0.0) == -math.inf
    with pytest.raises(ValueError, match="negative"):
        audio.db(-1.0)


@given(SIGNALS)
def test_power_is_the_mean_square(x: audio.Signal) -> None:
    assert audio.power(x) == pytest.approx(np.mean(x.astype(np.float64) ** 2), rel=1e-6)


@given(PCM)
def test_power_of_pcm_is_the_power_of_its_signal(pcm: audio.Pcm) -> None:
    assert audio.power(pcm) == pytest.approx(audio.power(audio.from_pcm16(pcm)), rel=1e-6)


def test_power_of_a_long_loud_signal_does_not_drift() -> None:
    """float32 sums would stall near 2**24."""
    assert audio.power(np.broadcast_to(np.float32(1), 1 << 25)) == 1.0


@given(SIGNALS, SIGNALS, SIGNALS)
def test_active_power_ignores_what_lies_between_the_spans(a: audio.Signal, gap: audio.Signal, b: audio.Signal) -> None:
    x = np.concatenate([a, gap, b])
    spans = [(0, a.size), (a.size + gap.size, x.size)]
    assert audio.active_power(x, spans) == pytest.approx(audio.power(np.concatenate([a, b])), rel=1e-6)


@pytest.mark.parametrize("spans", [[], [(3, 3)], [(0, 11)], [(-1, 4)], [(5, 4)]])
def test_active_power_refuses_spans_that_say_nothing(spans: list[audio.Span]) -> None:
    with pytest.raises(ValueError, match="span"):
        audio.active_power(np.ones(10, np.float32), spans)


@given(SIGNALS)
def test_peak_bounds_power(x: audio.Signal) -> None:
    assert audio.peak(x) == np.abs(x).max()
    assert audio.power(x) <= audio.peak(x) ** 2 * (1 + 1e-6) + 1e-12


def test_an_empty_signal_has_no_power() -> None:
    empty = np.zeros(0, np.float32)
    assert (audio.power(empty), audio.peak(empty)) == (0.0, 0.0)


# Fades


@given(SIGNALS, st.integers(0, 600), st.integers(0, 600))
def test_a_fade_never_raises_a_magnitude_and_works_in_place(x: audio.Signal, start: int, end: int) -> None:
    faded = x.copy()
    assert audio.fade_edges(faded, start, end) is faded
    assert np.all(np.abs(faded) <= np.abs(x))
    assert np.all(faded * x >= 0)


@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 300))
def test_a_fade_leaves_the_middle_alone(num_samples: int, start: int, end: int) -> None:
    faded = audio.fade_edges(np.ones(num_samples, np.float32), start, end)
    if start + end <= num_samples:
        assert np.all(faded[start : num_samples - end] == 1)
    if start:
        assert np.all(np.diff(faded[: min(start, num_samples * start // (start + end))]) >= 0)


@given(st.integers(20, 300), st.integers(10, 600), st.integers(10, 600))
def test_both_edges_of_a_short_signal_reach_silence(num_samples: int, start: int, end: int) -> None:
    faded = audio.fade_edges(np.ones(num_samples, np.float32), start, end)
    shortest = min(start, end, num_samples * min(start, end) // (start + end))
    limit = (math.pi / max(shortest, 1)) ** 2
    assert faded[0] <= limit
    assert faded[-1] <= limit


@given(st.integers(1, 500))
def test_a_fade_out_over_a_fade_in_adds_up_to_one(num_samples: int) -> None:
    rising = audio.fade_edges(np.ones(num_samples, np.float32), num_samples, 0)
    falling = audio.fade_edges(np.ones(num_samples, np.float32), 0, num_samples)
    assert np.allclose(rising + falling, 1, atol=1e-6)


def test_a_negative_fade_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        audio.fade_edges(np.ones(4, np.float32), -1, 0)


# Mixing


@given(st.lists(st.tuples(st.integers(0, 200), PCM), max_size=5))
def test_a_mix_is_the_sum_of_its_parts_in_any_order(parts: list[tuple[int, audio.Pcm]]) -> None:
    """16-bit parts in float32: every sum is exact, so the order cannot matter."""
    length = max([at + p.size for at, p in parts], default=10)
    forward, backward, whole = (np.zeros(length, np.float32) for _ in range(3))
    for at, pcm in parts:
        audio.add_at(forward, audio.from_pcm16(pcm), at)
        whole[at : at + pcm.size] += pcm.astype(np.float32) / 32768
    for at, pcm in reversed(parts):
        audio.add_at(backward, audio.from_pcm16(pcm), at)
    assert np.array_equal(forward, backward)
    assert np.array_equal(forward, whole)


@pytest.mark.parametrize("at", [-1, 6])
def test_a_piece_that_does_not_fit_is_refused_and_changes_nothing(at: int) -> None:
    out = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="does not fit"):
        audio.add_at(out, np.ones(5, np.float32), at)
    assert not out.any()


@given(SEEDS, st.floats(-10, 40), st.floats(1e-4, 0.3), st.floats(1e-4, 0.3), st.integers(0, 800))
def test_the_realised_snr_is_the_asked_one(seed: int, snr_db: float, speech: float, noise: float, fade: int) -> None:
    rng = np.random.default_rng(seed)
    block = audio.fade_edges(floor_of(4000, noise, rng), fade, fade)
    gain = audio.noise_gain(speech**2, audio.power(block), snr_db)
    assert audio.realised_snr_db(speech**2, block * np.float32(gain)) == pytest.approx(snr_db, abs=0.1)


def test_silence_has_no_snr() -> None:
    assert audio.realised_snr_db(0.1, np.zeros(5, np.float32)) == math.inf
    for speech, noise in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="silence"):
            audio.noise_gain(speech, noise, 10.0)


# The noise floor


@given(SEEDS, st.floats(1e-5, 0.3))
def test_the_floor_has_the_level_asked_for_and_bounded_peaks(seed: int, rms: float) -> None:
    floor = floor_of(100_000, rms, np.random.default_rng(seed))
    assert floor.dtype == np.float32
    assert audio.db(audio.power(floor) / rms**2) == pytest.approx(0, abs=0.08)
    assert audio.peak(floor) <= rms * math.sqrt(3) * 1.0001


def test_the_floor_is_flat_and_does_not_repeat() -> None:
    floor = floor_of(1 << 19, 1e-4, stream(1, "floor", "test")).astype(np.float64)
    bands = np.abs(np.fft.rfft(floor)[1:]) ** 2
    levels = 10 * np.log10(bands.reshape(16, -1).mean(axis=1) / bands.mean())
    assert np.abs(levels).max() < 0.2
    correlation = np.fft.irfft(np.abs(np.fft.rfft(floor, 1 << 20)) ** 2)
    assert np.abs(correlation[1 : 1 << 18]).max() < 0.02 * correlation[0]


def test_the_floor_depends_on_its_stream_alone() -> None:
    one, again = (floor_of(1000, 1e-4, stream(7, "a", "floor")) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, floor_of(1000, 1e-4, stream(7, "b", "floor")))


def test_a_floor_at_minus_80_db_leaves_no_stretch_of_digital_silence() -> None:
    pcm, clipped = audio.to_pcm16(floor_of(3_000_000, 1e-4, stream(0, "c", "floor")))
    assert clipped == 0
    assert 0 < audio.longest_zero_run(pcm) < 12


# 16-bit samples


@given(PCM)
def test_pcm_survives_the_way_through_float(pcm: audio.Pcm) -> None:
    back, clipped = audio.to_pcm16(audio.from_pcm16(pcm))
    assert back.dtype == np.int16
    assert np.array_equal(back, pcm)
    assert clipped == 0


@given(hnp.arrays(np.float32, st.integers(0, 300), elements=st.floats(-4, 4, width=32)))
def test_pcm_is_the_nearest_step_or_the_nearest_limit(x: audio.Signal) -> None:
    pcm, clipped = audio.to_pcm16(x)
    ideal = np.rint(x.astype(np.float64) * 32768)
    assert np.array_equal(pcm, np.clip(ideal, -32768, 32767))
    assert clipped == np.count_nonzero((ideal < -32768) | (ideal > 32767))


def test_pcm_counts_over_many_chunks() -> None:
    x = np.zeros(200_000, np.float32)
    x[::1000] = 2.0
    x[1::1000] = -np.inf
    pcm, clipped = audio.to_pcm16(x)
    assert clipped == 400
    assert (pcm[0], pcm[1]) == (32767, -32768)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        audio.to_pcm16(np.array([0.0, np.nan], np.float32))


@given(st.lists(st.sampled_from([0, 0, 0, 1, -5]), max_size=60))
def test_the_longest_zero_run_is_what_counting_gives(values: list[int]) -> None:
    text = "".join("z" if v == 0 else "x" for v in values)
    assert audio.longest_zero_run(np.array(values, np.int16)) == max(map(len, text.split("x")))


@given(PCM)
def test_flac_keeps_every_sample_and_gives_the_same_bytes(pcm: audio.Pcm) -> None:
    data = encode_flac(pcm)
    assert data == encode_flac(pcm)
    assert np.array_equal(decode_flac(data), pcm)


def test_flac_is_smaller_than_pcm_for_speech() -> None:
    path = sorted((samples() / "speech").glob("sb_spk1*.wav"))[0]
    pcm = np.asarray(soundfile.read(path, dtype="int16")[0], np.int16)
    assert len(encode_flac(pcm)) < 0.7 * pcm.nbytes


def test_the_codec_refuses_what_the_row_does_not_hold() -> None:
    with pytest.raises(ValueError, match="int16"):
        encode_flac(np.zeros(3, np.float32))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="int16"):
        encode_flac(np.zeros(0, np.int16))
    with pytest.raises(ValueError, match="no sound file"):
        decode_flac(b"nothing")


# Clicks


@given(st.floats(100, 1000), st.integers(2000, 6000))
def test_a_faded_cut_does_not_click(hertz: float, at: int) -> None:
    x = tone(hertz, 8000)
    x[at:] = 0
    audio.fade_edges(x[:at], 0, 160)
    assert audio.clicks(x, [at]) < audio.CLICK_LIMIT


@given(st.floats(100, 1000), st.integers(2000, 6000))
def test_a_hard_cut_away_from_zero_clicks(hertz: float, at: int) -> None:
    x = tone(hertz, 8000, phase=math.pi / 2 - 2 * math.pi * hertz * at / SAMPLE_RATE)
    assert audio.clicks(x, [at]) < audio.CLICK_LIMIT
    x[at:] = 0
    assert audio.clicks(x, [at]) > 10 * audio.CLICK_LIMIT


def test_the_worst_place_counts() -> None:
    x = tone(200, 16_000)
    x[8020:8040] = 0
    assert audio.clicks(x, [4000, 8020]) == audio.clicks(x, [8020]) > audio.clicks(x, [4000])
    assert audio.clicks(x, []) == 0.0


@pytest.mark.parametrize("size", [0, 1, 3, 50])
def test_clicks_at_the_edges_of_short_signals(size: int) -> None:
    assert audio.clicks(np.zeros(size, np.float32), [0, size]) == 1.0
    with pytest.raises(ValueError, match="place"):
        audio.clicks(np.zeros(size, np.float32), [size + 1])


def test_running_speech_rarely_looks_like_a_click() -> None:
    path = sorted((samples() / "speech").glob("sb_spk1*.wav"))[0]
    x = np.asarray(soundfile.read(path, dtype="float32")[0], np.float32)
    ratios = [audio.clicks(x, [at]) for at in range(1000, x.size - 1000, 400)]
    assert np.percentile(ratios, 95) < audio.CLICK_LIMIT
