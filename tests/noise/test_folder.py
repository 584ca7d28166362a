"""Laws of noise read from a folder, over files made on the spot and the real recordings beside the checkout."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Clip
from datagen.noise.folder import Config, Folder, make
from tests.helpers import samples

Samples = npt.NDArray[np.float64]


def tone(rate: int, hz: float = 440.0, seconds: float = 1.5, level: float = 0.3) -> Samples:
    return level * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def source(path: Path | str, **fields: object) -> Folder:
    return make(Config.model_validate({"kind": "folder", "path": str(path), "licence": "CC0-1.0", **fields}))


def peak_hz(signal: npt.NDArray[np.float32]) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(signal))) * SAMPLE_RATE / len(signal))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff", "mp3"])
def test_any_rate_and_channels_become_16_khz_mono(tmp_path: Path, rate: int, channels: int, suffix: str) -> None:
    signal = tone(rate, hz=1000) + 0.1
    soundfile.write(tmp_path / f"a.{suffix}", np.repeat(signal[:, None], channels, 1), rate)
    folder = source(tmp_path)
    (clip,) = folder.clips()
    heard = folder.read(clip, 0)
    assert heard.dtype == np.float32
    assert heard.ndim == 1
    assert len(heard) == pytest.approx(1.5 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert peak_hz(heard) == pytest.approx(1000, abs=2)
    assert abs(heard.mean(dtype=np.float64)) < 1e-6
    assert np.sqrt(np.mean(np.square(heard))) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(SAMPLE_RATE, 300), tone(SAMPLE_RATE, 700)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), SAMPLE_RATE, subtype="FLOAT")
    folder = source(tmp_path)
    np.testing.assert_allclose(folder.read(folder.clips()[0], 0), (left + right) / 2, atol=1e-4)


def test_nothing_above_8_khz_folds_back(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(48_000, hz=11_000) + tone(48_000, hz=500, level=0.01), 48_000)
    folder = source(tmp_path)
    heard = folder.read(folder.clips()[0], 0)[2000:-2000]
    assert peak_hz(heard) == pytest.approx(500, abs=2)
    assert np.sqrt(np.mean(np.square(heard))) < 0.01


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.from_regex(r"[a-zA-Z0-9_]{1,8}", fullmatch=True), min_size=1, max_size=5, unique_by=str.lower))
def test_clips_are_sorted_whatever_the_order_of_writing(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    for name in names:
        soundfile.write(folder / f"{name}.wav", tone(8000), 8000)
    assert [c.id for c in source(folder).clips()] == sorted(f"{name}.wav" for name in names)


def test_reading_depends_on_the_clip_alone(tmp_path: Path) -> None:
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", tone(SAMPLE_RATE, 200 + 100 * i), SAMPLE_RATE)
    one, two = source(tmp_path), source(tmp_path)
    clips = one.clips()
    first = [one.read(c, 1) for c in clips]
    again = [two.read(c, 2) for c in reversed(clips)][::-1]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_file_is_a_clip_or_a_problem(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", tone(SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / "corrupt.wav").write_bytes(b"RIFF but not really a sound")
    (tmp_path / "empty.flac").write_bytes(b"")
    soundfile.write(tmp_path / "silent.wav", np.zeros(2 * SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(tmp_path / "offset.wav", np.full(2 * SAMPLE_RATE, 0.25), SAMPLE_RATE)
    cancelling = np.stack([tone(SAMPLE_RATE), -tone(SAMPLE_RATE)], 1)
    soundfile.write(tmp_path / "antiphase.wav", cancelling, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", tone(SAMPLE_RATE, seconds=0.5), SAMPLE_RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(2 * SAMPLE_RATE, np.nan), SAMPLE_RATE, subtype="FLOAT")
    (tmp_path / "notes.txt").write_text("not audio")
    folder = source(tmp_path)
    assert [c.id for c in folder.clips()] == ["good.wav"]
    reasons = dict(p.split(": ", 1) for p in folder.problems())
    assert list(reasons) == sorted(reasons)
    assert set(reasons) == {
        "antiphase.wav",
        "corrupt.wav",
        "empty.flac",
        "nan.wav",
        "offset.wav",
        "short.wav",
        "silent.wav",
    }
    assert "cannot be read" in reasons["corrupt.wav"]
    assert "cannot be read" in reasons["empty.flac"]
    assert "no numbers" in reasons["nan.wav"]
    assert "min_seconds" in reasons["short.wav"]
    for name in ("silent.wav", "offset.wav", "antiphase.wav"):
        assert "silent" in reasons[name]
    assert all("\n" not in reason for reason in reasons.values())


@pytest.mark.parametrize(("rms", "silent"), [(2e-5, False), (5e-6, True)])
def test_silence_is_judged_over_the_whole_file(tmp_path: Path, rms: float, silent: bool) -> None:
    """All the energy lies in the last of ten seconds."""
    signal = np.zeros(10 * SAMPLE_RATE)
    signal[-SAMPLE_RATE:] = tone(SAMPLE_RATE, seconds=1, level=rms * np.sqrt(20))
    soundfile.write(tmp_path / "a.wav", signal, SAMPLE_RATE, subtype="FLOAT")
    assert bool(source(tmp_path).problems()) == silent


def test_one_second_is_long_enough(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(44_100, seconds=1), 44_100)
    assert len(source(tmp_path).clips()) == 1


def test_a_file_that_breaks_off_is_refused_when_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 8 * SAMPLE_RATE), SAMPLE_RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    folder = source(tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        folder.read(folder.clips()[0], 0)


def test_patterns_recursion_and_scenes(tmp_path: Path) -> None:
    for name in ("park/airport-lisbon-1-2-a.wav", "street/tram/LOUD_03.WAV", "rain_1-17-A.wav", "007.wav", "other.raw"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, tone(8000), 8000, format="WAV")
    by_parent = {c.id: c.scene for c in source(tmp_path).clips()}
    root = tmp_path.name
    assert by_parent == {
        "007.wav": root,
        "park/airport-lisbon-1-2-a.wav": "park",
        "rain_1-17-A.wav": root,
        "street/tram/LOUD_03.WAV": "tram",
    }
    by_name = [c.scene for c in source(tmp_path, scene_from="name").clips()]
    assert by_name == ["007", "airport", "rain", "LOUD"]
    assert [c.id for c in source(tmp_path, recursive=False).clips()] == ["007.wav", "rain_1-17-A.wav"]
    assert [c.id for c in source(tmp_path, patterns=("rain*",)).clips()] == ["rain_1-17-A.wav"]


def test_licence_and_origin_travel_with_the_clip(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000)
    assert source(tmp_path, origin="our own").clips()[0] == Clip("a.wav", tmp_path.name, "CC0-1.0", "our own")
    with pytest.raises(ValueError, match="licence"):
        Config.model_validate({"kind": "folder", "path": str(tmp_path)})


def test_folders_on_other_storage() -> None:
    memory = fsspec.filesystem("memory")
    with memory.open("/noise-test/a/b.wav", "wb") as file:
        soundfile.write(file, tone(SAMPLE_RATE), SAMPLE_RATE, format="WAV", subtype="FLOAT")
    try:
        folder = source("memory://noise-test/")
        (clip,) = folder.clips()
        assert (clip.id, clip.scene) == ("a/b.wav", "a")
        np.testing.assert_allclose(folder.read(clip, 0), tone(SAMPLE_RATE), atol=1e-4)
    finally:
        memory.rm("/noise-test", recursive=True)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        source(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="path"):
        source("nosuchprotocol://noise")


def test_a_folder_without_a_usable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no usable file"):
        source(tmp_path).clips()
    (tmp_path / "a.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.wav: cannot be read"):
        source(tmp_path).clips()


def test_a_clip_of_another_folder_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for name in ("inner/a.wav", "b.wav"):
        soundfile.write(tmp_path / name, tone(8000), 8000)
    folder = source(inner)
    with pytest.raises(ValueError, match="outside"):
        folder.read(Clip("../b.wav", "", "", ""), 0)
    with pytest.raises(ValueError, match=r"gone\.wav"):
        folder.read(Clip("gone.wav", "", "", ""), 0)


def test_the_real_recordings() -> None:
    """ESC-10: 28 clips of 5 s at 44.1 kHz, some with digital silence at their ends."""
    folder = source(samples() / "noise", scene_from="name", licence="CC-BY-3.0")
    clips = folder.clips()
    assert folder.problems() == []
    assert len(clips) == 28
    assert {"esc10_rain", "esc10_sea_waves", "esc10_helicopter"} <= {c.scene for c in clips}
    for clip in clips[::5]:
        heard = folder.read(clip, 0)
        assert len(heard) == pytest.approx(5 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
        assert np.isfinite(heard).all()
        assert abs(heard.mean(dtype=np.float64)) < 1e-6
        assert np.sqrt(np.mean(np.square(heard))) > 1e-4
