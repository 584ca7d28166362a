"""Laws of reading a clip: any bytes are either speech of the right length or Unspoken."""

from __future__ import annotations

import struct
import wave
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Speech, Unspoken
from datagen.tts._clip import MIN_SECONDS, OPEN_END, from_body, from_pcm, from_wav, speakable
from tests.tts.speech_server import RATE, pcm, wav

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]


def length(samples: int, rate: int) -> object:
    """A clip's length at 16 kHz, to the sample."""
    return pytest.approx(samples * SAMPLE_RATE / rate, abs=1)


def is_speech(speech: Speech) -> bool:
    return speech.pcm.dtype == np.int16 and speech.pcm.ndim == 1 and speech.words is None


def peak_hz(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


@given(body=st.binary(max_size=4_000), rate=st.sampled_from(RATES))
def test_any_bytes_are_speech_or_unspoken(body: bytes, rate: int) -> None:
    try:
        speech = from_body(body, rate, max_seconds=0.1)
    except Unspoken:
        in_order = len(body) % 2 == 0 and MIN_SECONDS * rate <= len(body) / 2 <= 0.1 * rate
        assert not in_order or body[:4] == b"RIFF"
        return
    assert is_speech(speech)
    assert speech.pcm.size == length(len(body) // 2, rate)


@settings(max_examples=150)
@given(
    at=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 3_000),
    subtype=st.sampled_from(["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]),
)
def test_any_damage_to_a_wav_file_is_speech_or_unspoken(at: list[tuple[int, int]], cut: int, subtype: str) -> None:
    damaged = bytearray(wav(pcm(0.06), subtype=subtype))
    for place, byte in at:
        damaged[place] = byte
    try:
        speech = from_wav(bytes(damaged[: len(damaged) - cut]), max_seconds=2)
    except Unspoken:
        return
    assert is_speech(speech)
    assert MIN_SECONDS - 0.001 <= speech.pcm.size / SAMPLE_RATE <= 2.001


@given(cut=st.integers(1, 2_000))
def test_a_wav_file_that_is_cut_anywhere_is_unspoken(cut: int) -> None:
    whole = wav(pcm(0.1))
    with pytest.raises(Unspoken, match=r"cut off|no WAV"):
        from_wav(whole[: len(whole) - cut], max_seconds=2)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_rates_and_encodings_become_16_khz(rate: int, subtype: str) -> None:
    samples = pcm(0.5, hz=440, rate=rate)
    heard = from_wav(wav(samples, rate, subtype), max_seconds=2).pcm
    assert heard.size == length(samples.size, rate)
    assert peak_hz(heard) == pytest.approx(440, abs=2)
    assert np.abs(heard).max() == pytest.approx(0.3 * 32_767, rel=0.03)
    if subtype == "PCM_16":
        np.testing.assert_array_equal(heard, from_pcm(samples.astype("<i2").tobytes(), rate, 2).pcm)


def test_samples_at_16_khz_stay_as_they_are() -> None:
    samples = np.random.default_rng(0).integers(-32_768, 32_767, 2_000).astype(np.int16)
    np.testing.assert_array_equal(from_pcm(samples.astype("<i2").tobytes(), SAMPLE_RATE, 1).pcm, samples)


def test_stereo_is_averaged() -> None:
    left, right = pcm(0.5, hz=300), pcm(0.5, hz=900)
    heard = from_wav(wav(np.stack([left, right], 1)), max_seconds=1).pcm
    halves = from_wav(wav(left // 2), 1).pcm.astype(int) + from_wav(wav(right // 2), 1).pcm
    np.testing.assert_allclose(heard, halves, atol=3)


@pytest.mark.parametrize("level", [1.0, 40.0, 3e38])
def test_what_exceeds_full_scale_is_held_there_and_never_wraps(level: float) -> None:
    """A square wave rings when it is filtered; a float file may hold anything."""
    square = np.sign(np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)) * level
    heard = from_wav(wav(square.astype(np.float32), subtype="FLOAT"), 2).pcm.astype(int)
    expected = np.sin(2 * np.pi * 200 * np.arange(heard.size) / SAMPLE_RATE)
    clear = np.abs(expected) > 0.3
    assert (np.sign(heard[clear]) == np.sign(expected[clear])).all()
    assert np.mean(np.abs(heard) >= 0.98 * 32_768) > 0.3, "a clipped clip must still look clipped"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_unspoken(value: float) -> None:
    samples = np.zeros(RATE, np.float32)
    samples[5_000] = value
    with pytest.raises(Unspoken, match="no numbers"):
        from_wav(wav(samples, subtype="FLOAT"), 2)


@pytest.mark.parametrize(
    ("samples", "rate", "subtype"),
    [
        (pcm(0.5), 4_000, "PCM_16"),
        (pcm(0.5), 500_000, "PCM_16"),
        (np.stack([pcm()] * 3, 1), RATE, "PCM_16"),
        (pcm(), RATE, "IMA_ADPCM"),
    ],
)
def test_a_header_that_no_engine_writes_is_unspoken(samples: np.ndarray, rate: int, subtype: str) -> None:
    with pytest.raises(Unspoken, match="its header is damaged"):
        from_wav(wav(samples, rate, subtype), 9)


@pytest.mark.parametrize("seconds", [0.0, 0.039])
def test_less_than_a_speech_token_is_unspoken(seconds: float) -> None:
    for read in (lambda: from_pcm(pcm(seconds).tobytes(), RATE, 9), lambda: from_wav(wav(pcm(seconds)), 9)):
        with pytest.raises(Unspoken, match=r"less than one speech token|no samples"):
            read()


def test_40_ms_and_max_seconds_itself_are_accepted() -> None:
    assert from_pcm(pcm(0.04).tobytes(), RATE, 9).pcm.size == 640
    assert from_pcm(pcm(1.0).tobytes(), RATE, 1).pcm.size == 16_000
    with pytest.raises(Unspoken, match="max_seconds 1"):
        from_pcm(pcm(1.001).tobytes(), RATE, 1)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, OPEN_END, 0x7FFF_FFFF])
def test_a_stream_may_leave_the_length_open_but_a_closed_file_may_not(size: int) -> None:
    whole = wav(pcm(0.5))
    at = whole.index(b"data") + 4
    opened = whole[:4] + struct.pack("<I", size) + whole[8:at] + struct.pack("<I", size) + whole[at + 4 :]
    np.testing.assert_array_equal(from_wav(opened, 2).pcm, from_wav(whole, 2).pcm)
    with pytest.raises(Unspoken, match="cut off"):
        from_wav(opened, 2, closed=True)
    assert from_wav(whole, 2, closed=True).pcm.size == 8_000


def test_a_wav_file_of_the_standard_library_and_one_with_further_chunks_are_read() -> None:
    made = BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm(0.5).tobytes())
    plain = made.getvalue()
    listed = plain[:12] + b"LIST" + struct.pack("<I", 5) + b"INFOx\0" + plain[12:] + b"junk" + struct.pack("<I", 0)
    for body in (plain, listed):
        assert from_wav(body, 2, closed=True).pcm.size == 8_000


@pytest.mark.parametrize("text", ["", " ", "...", "?!", "—", "\t"])
def test_a_text_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        speakable(text)
    speakable(text + "Ja")
    speakable(text + "嗯")
