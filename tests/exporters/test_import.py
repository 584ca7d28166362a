"""Sets of other formats as datasets: a round trip loses what is said to be lost and nothing else."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from datagen import kinds
from datagen.build import BuildError, Taken
from datagen.exporters.relays2s import record
from datagen.report import collect
from datagen.schema import SCHEMA
from tests.exporters.making import at, export, hummed, lines, recording, rows, samples, take_in, words
from tests.tiny import Tiny, built
from trainer.data.folder import find
from trainer.data.rows import row_of

__all__ = ["built", "hummed"]
FORMATS = ["moshi", "relays2s", "stereo"]
SETTINGS: dict[str, dict[str, Any]] = {"moshi": {"user_words": True}}


class Back(NamedTuple):
    """A dataset exported and imported again; read it only."""

    there: Path
    folder: Path
    manifest: dict[str, Any]


RoundTrip = Callable[[str, str], Back]


@pytest.fixture(scope="session")
def round_trip(built: Tiny, hummed: Path, tmp_path_factory: pytest.TempPathFactory) -> RoundTrip:
    """Of the ``built`` or the ``hummed`` dataset through a format; each is made once."""

    @cache
    def made(name: str, kind: str) -> Back:
        folder = tmp_path_factory.mktemp(f"{name}-{kind}")
        export({"built": built.out, "hummed": hummed}[name], kind, folder / "there", **SETTINGS.get(kind, {}))
        return Back(folder / "there", folder / "back", take_in(folder / "there", kind, folder / "back"))

    return made


def named(lost: list[str]) -> set[str]:
    """The columns that are said to be lost, in whole or in part."""
    return {text.split(" ")[0].split(".")[0].rstrip(",") for text in lost}


def test_these_can_be_imported() -> None:
    assert kinds.names("importers") == FORMATS


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("made", ["built", "hummed"])
def test_what_changes_is_what_is_said(kind: str, made: str, round_trip: RoundTrip, built: Tiny, hummed: Path) -> None:
    folder = built.out if made == "built" else hummed
    _, back, imported = round_trip(made, kind)
    said = named(imported["lost"]) | {"source", "profile", "licences"} if kind != "stereo" else set[str]()
    before, after = rows(folder), rows(back)
    assert imported["counts"]["import"] == {"in": len(before), "out": len(before), "rejected": 0}
    assert [row["id"] for row in after] == [row["id"] for row in before]
    for old, new in zip(before, after, strict=True):
        for speaker in ("user", "assistant"):
            assert (samples(old, speaker) == samples(new, speaker)).all()
        kept = {name for name in old if not name.endswith("_audio") and name not in said}
        assert {name for name in kept if old[name] != new[name]} == set()


def test_the_splits_and_files_are_as_build_leaves_them(hummed: Path, round_trip: RoundTrip) -> None:
    _, back, imported = round_trip("hummed", "relays2s")
    for split in ("train", "validation", "test"):
        assert [r["id"] for r in rows(back, split)] == [r["id"] for r in rows(hummed, split)]
        assert imported["splits"][split]["conversations"] == len(rows(hummed, split))
        assert find(str(back), split).files
    papers = {"README.md", "manifest.json", "statistics.json", "report.html"}
    assert {path.name for path in back.iterdir()} == {"data", *papers}
    assert collect(str(back)).conversations == len(rows(hummed))
    assert imported["licences"] == ["CC-BY-4.0"]


def test_relays2s_tells_every_segment_and_the_events_that_follow(built: Tiny, round_trip: RoundTrip) -> None:
    back = round_trip("built", "relays2s").folder
    for old, new in zip(rows(built.out), rows(back), strict=True):
        assert [_core(s) for s in new["segments"]] == [_core(s) for s in old["segments"]]
        wanted = Counter((e["type"], e["actor"], e["outcome"]) for e in old["events"])
        told = {key: n for key, n in wanted.items() if key[0] in ("backchannel", "barge_in")}
        assert Counter((e["type"], e["actor"], e["outcome"]) for e in new["events"]) == told
        places = [(e["start"], e["end"], e["target"]) for e in old["events"] if e["type"] == "barge_in"]
        assert [(e["start"], e["end"], e["target"]) for e in new["events"] if e["type"] == "barge_in"] == places
        assert new["voices"]["user"]["id"] == old["voices"]["user"]["id"]
        assert all(w["estimated"] for s in new["segments"] for w in s["words"])
        row_of(new)


def _core(segment: dict[str, Any]) -> tuple[Any, ...]:
    """What a label tells."""
    times = (at(segment["start"]), at(segment["end"]))
    return segment["speaker"], segment["kind"], segment["yielded"], segment["text"], times


def test_moshi_tells_every_word(built: Tiny, round_trip: RoundTrip) -> None:
    back = round_trip("built", "moshi").folder
    for old, new in zip(rows(built.out), rows(back), strict=True):
        for speaker in ("user", "assistant"):
            assert words(new, speaker) == [w for w in words(old, speaker) if w[1] < w[2]]
            own = [
                [(at(w["start"]), at(w["end"])) for w in s["words"]] for s in new["segments"] if s["speaker"] == speaker
            ]
            assert all(b[0] - a[1] < 16_000 for segment in own for a, b in pairwise(segment))
            assert all(b[0][0] - a[-1][1] >= 16_000 for a, b in pairwise(own))
            assert len(own) > 1


def test_moshi_without_the_users_words_has_the_users_speech(hummed: Path, tmp_path: Path) -> None:
    export(hummed, "moshi", tmp_path / "there", split="train")
    take_in(tmp_path / "there", "moshi", tmp_path / "back")
    for old, new in zip(rows(hummed, "train"), rows(tmp_path / "back"), strict=True):
        heard, spoken = (np.zeros(old["num_samples"], bool) for _ in range(2))
        for segment in new["segments"]:
            if segment["speaker"] == "user":
                assert segment["text"] == ""
                heard[at(segment["start"]) : at(segment["end"])] = True
        for _, start, end in words(old, "user"):
            spoken[start:end] = True
        assert (heard & spoken).sum() > 0.9 * spoken.sum()
        assert words(new, "assistant") == words(old, "assistant")


@pytest.mark.parametrize("kind", FORMATS)
def test_exported_again_it_is_the_same_set(kind: str, round_trip: RoundTrip, tmp_path: Path) -> None:
    """What a format can hold survives the way back and there again."""
    there, back, _ = round_trip("hummed", kind)
    export(back, kind, tmp_path, **SETTINGS.get(kind, {}))
    first, second = ({p.name: p for p in folder.rglob("*") if p.is_file()} for folder in (there, tmp_path))
    assert set(first) == set(second)
    for name in set(first) - {"export.json"}:
        assert first[name].read_bytes() == second[name].read_bytes(), name


# -- sets of others --------------------------------------------------------------------------------------------------


def test_real_recordings_of_any_rate_with_transcripts(tmp_path: Path) -> None:
    for split, rate in (("train", 44_100), ("test", 8_000)):
        recording(tmp_path / "calls" / split, "001", rate, language="de")
    settings = {"channels": ["user", "assistant"], "licence": "CC0-1.0", "name": "calls"}
    manifest = take_in(tmp_path / "calls", "stereo", tmp_path / "out", **settings)
    assert manifest["recipe"]["name"] == "calls"
    for split in ("train", "test"):
        (row,) = rows(tmp_path / "out", split)
        assert row["id"] == f"{split}-001"
        assert row["language"] == "de"
        assert row["num_samples"] == 64_000
        assert row["licences"] == ["CC0-1.0"]
        assert row["provenance"]["recipe"] == "calls"
        for speaker, (start, end) in {"user": (8_000, 24_000), "assistant": (32_000, 56_000)}.items():
            pcm = samples(row, speaker).astype(float)
            inside = np.square(pcm[start:end]).mean()
            assert np.sqrt(inside) / 32768 == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
            assert np.square(np.delete(pcm, np.s_[start - 200 : end + 200])).mean() < 1e-4 * inside
        assert [w["word"] for w in row["segments"][0]["words"]] == ["where", "is", "it"]
        assert row["quality"]["words_estimated"] == 1.0
        row_of(row)


def test_a_bad_record_is_refused_with_its_reason(hummed: Path, tmp_path: Path) -> None:
    export(hummed, "relays2s", tmp_path / "set", split="train")
    path = tmp_path / "set" / "train.jsonl"
    good = lines(path)
    broken = [
        "no json",
        json.dumps({**good[0], "user_audio": "gone.wav"}),
        json.dumps({key: value for key, value in good[0].items() if key != "user_label"}),
        json.dumps({**good[0], "user_label": [{"start": 1.0, "end": 999.0, "text": "late"}]}),
        json.dumps({**good[0], "user_label": [{"start": 2.0, "end": 2.0, "text": "empty"}]}),
        json.dumps(good[0]),
    ]
    path.write_text("\n".join([*map(json.dumps, good), *broken]) + "\n")
    manifest = take_in(tmp_path / "set", "relays2s", tmp_path / "out")
    assert manifest["counts"]["import"] == {"in": len(good) + 6, "out": len(good), "rejected": 6}
    reasons = [line["reason"] for line in lines(tmp_path / "out" / "rejected.jsonl")]
    for reason, part in zip(
        reasons,
        ["no JSON", "there is no file", "user_label", "does not lie in", "does not lie in", "used twice"],
        strict=True,
    ):
        assert part in reason
        assert "\n" not in reason
    assert len(rows(tmp_path / "out")) == len(good)


def test_a_public_line_as_it_is_published(tmp_path: Path) -> None:
    """Three decimals, a length that differs by a sample, names with a speaker and a video, no type on old lines."""
    (tmp_path / "set" / "syn_dialogs").mkdir(parents=True)
    tone = (3000 * np.sin(np.arange(31_999) / 5)).astype(np.int16)
    for voice in ("id08234_cajgM", "id05535_pqxDK"):
        soundfile.write(tmp_path / "set" / "syn_dialogs" / f"3531e_{voice}.wav", tone, 16_000)
    line = {
        "conv_id": "3531e",
        "conv_len": 2.0,
        "num_samples": 31_999,
        "sampling_rate": 16_000,
        "subset": "back_channels",
        "user_audio": "3531e_id08234_cajgM.wav",
        "user_label": [{"start": 0.0, "end": 0.596, "text": "Hey  there!", "type": "standard"}],
        "assistant_audio": "3531e_id05535_pqxDK.wav",
        "assistant_label": [{"start": 0.796, "end": 2.0, "text": "Absolutely!"}],
    }
    (tmp_path / "set" / "valid.jsonl").write_text(json.dumps(line) + "\n")
    take_in(tmp_path / "set", "relays2s", tmp_path / "out")
    (row,) = rows(tmp_path / "out", "validation")
    assert row["voices"]["user"]["id"] == "id08234_cajgM"
    assert row["segments"][1]["end"] == row["duration"] == 31_999 / 16_000
    assert row["segments"][0]["text"] == "Hey there!"
    assert set(row) == set(SCHEMA.names)
    again = record(row)
    assert again["user_label"][0]["end"] == 0.596


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("relays2s", {"licence": ""}, "licence: relays2s does not tell under which licence .* --set licence=CC-BY-4.0"),
        ("moshi", {"language": ""}, "language: moshi does not tell which language is spoken; add --set language=en"),
        ("relays2s", {}, "holds no .jsonl file"),
        ("stereo", {}, "holds no sound file with a .json beside it"),
    ],
)
def test_what_the_set_cannot_tell_is_asked_for(
    kind: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        take_in(tmp_path / "empty", kind, tmp_path / "out", **settings)


def test_nothing_usable_is_an_error_not_an_empty_dataset(tmp_path: Path) -> None:
    recording(tmp_path / "calls", "a", 16_000, seconds=1.0)
    with pytest.raises(BuildError, match="no conversation could be read: segment 'where is it' of the user"):
        take_in(tmp_path / "calls", "stereo", tmp_path / "out", licence="CC0-1.0", language="en")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_id_in_two_files_is_said(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        recording(tmp_path / "calls" / folder, "a", 16_000, id="same", language="en", licences=["CC0-1.0"])
    with pytest.raises(BuildError, match=r"id same is used in data/train-.* and in data/test-.*; rename one"):
        take_in(tmp_path / "calls", "stereo", tmp_path / "out")


def test_a_dataset_is_never_written_over(hummed: Path, tmp_path: Path) -> None:
    shutil.copytree(hummed, tmp_path / "mine")
    export(hummed, "stereo", tmp_path / "set")
    with pytest.raises(Taken, match="is not empty"):
        take_in(tmp_path / "set", "stereo", tmp_path / "mine")
    take_in(tmp_path / "set", "stereo", tmp_path / "out")
    with pytest.raises(Taken, match="holds another import of stereo"):
        take_in(tmp_path / "set", "stereo", tmp_path / "out", limit=1)


@pytest.mark.slow
def test_the_datasets_library_loads_it(hummed: Path, round_trip: RoundTrip, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    back = round_trip("hummed", "relays2s").folder
    loaded = datasets.load_dataset("parquet", data_dir=str(back / "data"), cache_dir=str(tmp_path / "cache"))
    for split in ("train", "validation", "test"):
        found = loaded[split].cast_column("user_audio", datasets.Audio(decode=False))
        assert found["id"] == [row["id"] for row in rows(hummed, split)]
        assert found.features["assistant_audio"].sampling_rate == 16_000
