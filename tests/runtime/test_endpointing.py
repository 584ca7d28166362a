"""Who ends the user's turn in mode cascade: on speech made on the spot, on real speech, and as laws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from trainer.runtime import backends
from trainer.runtime.endpointing._base import Patience, Turns

TICK = 2_560
SAMPLES = Path(__file__).parents[3] / "shared/samples/speech"
Signal = npt.NDArray[np.float32]
KINDS = ("silero", "energy")
SAID = "Could you tell me how long it takes to walk to the station from here?"


def made(kind: str, **raw: Any) -> Any:
    if kind == "silero":
        pytest.importorskip("faster_whisper")
        pytest.importorskip("onnxruntime")
    return backends.make("endpointing", backends.parse("endpointing", {"kind": kind, **raw}))


def boundaries(endpointer: Any, signal: Signal) -> list[tuple[str, float]]:
    """What is told, with the second at which its tick ends."""
    ticks = [signal[at : at + TICK] for at in range(0, signal.size - TICK + 1, TICK)]
    told = [(endpointer.push(tick), (n + 1) * TICK / SAMPLE_RATE) for n, tick in enumerate(ticks)]
    return [(what, at) for what, at in told if what]


def silence(seconds: float) -> Signal:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def noisy(signal: Signal, speech: Signal, snr_db: float, seed: int = 0) -> Signal:
    """Steady pink noise so many dB under the speech."""
    flat = np.fft.rfft(np.random.default_rng(seed).normal(size=signal.size))
    noise = np.fft.irfft(flat / np.sqrt(np.maximum(1, np.arange(flat.size))), signal.size)
    level = np.sqrt((speech**2).mean() / (noise**2).mean()) * 10 ** (-snr_db / 20)
    return (signal + level * noise).astype(np.float32)


@pytest.fixture(scope="module")
def spoken() -> Signal:
    """A question without a pause, 16 kHz, full scale = 1."""
    pytest.importorskip("espeakng_loader")
    engine = kinds.make("tts", kinds.parse("tts", {"kind": "espeak"}))
    voice = Voice(
        id="v",
        language="en",
        split="test",
        origin="espeak-ng",
        licence="x",
        consent="none",
        params={"base": "gmw/en-US"},
    )
    return engine.synthesize(SAID, voice, 0).pcm.astype(np.float32) / 32_768


def turn(spoken: Signal, after: float = 1.5) -> tuple[Signal, float, float]:
    """Silence, speech, silence; when the speech begins and ends."""
    whole = np.concatenate([silence(1.1), spoken, silence(after)])
    return whole, 1.1, 1.1 + spoken.size / SAMPLE_RATE


@pytest.mark.parametrize("snr_db", [None, 20, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_one_turn_is_found_once(kind: str, snr_db: float | None, spoken: Signal) -> None:
    whole, begins, ends = turn(spoken)
    heard = whole if snr_db is None else noisy(whole, spoken, snr_db)
    told = boundaries(made(kind), heard)
    assert [what for what, _ in told] == ["speech", "end"]
    assert begins < told[0][1] < begins + 0.5
    assert ends + 0.25 < told[1][1] < ends + 0.5 + 0.16 + 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_the_silence_that_ends_a_turn_can_be_set(kind: str, spoken: Signal) -> None:
    whole, _, ends = turn(spoken, after=2.5)
    late = {ms: dict(boundaries(made(kind, min_silence_ms=ms), whole))["end"] - ends for ms in (320, 800, 1600)}
    assert all(ms / 1000 - 0.25 < seconds < ms / 1000 + 0.32 for ms, seconds in late.items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_pause_that_is_shorter_does_not_end_it(kind: str, spoken: Signal) -> None:
    pieces = [silence(1), spoken, silence(0.3), spoken, silence(1)]
    assert [what for what, _ in boundaries(made(kind), np.concatenate(pieces))] == ["speech", "end"]


@pytest.mark.parametrize("kind", KINDS)
def test_turn_after_turn_for_minutes(kind: str, spoken: Signal) -> None:
    """Each is found in steady noise, and none between."""
    whole = np.concatenate([silence(1), *[np.concatenate([spoken, silence(2)]) for _ in range(20)]])
    told = [what for what, _ in boundaries(made(kind), noisy(whole, spoken, 20))]
    assert told == ["speech", "end"] * 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.003, 0.03])
def test_steady_noise_is_no_turn(kind: str, level: float) -> None:
    noise = np.random.default_rng(1).normal(0, level, 20 * SAMPLE_RATE).astype(np.float32)
    assert boundaries(made(kind), noise) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_click_is_no_turn(kind: str) -> None:
    whole = silence(3)
    whole[SAMPLE_RATE : SAMPLE_RATE + 400] = 0.9
    assert boundaries(made(kind), whole) == []


def test_a_noise_that_sets_in_is_a_turn_no_longer_than_it_is_remembered() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 12 * SAMPLE_RATE).astype(np.float32)
    told = boundaries(made("energy"), np.concatenate([silence(5), noise]))
    assert [what for what, _ in told] == ["speech", "end"]
    assert told[1][1] < 5 + 4 + 0.5 + 0.32


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_do_not_hear_each_other(kind: str, spoken: Signal) -> None:
    whole, _, _ = turn(spoken)
    alone, one, other = made(kind), made(kind), made(kind)
    expected = boundaries(alone, whole)
    told = []
    for at in range(0, whole.size - TICK + 1, TICK):
        other.push(np.random.default_rng(at).normal(0, 0.1, TICK).astype(np.float32))
        if what := one.push(whole[at : at + TICK]):
            told.append((what, (at + TICK) / SAMPLE_RATE))
    assert told == expected


def test_streamed_silero_is_silero(spoken: Signal) -> None:
    """Against the package's own run over the whole recording."""
    pytest.importorskip("faster_whisper")
    from faster_whisper.vad import get_vad_model

    whole = noisy(*turn(spoken)[:1], spoken, 20)
    whole = whole[: whole.size // TICK * TICK]
    endpointer = made("silero")
    streamed = np.concatenate([endpointer.probabilities(tick) for tick in whole.reshape(-1, TICK)])
    padded = np.concatenate([whole, np.zeros(TICK, np.float32)])  # it forgets what the last window looks back at
    np.testing.assert_allclose(streamed, get_vad_model()(padded).reshape(-1)[: streamed.size], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sb_spk1_snt1.wav", "vctk_p225_011.wav", "LJ001-0005.wav"])
def test_real_speech(kind: str, name: str) -> None:
    """One sentence each; as recorded and with noise 20 dB below."""
    import soundfile
    import soxr

    if not (SAMPLES / name).is_file():
        pytest.skip("the recordings are not here")
    clip, rate = soundfile.read(SAMPLES / name, dtype="float32")
    speech = soxr.resample(clip, rate, SAMPLE_RATE).astype(np.float32)
    whole = np.concatenate([silence(1), speech, silence(1.5)])
    for heard in (whole, noisy(whole, speech, 20)):
        told = boundaries(made(kind), heard)
        assert [what for what, _ in told] == ["speech", "end"]
        assert 1 < told[0][1] < 2
        assert abs(told[1][1] - (1 + speech.size / SAMPLE_RATE)) < 1.2


@given(
    st.lists(st.lists(st.sampled_from([True, False, None]), min_size=5, max_size=5), max_size=60),
    st.integers(160, 600),
    st.integers(0, 300),
)
def test_boundaries_alternate_and_each_has_its_reason(
    ticks: list[list[bool | None]], min_silence_ms: int, min_speech_ms: int
) -> None:
    turns = Turns(Patience(kind="x", min_silence_ms=min_silence_ms, min_speech_ms=min_speech_ms), 32)
    told = [turns.push(tick) for tick in [*ticks, [], [], []]]
    found = [what for what in told if what]
    assert all(what == expected for what, expected in zip(found, cycle(("speech", "end")), strict=False))
    flat = resolved([one for tick in ticks for one in tick])
    assert len(found) == changes(flat, max(1, round(min_speech_ms / 32)), max(1, round(min_silence_ms / 32)))


def resolved(voiced: Sequence[bool | None]) -> list[bool]:
    """What is in doubt is as before; silence at first."""
    out = [False]
    for one in voiced:
        out.append(out[-1] if one is None else one)
    return out[1:]


def changes(voiced: Sequence[bool], speech: int, quiet: int) -> int:
    """How often enough windows in a row say the opposite: counted by looking for the next such run."""
    at, speaking, found = 0, False, 0
    while True:
        need = quiet if speaking else speech
        ends = [n for n in range(at + need, len(voiced) + 1) if all(v != speaking for v in voiced[n - need : n])]
        if not ends:
            return found
        at, speaking, found = ends[0], not speaking, found + 1


@pytest.mark.parametrize("kind", KINDS)
def test_bad_samples_are_refused_or_soon_forgotten(kind: str, spoken: Signal) -> None:
    endpointer = made(kind)
    for size in (0, TICK - 1, 2 * TICK):
        with pytest.raises(ValueError, match="a tick has 2560 samples"):
            endpointer.push(np.zeros(size, np.float32))
    bad = [np.full(TICK, value, np.float32) for value in (np.nan, np.inf, -np.inf, 1e30, np.nan)]
    boundaries(endpointer, np.concatenate([*bad, silence(6)]))
    assert [what for what, _ in boundaries(endpointer, turn(spoken)[0])] == ["speech", "end"]
