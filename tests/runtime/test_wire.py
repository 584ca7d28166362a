"""Audio on the wire: base64, PCM16, G.711, resampling in pieces."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from trainer.runtime.server.wire import (
    RATE,
    RATES,
    BadAudio,
    Coding,
    Decoder,
    Encoder,
    Stream,
    decoded,
    encoded,
    packed,
    unpacked,
)

CODINGS: tuple[Coding, ...] = ("audio/pcm", "audio/pcmu", "audio/pcma")
LAWS: tuple[Coding, ...] = ("audio/pcmu", "audio/pcma")
EVERY = np.arange(65_536).astype(np.uint16).view(np.int16)


def sine(hertz: float, rate: int, seconds: float = 1.0) -> npt.NDArray[np.int16]:
    """A tone at half of full scale."""
    return (np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate) * 16_384).astype(np.int16)


def level(samples: npt.NDArray[np.int16]) -> float:
    """RMS of the middle, in decibels of a sine at half of full scale."""
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(np.float64)
    return float(20 * np.log10(max(1e-9, np.sqrt(np.mean(middle**2)) * 2**0.5 / 16_384)))


@given(st.binary(max_size=200))
def test_base64_comes_back(data: bytes) -> None:
    assert unpacked(packed(data)) == data


@pytest.mark.parametrize("text", ["AAA", "A A=", "*&^%", "AAAA\n", "ÄÖ==", "AA=A"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(BadAudio, match="base64"):
        unpacked(text)


@pytest.mark.parametrize("coding", LAWS)
def test_every_code_survives(coding: Coding) -> None:
    codes = bytes(range(256))
    again = encoded(decoded(codes, coding), coding)
    assert (decoded(again, coding) == decoded(codes, coding)).all()
    different = [code for code, back in zip(codes, again, strict=True) if code != back]
    assert different == ([0x7F] if coding == "audio/pcmu" else [])  # mu-law has two zeros


@pytest.mark.parametrize("coding", LAWS)
def test_g711_is_monotone_and_close(coding: Coding) -> None:
    ordered = np.sort(EVERY)
    back = decoded(encoded(ordered, coding), coding)
    assert (np.diff(back.astype(int)) >= 0).all()
    error = np.abs(back.astype(int) - ordered)
    inside = np.abs(ordered.astype(int)) < 32_000
    assert (error[inside] <= np.maximum(16, np.abs(ordered.astype(int))[inside] / 16)).all()


@pytest.mark.parametrize("coding", LAWS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_g711_equals_the_standard_library(coding: Coding) -> None:
    audioop = pytest.importorskip("audioop", reason="Python 3.13 has no audioop")
    encode, decode = (
        (audioop.lin2ulaw, audioop.ulaw2lin) if coding == "audio/pcmu" else (audioop.lin2alaw, audioop.alaw2lin)
    )
    assert encoded(EVERY, coding) == encode(EVERY.tobytes(), 2)
    codes = bytes(range(256))
    assert decoded(codes, coding).astype("<i2").tobytes() == decode(codes, 2)


@pytest.mark.parametrize("coding", CODINGS)
@given(cuts=st.lists(st.integers(0, 4_000), max_size=12), seed=st.integers(0, 2**16))
def test_pieces_decode_like_the_whole(coding: Coding, cuts: list[int], seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, 4_000, np.uint8).tobytes()
    step = 2 if coding == "audio/pcm" else 1
    borders = [0, *sorted(cut // step * step for cut in cuts), len(data)]
    decoder = Decoder(coding)
    pieces = [decoder.feed(data[a:b]) for a, b in itertools.pairwise(borders)]
    assert (np.concatenate(pieces) == Decoder(coding).feed(data)).all()


@pytest.mark.parametrize("coding", CODINGS)
@given(cuts=st.lists(st.integers(0, 2_000), max_size=12), seed=st.integers(0, 2**16))
def test_pieces_encode_like_the_whole(coding: Coding, cuts: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-30_000, 30_000, 2_000).astype(np.int16)
    borders = [0, *sorted(cuts), len(samples)]
    encoder = Encoder(coding)
    pieces = [encoder.feed(samples[a:b]) for a, b in itertools.pairwise(borders)]
    pieces.append(encoder.feed(samples[:0], last=True))
    assert b"".join(pieces) == Encoder(coding).feed(samples, last=True)


@pytest.mark.parametrize(("rate", "to"), [(24_000, 16_000), (16_000, 24_000), (16_000, 8_000), (8_000, 16_000)])
def test_resampling_keeps_speech_and_nothing_else(rate: int, to: int) -> None:
    low = min(rate, to)
    for hertz in (100, 0.2 * low, 0.42 * low):
        assert level(Stream(rate, to).feed(sine(hertz, rate), last=True)) == pytest.approx(0, abs=0.1)
    if to < rate:
        assert level(Stream(rate, to).feed(sine(0.58 * low, rate), last=True)) < -70


@pytest.mark.parametrize(("rate", "to"), [(24_000, 16_000), (16_000, 24_000), (16_000, 8_000), (8_000, 16_000)])
def test_the_stream_is_the_file_resampled(rate: int, to: int) -> None:
    """Against soxr on the whole file: the same signal, at most half a millisecond apart."""
    noise = np.random.default_rng(3).normal(size=rate)
    speechlike = (soxr.resample(soxr.resample(noise, rate, 6_000), 6_000, rate) * 4_000).astype(np.int16)
    whole = soxr.resample(speechlike.astype(np.float64), rate, to)
    streamed = Stream(rate, to).feed(speechlike, last=True).astype(np.float64)
    assert abs(len(streamed) - len(whole)) <= 2
    size = min(len(streamed), len(whole))
    spectra = np.fft.rfft(whole[:size]), np.fft.rfft(streamed[:size])
    correlation = np.fft.irfft(spectra[0].conj() * spectra[1])
    shift = (int(correlation.argmax()) + size // 2) % size - size // 2
    assert abs(shift) <= to * 0.0005
    magnitudes = [np.abs(spectrum)[: int(size * 2_400 / to)] for spectrum in spectra]
    assert np.abs(magnitudes[0] - magnitudes[1]).mean() < 0.05 * magnitudes[0].mean()


@pytest.mark.parametrize("coding", CODINGS)
def test_delay_is_a_tick_at_most(coding: Coding) -> None:
    """In and out, pieces of 20 ms: never more than 30 ms behind."""
    decoder, encoder = Decoder(coding), Encoder(coding)
    width = 2 if coding == "audio/pcm" else 1
    given_in = given_out = 0.0
    for _ in range(50):
        given_in += len(decoder.feed(bytes(RATES[coding] // 50 * width))) / RATE
        given_out += len(encoder.feed(np.zeros(RATE // 50, np.int16))) / width / RATES[coding]
    assert 0.97 - 1e-9 <= given_in <= 1
    assert 0.97 - 1e-9 <= given_out <= 1


def test_full_scale_is_clipped_not_wrapped() -> None:
    square = np.where(np.arange(2_400) // 40 % 2, 32_767, -32_768).astype(np.int16)
    out = Decoder("audio/pcm").feed(square.astype("<i2").tobytes()).astype(int)
    assert np.abs(out).max() >= 32_767
    expected = soxr.resample(square.astype(np.float64), 24_000, RATE)[: len(out)]
    assert (np.sign(out) == np.sign(expected)).mean() > 0.9


def test_half_a_sample_is_refused_and_changes_nothing() -> None:
    decoder = Decoder("audio/pcm")
    whole = sine(440, 24_000).astype("<i2").tobytes()
    first = decoder.feed(whole[:9_600])
    with pytest.raises(BadAudio, match="even number"):
        decoder.feed(whole[:9_601])
    rest = decoder.feed(whole[9_600:])
    assert (np.concatenate([first, rest]) == Decoder("audio/pcm").feed(whole)).all()


def test_nothing_is_nothing() -> None:
    assert len(Decoder("audio/pcm").feed(b"")) == 0
    assert Encoder("audio/pcmu").feed(np.zeros(0, np.int16), last=True) == b""
