"""Laws of the computed noise: what it depends on, its level and its spectrum."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from hashlib import blake2b
from types import ModuleType
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Clip, KindConfig, Speech
from datagen.noise.synthetic import SCENES, SENTENCES, Config, Scene, make

SHORT = Config(clips_per_scene=2, clip_seconds=4)
Samples = npt.NDArray[np.float32]


def clip_of(scene: Scene, number: int = 0) -> Clip:
    return next(c for c in make(SHORT).clips() if c.id == f"synthetic-{scene}-{number:03d}")


@cache
def sound(scene: Scene, number: int = 0, seed: int = 1) -> Samples:
    return make(SHORT).read(clip_of(scene, number), seed)


def digest(samples: Samples) -> str:
    return blake2b(samples.tobytes(), digest_size=8).hexdigest()


def octaves(samples: Samples) -> Samples:
    """Shares of the energy in octaves from 31 Hz to 8 kHz, in decibels."""
    energy = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
    hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    edges = 31.25 * 2.0 ** np.arange(9)
    bands = np.array([energy[(hz >= low) & (hz < 2 * low)].sum() for low in edges[:-1]])
    return (10 * np.log10(bands / energy.sum() + 1e-12)).astype(np.float32)


def envelope_range(samples: Samples) -> float:
    """Decibels between quiet and loud tenths of a second (5th and 95th percentile)."""
    levels = 10 * np.log10(np.mean(np.square(samples.reshape(-1, 1600)), axis=1))
    return float(np.percentile(levels, 95) - np.percentile(levels, 5))


def test_the_default_offers_48_clips_of_12_seconds() -> None:
    clips = make(Config()).clips()
    assert len(clips) == len({c.id for c in clips}) == 48
    assert {c.scene for c in clips} == set(SCENES)
    assert {c.licence for c in clips} == {"CC0-1.0"}
    assert len(make(Config()).read(clips[1], 0)) == 12 * SAMPLE_RATE


def test_more_clips_leave_the_first_ones_where_they_are() -> None:
    few, many = (make(Config(clips_per_scene=count)).clips() for count in (2, 5))
    assert list(many[: len(few)]) == list(few)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("number", [0, 1])
def test_level_band_and_crest_are_those_of_a_recording(scene: Scene, number: int) -> None:
    samples = sound(scene, number)
    assert samples.dtype == np.float32
    assert samples.shape == (4 * SAMPLE_RATE,)
    assert np.isfinite(samples).all()
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(0.05, rel=0.05)
    assert np.abs(samples).max() <= 0.95
    assert abs(samples.mean(dtype=np.float64)) < 1e-4
    energy = np.square(np.abs(np.fft.rfft(samples)))
    hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    assert energy[hz > 7900].sum() < 1e-4 * energy.sum()
    assert energy[hz < 10].sum() < 1e-4 * energy.sum()
    levels = np.mean(np.square(samples.reshape(-1, 1600)), axis=1)
    assert levels.min() > 1e-8, "a tenth of a second of silence"


@pytest.mark.parametrize("seconds", [2, 7, 13])
def test_clips_last_as_long_as_asked(seconds: int) -> None:
    source = make(Config(clips_per_scene=1, clip_seconds=seconds))
    for clip in source.clips():
        samples = source.read(clip, 1)
        assert len(samples) == seconds * SAMPLE_RATE
        assert np.sqrt(np.mean(np.square(samples[-SAMPLE_RATE:]))) > 1e-3


@pytest.mark.parametrize("scene", SCENES)
def test_a_clip_depends_on_its_id_and_the_seed(scene: Scene) -> None:
    same = make(SHORT).read(clip_of(scene), 1)
    np.testing.assert_array_equal(same, sound(scene))
    for stranger in (sound(scene, seed=2), sound(scene, number=1)):
        assert abs(np.corrcoef(same, stranger)[0, 1]) < 0.1


@settings(max_examples=4, deadline=None)
@given(st.permutations(SCENES))
def test_the_order_of_reading_changes_nothing(order: list[Scene]) -> None:
    source = make(SHORT)
    for scene in order[:4]:
        np.testing.assert_array_equal(source.read(clip_of(scene), 1), sound(scene))


def test_another_process_makes_the_same_bytes() -> None:
    code = (
        "from hashlib import blake2b; from datagen.noise.synthetic import *\n"
        "source = make(Config(clips_per_scene=1, clip_seconds=4))\n"
        "for clip in source.clips(): print(blake2b(source.read(clip, 1).tobytes(), digest_size=8).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [digest(sound(scene)) for scene in SCENES]


@pytest.mark.parametrize("scene", SCENES)
def test_no_stretch_is_played_twice(scene: Scene) -> None:
    samples = sound(scene)
    spectrum = np.fft.rfft(samples - samples.mean(), 2 * len(samples))
    correlation = np.fft.irfft(np.square(np.abs(spectrum)))[: len(samples)]
    lags = slice(SAMPLE_RATE, 3 * SAMPLE_RATE)
    overlap = 1 - np.arange(len(samples)) / len(samples)
    # Hum is periodic by nature; a repeated stretch would correlate with itself as fully as at lag 0.
    assert np.abs(correlation / overlap / correlation[0])[lags].max() < 0.75


def test_scenes_sound_as_they_should() -> None:
    """Mean spectra over clips and seeds, because a clip may be bright or dull."""
    bands = {s: np.mean([octaves(sound(s, n, seed)) for n in (0, 1) for seed in (1, 2)], axis=0) for s in SCENES}
    low, high = slice(0, 3), slice(6, 8)
    for scene in ("traffic", "wind", "ventilation", "metro", "keyboard"):
        assert bands[scene][low].max() > bands["rain"][low].max() + 6
    assert bands["rain"][high].max() > -6
    for scene in ("wind", "ventilation", "metro"):
        assert bands[scene][high].max() < -9
    for scene in ("babble", "cafe"):
        assert bands[scene][3:6].max() > max(bands[scene][low].max(), bands[scene][high].max())


def test_scenes_differ_from_each_other() -> None:
    bands = {s: np.mean([octaves(sound(s, n, seed)) for n in (0, 1) for seed in (1, 2)], axis=0) for s in SCENES}
    for i, one in enumerate(SCENES):
        for two in SCENES[i + 1 :]:
            distance = np.abs(bands[one] - bands[two]).max()
            assert distance > 2, (one, two)


def test_wind_comes_in_gusts_and_fans_do_not() -> None:
    assert envelope_range(sound("wind")) > 8
    assert envelope_range(sound("ventilation")) < 4


def test_hum_holds_the_harmonics_of_the_mains() -> None:
    samples = sound("ventilation")
    energy = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
    step = SAMPLE_RATE / len(samples)

    def peak(hz: float) -> float:
        at = round(hz / step)
        return energy[at - 2 : at + 3].max() / np.median(energy[at - 60 : at + 60])

    assert max(peak(100), peak(120)) > 30


def test_a_foreign_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of the synthetic scenes"):
        make(SHORT).read(Clip("birds.wav", "park", "CC0-1.0", "a folder"), 1)


VOICE = Voice(id="v", language="eo", split="train", origin="here", licence="MIT")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scenes": ("rain", "rain")}, "twice"),
        (
            {"babble_voices": ({"id": "a", "language": "en", "split": "train", "origin": "x", "licence": "y"},)},
            "together",
        ),
        ({"clip_seconds": 1}, "clip_seconds"),
        ({"scenes": ("beach",)}, "scenes"),
        ({"babble_tts": {"kind": "no-such-engine"}}, "no-such-engine"),
    ],
)
def test_a_wrong_config_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config.model_validate({"kind": "synthetic", **fields})


class Murmur:
    """An engine that hums as long as the text is, at a pitch that is the voice's."""

    def check_voice(self, voice: Voice) -> None: ...

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        t = np.arange(len(text) * 900) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * float(voice.params["pitch"]) * t + seed)
        return Speech(pcm=(8000 * tone).astype(np.int16), words=())


class MurmurConfig(KindConfig):
    kind: Literal["murmur"] = "murmur"


@pytest.fixture
def murmur(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the engine a kind of the family ``tts``."""
    module = ModuleType("datagen.tts.murmur")
    vars(module).update(Config=MurmurConfig, make=lambda config: Murmur())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = kinds.names
    monkeypatch.setattr(kinds, "names", lambda family, home: [*known(family, home), "murmur"])


def murmuring(count: int) -> Config:
    voices = tuple(
        Voice(id=f"v{i}", language="en-GB", split="train", origin="here", licence="MIT", params={"pitch": 110 + 20 * i})
        for i in range(count)
    )
    return Config(clips_per_scene=1, clip_seconds=4, babble_tts=MurmurConfig(), babble_voices=voices)


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("scene", ["babble", "cafe"])
def test_babble_is_spoken_by_the_engine(scene: Scene, count: int, murmur: None) -> None:
    source = make(murmuring(count))
    clip = next(c for c in source.clips() if c.scene == scene)
    assert clip.licence == "CC0-1.0 AND MIT"
    samples = source.read(clip, 3)
    np.testing.assert_array_equal(samples, source.read(clip, 3))
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(0.05, rel=0.05)
    assert octaves(samples)[1:5].max() > -6


def test_the_engine_survives_being_written_down(murmur: None) -> None:
    config = murmuring(2)
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert kinds.make("noise", config) is kinds.make("noise", murmuring(2))


def test_a_voice_needs_sentences_in_its_language() -> None:
    with pytest.raises(ValueError, match="'eo'"):
        Config(babble_tts=MurmurConfig(), babble_voices=(VOICE,))
    told = Config(babble_tts=MurmurConfig(), babble_voices=(VOICE,), babble_sentences={"eo": ("Saluton al vi.",)})
    assert told.sentences(VOICE) == ("Saluton al vi.",)


def test_the_built_in_sentences_can_be_spoken() -> None:
    for sentences in SENTENCES.values():
        assert len(set(sentences)) >= 8
        assert all(text == text.strip() and text.isprintable() for text in sentences)


def test_real_voices_babble() -> None:
    pytest.importorskip("datagen.tts.espeak", reason="the espeak engine is not there")
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed")
    voices = tuple(
        Voice(
            id=f"babble-{variant}",
            language="en",
            split="train",
            origin="espeak-ng",
            licence="GPL-3.0-or-later",
            params={"base": "gmw/en-US", "variant": variant, "pitch": pitch, "range": 50, "rate_wpm": 170},
        )
        for variant, pitch in (("f2", 60), ("m3", 35), ("m7", 45), ("f4", 55))
    )
    config = Config(
        clips_per_scene=1, clip_seconds=4, babble_tts=kinds.parse("tts", {"kind": "espeak"}), babble_voices=voices
    )
    source = make(config)
    clip = next(c for c in source.clips() if c.scene == "babble")
    samples = source.read(clip, 1)
    np.testing.assert_array_equal(samples, source.read(clip, 1))
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(0.05, rel=0.05)
    assert octaves(samples)[3:6].max() > octaves(samples)[6:8].max()
