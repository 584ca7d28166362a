"""Laws of TAU Urban Acoustic Scenes, over small trees in the layouts of its editions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.units import SAMPLE_RATE
from datagen.identity import digest
from datagen.kinds import Clip
from datagen.noise import tau
from datagen.noise._slices import UNLABELLED, named, runs
from datagen.noise.tau import Config, Tau, fingerprint, make, needs

Samples = npt.NDArray[np.float64]
RATE = 44_100
SLICE = 2_205
"""Samples of a slice: 50 ms, where the real ones last a second."""


def noise(seed: int, samples: int = 10 * SLICE) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, samples)


def write(path: Path, signal: Samples, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate, subtype="PCM_24")


def write_slices(root: Path, name: str, signal: Samples, numbers: Sequence[int]) -> None:
    """A recording in the layout from 2022 on; ``name`` has {} where the slice's number goes."""
    for number in numbers:
        write(root / "audio" / name.format(number), signal[number * SLICE : (number + 1) * SLICE])


def write_table(root: Path, rows: Sequence[tuple[str, ...]], header: str = "filename\tscene_label\tidentifier") -> None:
    lines = [header, *("\t".join(row) for row in rows)]
    (root / "meta.csv").write_text("\n".join(lines) + "\n")


def source(root: Path, **fields: object) -> Tau:
    return make(Config.model_validate({"kind": "tau", "path": str(root), "min_seconds": 0.4, **fields}))


def ids(root: Path, **fields: object) -> list[str]:
    return [clip.id for clip in source(root, **fields).clips()]


def test_joined_slices_are_the_recording_they_were_cut_from(tmp_path: Path) -> None:
    signal = noise(1)
    write(tmp_path / "whole/audio/airport-lisbon-1000-40000-a.wav", signal)
    write_slices(tmp_path / "cut", "airport-lisbon-1000-40000-{}-a.wav", signal, range(10))
    whole, cut = source(tmp_path / "whole"), source(tmp_path / "cut")
    (joined,) = cut.clips()
    assert joined.id == "audio/airport-lisbon-1000-40000-0..9-a.wav"
    heard = cut.read(joined, 0)
    np.testing.assert_array_equal(heard, whole.read(whole.clips()[0], 0))
    assert heard.dtype == np.float32
    assert len(heard) == len(signal) * SAMPLE_RATE // RATE


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.sets(st.integers(0, 9), min_size=1))
def test_over_a_gap_nothing_is_joined(tmp_path_factory: pytest.TempPathFactory, numbers: set[int]) -> None:
    root = tmp_path_factory.mktemp("gaps")
    signal = noise(2)
    write_slices(root, "bus-lyon-7-70-{}-s1.wav", signal, sorted(numbers))
    folder = source(root, min_seconds=0.01)
    assert len(folder.clips()) == len(runs(dict.fromkeys(numbers, "")))
    for run, clip in zip(runs(dict.fromkeys(numbers, "")), folder.clips(), strict=True):
        write(root / "alone/audio/bus-lyon-7-70-s1.wav", signal[run[0] * SLICE : (run[-1] + 1) * SLICE])
        alone = source(root / "alone", min_seconds=0.01)
        np.testing.assert_array_equal(folder.read(clip, 0), alone.read(alone.clips()[0], 0))
        assert clip.scene == "bus"


@given(numbers=st.sets(st.integers(0, 40)))
def test_runs_hold_every_number_once_and_are_as_long_as_can_be(numbers: set[int]) -> None:
    found = runs(dict.fromkeys(numbers, ""))
    assert [n for run in found for n in run] == sorted(numbers)
    assert all(b - a == 1 for run in found for a, b in pairwise(run))
    assert all(right[0] - left[-1] > 1 for left, right in pairwise(found))


def test_slices_keep_to_their_device_city_segment_and_folder(tmp_path: Path) -> None:
    names = ["park-paris-1-10-{}-a.wav", "park-paris-1-10-{}-b.wav", "park-paris-1-11-{}-a.wav"]
    for seed, name in enumerate(names):
        write_slices(tmp_path, name, noise(seed), range(10))
    write_slices(tmp_path / "again", names[0], noise(9), range(10))
    folder = source(tmp_path)
    assert [clip.id for clip in folder.clips()] == [
        "again/audio/park-paris-1-10-0..9-a.wav",
        "audio/park-paris-1-10-0..9-a.wav",
        "audio/park-paris-1-10-0..9-b.wav",
        "audio/park-paris-1-11-0..9-a.wav",
    ]
    heard = [folder.read(clip, 0) for clip in folder.clips()]
    assert all(not np.array_equal(a, b) for i, a in enumerate(heard) for b in heard[:i])


def test_stereo_at_48_khz_is_averaged(tmp_path: Path) -> None:
    """The binaural edition of 2019."""
    left, right = noise(3, 24_000), noise(4, 24_000)
    for name, signal in {"both": np.stack([left, right], 1), "mean": (left + right) / 2}.items():
        write(tmp_path / name / "audio/tram-vienna-5-50-a.wav", signal, 48_000)
    both, mean = source(tmp_path / "both"), source(tmp_path / "mean")
    heard = both.read(both.clips()[0], 0)
    assert heard.ndim == 1
    np.testing.assert_allclose(heard, mean.read(mean.clips()[0], 0), atol=1e-6)


def test_the_table_says_the_scene_and_else_the_name(tmp_path: Path) -> None:
    write_slices(tmp_path, "airport-lisbon-1-2-{}-a.wav", noise(5), range(10))
    write(tmp_path / "audio/metro_station-oslo-3-4-b.wav", noise(6))
    write(tmp_path / "audio/17.wav", noise(7))
    write(tmp_path / "audio/18.wav", noise(8))
    rows = [("audio/17.wav", "tram", "oslo-9", "s3"), ("audio/airport-lisbon-1-2-0-a.wav", "park", "lisbon-1", "a")]
    write_table(tmp_path, rows, "filename\tscene_label\tidentifier\tsource_label")
    assert {c.id: c.scene for c in source(tmp_path).clips()} == {
        "audio/17.wav": "tram",
        "audio/18.wav": UNLABELLED,
        "audio/airport-lisbon-1-2-0..9-a.wav": "park",
        "audio/metro_station-oslo-3-4-b.wav": "metro_station",
    }
    assert ids(tmp_path, devices=("s3",)) == ["audio/17.wav"]
    assert ids(tmp_path, scenes=("park", "metro_station"), devices=("b",)) == ["audio/metro_station-oslo-3-4-b.wav"]


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    write(tmp_path / "audio/park-paris-1-1-a.wav", noise(1))
    with pytest.raises(ValueError, match=r"scenes: there is no airports .*there are: park"):
        source(tmp_path, scenes=("park", "airports")).clips()
    with pytest.raises(ValueError, match=r"devices: there is no s9 .*there are: a"):
        source(tmp_path, devices=("s9",)).clips()


def test_evaluation_slices_are_refused_unless_short_clips_will_do(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / f"audio/{number}.wav", noise(number, SLICE))
    write_table(tmp_path, [(f"audio/{n}.wav",) for n in range(5)], "filename")
    with pytest.raises(ValueError, match=r"audio: 5 clips .*without a neighbour .*0\.wav.*min_seconds 0\.4"):
        source(tmp_path).clips()
    assert ids(tmp_path, min_seconds=0.05) == [f"audio/{n}.wav" for n in range(5)]


def test_short_stretches_are_told_once_per_folder(tmp_path: Path) -> None:
    write_slices(tmp_path, "bus-lyon-1-1-{}-a.wav", noise(1), range(10))
    for segment in (2, 3):
        write_slices(tmp_path, f"bus-lyon-1-{segment}-{{}}-a.wav", noise(segment), (0, 1, 5))
    folder = source(tmp_path)
    assert [clip.id for clip in folder.clips()] == ["audio/bus-lyon-1-1-0..9-a.wav"]
    alone, joined = sorted(folder.problems())
    assert "audio: 2 clips (joined slices with gaps" in alone
    assert "audio: 2 clips (slices without a neighbour" in joined


def test_a_broken_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "audio/park-paris-1-1-a.wav", noise(1))
    (tmp_path / "audio/park-paris-1-2-a.wav").write_bytes(b"RIFF of nothing")
    folder = source(tmp_path)
    assert [clip.id for clip in folder.clips()] == ["audio/park-paris-1-1-a.wav"]
    (problem,) = folder.problems()
    assert problem.startswith("audio/park-paris-1-2-a.wav: cannot be read")


def test_what_cannot_be_read_is_named_when_it_is_read(tmp_path: Path) -> None:
    """A listing does not open every file, so some faults are found late."""
    for name in ("a", "b"):
        write(tmp_path / f"audio/park-paris-1-1-{name}.wav", noise(1))
    broken = tmp_path / "audio/park-paris-1-1-b.wav"
    broken.write_bytes(b"x" * broken.stat().st_size)
    folder = source(tmp_path)
    with pytest.raises(ValueError, match=r"park-paris-1-1-b\.wav' cannot be read"):
        folder.read(folder.clips()[1], 0)
    with pytest.raises(ValueError, match="is not in"):
        folder.read(Clip("../secret.wav", "", "", ""), 0)
    write_slices(tmp_path / "mixed", "bus-lyon-1-1-{}-a.wav", noise(2), range(9))
    write(tmp_path / "mixed/audio/bus-lyon-1-1-9-a.wav", noise(2, SLICE), 48_000)
    mixed = source(tmp_path / "mixed")
    with pytest.raises(ValueError, match="several sampling rates"):
        mixed.read(mixed.clips()[0], 0)


def test_clips_are_capped_evenly_over_scenes_and_cities(tmp_path: Path) -> None:
    cities = {
        "airport": ["lisbon", "lyon", "paris"],
        "bus": ["vienna"],
        "park": ["lisbon", "london", "milan", "prague"],
    }
    for scene, where in cities.items():
        for city in where:
            write(tmp_path / f"audio/{scene}-{city}-1-1-a.wav", noise(len(city)))
    kept = source(tmp_path, max_clips=5).clips()
    assert [clip.scene for clip in kept] == ["airport", "airport", "bus", "park", "park"]
    assert [clip.id.split("-")[1] for clip in kept if clip.scene == "park"] == ["lisbon", "milan"]
    assert source(tmp_path, max_clips=5).clips() == kept
    assert len(ids(tmp_path, max_clips=None)) == len(ids(tmp_path, max_clips=99)) == 8


def test_listing_opens_one_file_per_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for segment in range(20):
        write_slices(tmp_path, f"tram-oslo-1-{segment}-{{}}-a.wav", noise(segment), range(10))
    opened: list[object] = []
    real = soundfile.info
    monkeypatch.setattr(soundfile, "info", lambda file: (opened.append(file), real(file))[1])
    assert len(ids(tmp_path)) == 20
    assert len(opened) == 1


def test_editions_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "TAU-urban-acoustic-scenes-2019-development/audio/park-paris-1-1-a.wav", noise(1))
    later = tmp_path / "TAU-urban-acoustic-scenes-2022-mobile-development"
    write_slices(later, "bus-lyon-1-1-{}-a.wav", noise(2), range(10))
    write_table(later, [(f"audio/bus-lyon-1-1-{n}-a.wav", "tram", "lyon-1") for n in range(10)])
    assert [clip.scene for clip in source(tmp_path).clips()] == ["park", "tram"]


def test_licence_and_origin_travel_with_the_clip(tmp_path: Path) -> None:
    write(tmp_path / "audio/park-paris-1-1-a.wav", noise(1))
    (clip,) = source(tmp_path, origin="ours").clips()
    assert clip == Clip("audio/park-paris-1-1-a.wav", "park", "LicenseRef-TAU-non-commercial", "ours")


def test_the_identity_holds_the_contents_and_not_the_place(tmp_path: Path) -> None:
    for place in ("one", "two", "renamed", "longer", "relabelled"):
        write(tmp_path / place / "audio/park-paris-1-1-a.wav", noise(1))
        write_table(tmp_path / place, [("audio/park-paris-1-1-a.wav", "park", "paris-1")])
    (tmp_path / "renamed/audio/park-paris-1-1-a.wav").rename(tmp_path / "renamed/audio/park-paris-1-2-a.wav")
    write(tmp_path / "longer/audio/park-paris-1-1-a.wav", noise(1, 11 * SLICE))
    write_table(tmp_path / "relabelled", [("audio/park-paris-1-1-a.wav", "tram", "paris-1")])
    seen = {
        place.name: digest(kinds.parse("noise", {"kind": "tau", "path": str(place)})) for place in tmp_path.iterdir()
    }
    assert seen["one"] == seen["two"]
    assert len(set(seen.values())) == 4


def test_the_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tau.VARIABLE, raising=False)
    for refused in (make, fingerprint):
        with pytest.raises(ValueError, match=r"TAU_HOME is not set; get TAU .*zenodo"):
            refused(Config())
    (need,) = needs(Config())
    assert need.found == ""
    assert "TAU_HOME" in need.remedy
    write(tmp_path / "audio/park-paris-1-1-a.wav", noise(1))
    monkeypatch.setenv(tau.VARIABLE, str(tmp_path))
    assert len(make(Config(min_seconds=0.1)).clips()) == 1
    assert fingerprint(Config()) == fingerprint(Config(path=str(tmp_path)))
    (need,) = needs(Config())
    assert str(tmp_path) in need.found


def test_an_empty_or_missing_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(ValueError, match=r"no usable clip .*zenodo"):
        source(tmp_path).clips()
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        source(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "nowhere"):
        (need,) = needs(Config(path=str(path)))
        assert need.found == ""
        assert need.remedy


def test_names_of_all_editions() -> None:
    assert named("audio/airport-barcelona-0-0-a.wav")[:2] == ("airport", "a")
    assert named("x/street_traffic-milan-1094-42444-7-s10.wav")[1:] == (
        "s10",
        "x/street_traffic-milan-1094-42444-{}-s10.wav",
        7,
    )
    assert named("audio/123.wav") == (UNLABELLED, "", "audio/123.wav", None)
