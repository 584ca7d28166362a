"""The card is read by ``datasets`` as it is meant, and says what the data holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from datagen import card
from datagen._card_columns import MEANINGS
from datagen._card_timing import TIMING_NAMES, value_text
from datagen.codec import decode_flac
from datagen.core.distributions import Fixed, Lognormal, Quantiles, Uniform
from datagen.core.language import PAPER
from datagen.core.types import SPLITS
from datagen.report.data import collect
from datagen.schema import features
from tests import tiny_dataset

COUNTS = {"train": 3, "test": 1}


def manifest(**changes: Any) -> dict[str, Any]:
    figures = {"hours": 0.01, "bytes": 1000, "files": 1, "voices": 2}
    return {
        "recipe": {"name": "assistant", "seed": 1, "language": "en", "profile": "paper", "hash": "abc"},
        "version": "0.1.0",
        "engines": [{"role": "tts", "name": "hum", "revision": "1|2"}],
        "licences": ["CC0-1.0"],
        "splits": {split: {"conversations": count, **figures} for split, count in COUNTS.items()},
        "timing": PAPER.model_dump(mode="json"),
        "counts": {"check": {"in": 5, "out": 4, "rejected": 1}},
        "files": {},
        **changes,
    }


def metadata(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished dataset: Parquet, card, and a file beside them that is no data."""
    folder = tmp_path_factory.mktemp("carded")
    rows = {
        split: [tiny_dataset.row(n + 10 * k, turns=2, split=split) for n in range(count)]
        for k, (split, count) in enumerate(COUNTS.items())
    }
    tiny_dataset.write_rows(folder, rows)
    (folder / "rejected.jsonl").write_text('{"id": "x"}\n')
    text = card.write_card(manifest(), collect(str(folder)).model_dump(mode="json"))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return str(folder)


# What datasets makes of it


def test_the_features_are_written_as_datasets_writes_them() -> None:
    datasets = pytest.importorskip("datasets")
    theirs = datasets.Features.from_dict(features())
    assert card.yaml_features(features()) == theirs._to_yaml_list()
    assert datasets.Features._from_yaml_list(card.yaml_features(features())) == theirs


def test_load_dataset_accepts_card_and_data(dataset: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(dataset, cache_dir=str(tmp_path))
    assert {split: part.num_rows for split, part in loaded.items()} == COUNTS
    assert loaded["train"].features == datasets.Features.from_dict(features())
    part = loaded["test"]
    for column in ("user_audio", "assistant_audio"):
        part = part.cast_column(column, datasets.Audio(decode=False))
    assert part[0]["segments"] == tiny_dataset.row(10, turns=2, split="test")["segments"]
    pcm, rate = soundfile.read(_bytes(part[0]["user_audio"]), dtype="int16")
    assert rate == 16_000
    assert np.array_equal(pcm, decode_flac(tiny_dataset.row(10, turns=2, split="test")["user_audio"]["bytes"]))


def test_the_snippet_in_the_card_runs_and_gives_exact_samples(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("datasets")
    text = (Path(dataset) / "README.md").read_text(encoding="utf-8")
    snippet = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(snippet.replace("PATH_OR_REPOSITORY", dataset), names)
    row = tiny_dataset.row(0, turns=2)
    for speaker in ("user", "assistant"):
        assert np.array_equal(names[speaker], decode_flac(row[f"{speaker}_audio"]["bytes"]))
    assert row["segments"][0]["text"] in capsys.readouterr().out


def _bytes(audio: dict[str, Any]) -> Any:
    from io import BytesIO

    return BytesIO(audio["bytes"])


# What it says


def test_only_splits_that_exist_are_listed_in_their_order() -> None:
    figures = manifest()["splits"]["train"]
    backwards = {name: figures for name in reversed(SPLITS)}
    for splits, expected in (({"test": figures}, ["test"]), (backwards, list(SPLITS))):
        data = metadata(card.write_card(manifest(), {}, splits))
        assert [f["split"] for f in data["configs"][0]["data_files"]] == expected
        assert [s["name"] for s in data["dataset_info"]["splits"]] == expected


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (("Apache-2.0",), {"license": "apache-2.0"}),
        (("GPL-3.0-or-later",), {"license": "gpl-3.0"}),
        (("LicenseRef-My Own/1.0",), {"license": "other", "license_name": "licenseref-my-own-1.0"}),
        (("CC0-1.0", "MIT"), {"license": "other", "license_name": "several"}),
    ],
)
def test_the_licence_is_one_id_or_other(licences: tuple[str, ...], expected: dict[str, str]) -> None:
    assert card.licence_metadata(licences) == expected
    text = card.write_card(manifest(licences=list(licences)), {})
    assert all(f"- {licence}\n" in text for licence in licences)


@pytest.mark.parametrize(
    ("rows", "bracket"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**8, "n>100M"), (10**9, "n>100M")],
)
def test_size_brackets(rows: int, bracket: str) -> None:
    assert card.size_category(rows) == bracket


def test_every_column_and_every_number_of_the_profile_is_explained() -> None:
    assert list(MEANINGS) == list(features())
    assert set(TIMING_NAMES) == set(PAPER.sources)
    text = card.write_card(manifest(), {})
    assert all(f"| `{name}` |" in text for name in features())
    assert all(source in text for source in PAPER.sources.values())


def test_values_of_timing_priors_read_as_words() -> None:
    assert value_text("a", Fixed(dist="fixed", ms=200)) == "200 ms"
    assert value_text("a", Uniform(dist="uniform", low_ms=500, high_ms=2000)) == "uniform, 500 to 2000 ms"
    assert "median 220 ms, sigma 0.4, 80 to" in value_text(
        "a", Lognormal(dist="lognormal", median_ms=220, sigma=0.4, floor_ms=80)
    )
    assert "50 % 250 ms" in value_text("a", Quantiles(dist="quantiles", points=((0, 0), (0.5, 250), (1, 900))))
    assert value_text("barge_in_cut", (0.2, 0.6)) == "20 to 60 % of the turn"
    assert value_text("dyad_sd_ms", 120.0) == "120 ms"


def test_tables_survive_bars_in_their_cells() -> None:
    assert "| tts | hum | 1\\|2 |" in card.write_card(manifest(), {})


def test_the_card_says_what_was_measured_and_which_voices_are_shared(dataset: str, tmp_path: Path) -> None:
    text = (Path(dataset) / "README.md").read_text(encoding="utf-8")
    assert "### Measured" in text
    assert "A voice is in one split only" in text
    rows = {split: [tiny_dataset.row(0, turns=2, split="any")] for split in ("train", "test")}
    shared = collect(tiny_dataset.write_rows(tmp_path, rows)).model_dump(mode="json")
    assert "in more than one split: any-assistant, any-user-0" in card.write_card(manifest(), shared)
    silent = card.write_card(manifest(), {})
    assert "### Measured" not in silent
    assert "A voice is in one" not in silent


@pytest.mark.parametrize("key", ["recipe", "engines", "licences", "splits", "version"])
def test_a_missing_key_is_named_in_one_line(key: str) -> None:
    broken = manifest()
    del broken[key]
    with pytest.raises(ValueError, match=rf"^manifest\.json: {key}: .*$"):
        card.write_card(broken, {})
