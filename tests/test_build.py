"""The whole job: what a finished folder holds, whose folder it is, and why the bytes are always the same."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datagen.build import Taken
from datagen.recipe import load
from tests.building import RECORDS, SMALL, Spy, clean, litter, no_pictures, small
from tests.tiny import Tiny, build_here, built, contents, dialogue, make_build, published, rows, write_recipe

__all__ = ["built", "clean", "no_pictures", "small"]


# -- the finished folder ---------------------------------------------------------------------------------------------


def test_a_finished_folder_holds_everything_and_no_litter(built: Tiny) -> None:
    assert {"manifest.json", "README.md", "report.html", "statistics.json", "recipe.yaml", "rejected.jsonl"} <= set(
        os.listdir(built.out)
    )
    assert litter(built.out) == []
    assert sorted(f"data/{name}" for name in os.listdir(built.out / "data")) == sorted(built.manifest["files"])
    assert json.loads((built.out / "manifest.json").read_text()) == built.manifest
    assert load(str(built.out / "recipe.yaml")) == load(str(built.recipe))
    assert not list((built.out / ".work").glob("render-*/*.bin"))


def test_every_record_is_accounted_for(built: Tiny) -> None:
    counts = built.manifest["counts"]
    assert list(counts) == ["noise", *RECORDS, "package"]
    assert all(c["in"] == c["out"] + c["rejected"] for c in counts.values())
    assert counts["package"]["out"] == sum(s["conversations"] for s in built.manifest["splits"].values()) == 12


def test_two_builds_differ_in_their_clocks_only(built: Tiny, tmp_path: Path) -> None:
    again = build_here(built.recipe, tmp_path / "again")
    clocks = {"seconds_per_stage", "wall_seconds"}
    assert {k: v for k, v in again.items() if k not in clocks} == {
        k: v for k, v in built.manifest.items() if k not in clocks
    }
    assert published(tmp_path / "again") == published(built.out)


def test_a_complete_folder_needs_nothing(small: Path, clean: dict[str, bytes]) -> None:
    out = small.parent / "clean"
    assert make_build(small, out).complete()
    assert not make_build(small, out, "seed=2").complete()
    assert not make_build(small, small.parent / "elsewhere").complete()


@pytest.mark.parametrize("damage", ["removed", "shortened"])
def test_a_folder_with_a_damaged_file_is_not_complete(
    small: Path, clean: dict[str, bytes], tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small.parent / "clean", out)
    (path,) = (out / "data").iterdir()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert not make_build(small, out).complete()
    spy = Spy(monkeypatch)
    build_here(small, out)
    assert contents(out) == clean
    assert spy.worked == {"render": 6}


# -- whose folder ----------------------------------------------------------------------------------------------------


def test_a_folder_of_another_plan_is_refused_and_left_alone(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_here(small, out)
    before = contents(out)
    with pytest.raises(Taken, match=r"another plan \(recipe 'tiny', different from stage plan on\); choose another"):
        build_here(small, out, "margins.min_s=2")
    assert contents(out) == before


def test_an_update_reuses_what_fits_and_removes_what_does_not(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    build_here(small, out)
    spy = Spy(monkeypatch)
    build_here(small, out, "margins.min_s=2", update=True)
    assert spy.worked == {"plan": 6, "render": 6, "check": 6}
    build_here(small, tmp_path / "fresh", "margins.min_s=2")
    assert contents(out) == contents(tmp_path / "fresh")
    folders = {path.name for path in (out / ".work").iterdir() if path.is_dir()}
    assert folders == {path.name for path in (tmp_path / "fresh" / ".work").iterdir() if path.is_dir()}


def test_an_update_that_is_interrupted_leaves_nothing_of_the_old_dataset(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_here(small, out)
    make_build(small, out, "seed=2").claim(update=True)
    assert sorted(os.listdir(out)) == [".work", "recipe.yaml"]
    build_here(small, out, "seed=2")
    build_here(small, tmp_path / "fresh", "seed=2")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_dataset_from_elsewhere_is_not_overwritten(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_here(small, out)
    shutil.rmtree(out / ".work")
    assert make_build(small, out).complete()
    with pytest.raises(Taken, match="holds a dataset without its work folder; choose another folder"):
        build_here(small, out, "seed=2", update=True)


@pytest.mark.parametrize("name", ["README.md", "data", "report.html", "recipe.yaml"])
def test_what_somebody_else_wrote_is_not_overwritten(small: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "data" else (tmp_path / name).write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Taken, match=f"holds another {name}; choose another folder with --out"):
        build_here(small, tmp_path, update=True)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "notes.txt"])


def test_other_files_beside_a_dataset_do_not_matter(small: Path, clean: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    build_here(small, tmp_path)
    build_here(small, tmp_path, "seed=2", update=True)
    build_here(small, tmp_path, update=True)
    assert contents(tmp_path) == clean
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "my web app"}', "{"])
def test_another_programs_manifest_is_not_touched(small: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(Taken, match=r"manifest\.json is not the manifest of a dataset; choose another folder"):
        make_build(small, tmp_path).complete()


# -- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_shard", [1, 3, 6, 100])
def test_rows_do_not_depend_on_the_shards(small: Path, clean: dict[str, bytes], tmp_path: Path, per_shard: int) -> None:
    build_here(small, tmp_path / "out", f"conversations_per_shard={per_shard}")
    assert rows(tmp_path / "out") == rows(small.parent / "clean")


def test_adding_conversations_changes_no_other(tmp_path: Path) -> None:
    few = write_recipe(tmp_path / "few", SMALL, [dialogue(n) for n in range(3)])
    more = write_recipe(tmp_path / "more", SMALL, [dialogue(n) for n in range(6)])
    build_here(few, tmp_path / "a")
    build_here(more, tmp_path / "b")
    assert rows(tmp_path / "a") == rows(tmp_path / "b")[:3]


def test_small_files_hold_the_same_rows(built: Tiny, tmp_path: Path) -> None:
    manifest = build_here(built.recipe, tmp_path / "out", "package.file_mb=1", "package.row_group_mb=1")
    assert len(manifest["files"]) > len(built.manifest["files"])
    assert rows(tmp_path / "out") == rows(built.out)
    for name in manifest["files"]:
        groups = pq.ParquetFile(tmp_path / "out" / name).metadata
        assert groups.num_row_groups > 1 or groups.num_rows <= 4


def test_a_dataset_can_be_built_in_a_bucket(small: Path, clean: dict[str, bytes]) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    manifest = build_here(small, url)
    job = make_build(small, url)
    assert job.complete()
    assert all(job.out.read(name) == clean[name] for name in manifest["files"])
    assert "statistics.json" in job.out.names()


def test_texts_with_the_same_words_stay_in_one_split(tmp_path: Path) -> None:
    lines = [{**dialogue(n % 4), "id": f"copy-{n}"} for n in range(12)]
    changes = {"conversations": 12, "splits": {"train": 1, "test": 1}, "phenomena": []}
    path = write_recipe(tmp_path, {**SMALL, **changes}, lines)
    build_here(path, tmp_path / "out")
    seen: dict[str, set[str]] = {}
    for name in ("train", "test"):
        for row in rows(tmp_path / "out", name):
            seen.setdefault(row["segments"][0]["text_full"], set()).add(name)
    assert len(seen) == 4
    assert all(len(splits) == 1 for splits in seen.values())
