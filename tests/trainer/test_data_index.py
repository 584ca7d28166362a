"""Opening a dataset: what is found, what is refused and how, and that nothing is written into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from datagen.schema import SCHEMA, table
from tests.tiny import Tiny, built
from tests.trainer.published import Rows, changed, every_row, rows_of, write, write_table
from trainer.data.audio import Reader
from trainer.data.folder import find
from trainer.data.index import open_index

__all__ = ["built"]
NAME = "data/train-00000-of-00001.parquet"


def spoken(row: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """A row's segments with other fields for the assistant's."""
    return [{**s, **fields} if s["speaker"] == "assistant" else s for s in row["segments"]]


def content(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a folder, its size and when it was last written."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_index_is_the_split(built: Tiny, split: Any) -> None:
    index = open_index(str(built.out), split)
    rows = rows_of(built.out, split)
    assert index.ids == [row["id"] for row in rows]
    assert index.num_samples.tolist() == [row["num_samples"] for row in rows]
    for speaker in ("user", "assistant"):
        assert index.voices(speaker) == [row["voices"][speaker]["id"] for row in rows]
    assert index.hours == pytest.approx(sum(row["duration"] for row in rows) / 3600)
    assert [index[n].id for n in range(len(index))] == index.ids


def test_an_entry_says_where_the_row_is(built: Tiny, tmp_path: Path) -> None:
    rows = every_row(built)
    write(tmp_path, rows[:5], "data/train-00000-of-00002.parquet", group=2)
    write(tmp_path, rows[5:], "data/train-00001-of-00002.parquet", group=3)
    index = open_index(str(tmp_path), "train")
    assert index.ids == [row["id"] for row in rows]
    assert index[4][:3] == ("data/train-00000-of-00002.parquet", 2, 0)
    assert index[9][:3] == ("data/train-00001-of-00002.parquet", 1, 1)


def test_nothing_is_written_into_the_dataset(built: Tiny, tmp_path: Path) -> None:
    before = content(built.out)
    index = open_index(str(built.out), "train", cache=str(tmp_path))
    reader = Reader(index.folder)
    for number in range(len(index)):
        reader.row(index[number])
        reader.samples(index[number])
    assert content(built.out) == before


def test_a_kept_index_is_used_until_the_files_change(built: Tiny, tmp_path: Path) -> None:
    rows = every_row(built)
    folder, cache = write(tmp_path / "set", rows), str(tmp_path / "cache")
    first = open_index(str(folder), "train", cache)
    path = folder / NAME
    whole = path.read_bytes()
    path.write_bytes(b"\0" * len(whole))
    assert open_index(str(folder), "train", cache).table.equals(first.table)
    write(folder, rows[:-1])
    assert open_index(str(folder), "train", cache).ids == first.ids[:-1]


def test_an_index_is_small(built: Tiny, tmp_path: Path) -> None:
    """Ids of 9 characters here; 50 bytes a row were measured with ids of 18 and 100,000 rows."""
    rows = [{**row, "id": f"{row['id']}-{n}"} for n in range(20) for row in every_row(built)]
    index = open_index(str(write(tmp_path, rows, group=64)), "train")
    assert len(index) == 240
    assert index.nbytes / len(index) < 60


def test_some_of_the_conversations(built: Tiny) -> None:
    index = open_index(str(built.out), "train")
    some = index.select([2, 0])
    assert some.ids == [index.ids[2], index.ids[0]]
    assert (some[0], some[1]) == (index[2], index[0])


def test_a_plain_folder_of_parquet_files(built: Tiny, tmp_path: Path) -> None:
    for path in built.out.glob("data/*.parquet"):
        shutil.copy(path, tmp_path)
    for split in ("train", "test"):
        assert open_index(str(tmp_path), split).ids == [row["id"] for row in rows_of(built.out, split)]
    assert set(open_index(str(tmp_path), None).ids) == {row["id"] for row in every_row(built)}
    odd = tmp_path / "odd"
    write(odd, every_row(built)[:3], "mine.parquet")
    assert len(open_index(str(odd), None)) == 3
    with pytest.raises(ValueError, match=r"no Parquet files of the split train \(found: without a split's name\)"):
        open_index(str(odd), "train")


def test_a_bucket_is_read_like_a_folder(built: Tiny) -> None:
    memory = fsspec.filesystem("memory")
    for path in (*built.out.glob("data/*.parquet"), built.out / "manifest.json"):
        memory.pipe_file(f"/bucket/{path.relative_to(built.out)}", path.read_bytes())
    index, local = (open_index(url, "train") for url in ("memory://bucket", str(built.out)))
    assert index.table.equals(local.table)
    assert index.folder.fingerprint == local.folder.fingerprint
    assert (Reader(index.folder).samples(index[1]) == Reader(local.folder).samples(local[1])).all()


def test_the_fingerprint_is_of_the_contents_not_of_the_place(built: Tiny, tmp_path: Path) -> None:
    here = find(str(built.out), "train").fingerprint
    moved = tmp_path / "moved"
    shutil.copytree(built.out, moved, ignore=shutil.ignore_patterns(".work"))
    assert find(f"{moved}/", "train").fingerprint == here
    assert find(str(moved), "test").fingerprint != here
    manifest = json.loads((moved / "manifest.json").read_text())
    for file in manifest["files"].values():
        file["sha256"] = "0" * 64
    (moved / "manifest.json").write_text(json.dumps(manifest))
    assert find(str(moved), "train").fingerprint != here


def other_version(folder: Path, rows: Rows) -> None:
    metadata = {**(SCHEMA.metadata or {}), b"schema_version": b"2"}
    write_table(folder, table(rows).replace_schema_metadata(metadata), NAME)


def no_version(folder: Path, rows: Rows) -> None:
    write_table(folder, table(rows).replace_schema_metadata(None), NAME)


def manifest_of_another_version(folder: Path, rows: Rows) -> None:
    write(folder, rows)
    (folder / "manifest.json").write_text('{"schema_version": 7}')


def no_column(folder: Path, rows: Rows) -> None:
    whole = table(rows).drop_columns(["segments"])
    write_table(folder, whole.replace_schema_metadata(SCHEMA.metadata), NAME)


def no_text(folder: Path, rows: Rows) -> None:
    write(folder, [{**row, "segments": spoken(row, text="", text_full=" ", words=[])} for row in rows])


def no_assistant(folder: Path, rows: Rows) -> None:
    write(folder, [{**row, "segments": [s for s in row["segments"] if s["speaker"] == "user"]} for row in rows])


def text_missing_in_one(folder: Path, rows: Rows) -> None:
    write(folder, changed(rows, 3, lambda row: {"segments": spoken(row, text_full="")}))


def twice(folder: Path, rows: Rows) -> None:
    write(folder, [*rows, rows[1]])


def telephone(folder: Path, rows: Rows) -> None:
    write(folder, changed(rows, 1, lambda row: {"sample_rate": 8000}))


def one_of_three(folder: Path, rows: Rows) -> None:
    write(folder, rows, "data/train-00001-of-00003.parquet")


def torn(folder: Path, rows: Rows) -> None:
    path = write(folder, rows) / NAME
    path.write_bytes(path.read_bytes()[:-100])


def shorter_than_said(folder: Path, rows: Rows) -> None:
    write(folder, rows)
    files = {NAME: {"split": "train", "bytes": 5, "sha256": ""}}
    (folder / "manifest.json").write_text(json.dumps({"schema_version": 1, "files": files}))


def no_rows(folder: Path, rows: Rows) -> None:
    write_table(folder, pa.Table.from_batches([], SCHEMA), NAME)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_version, "has schema_version 2; this trainer reads schema_version 1: build the dataset again"),
        (no_version, "has no schema_version; this trainer reads schema_version 1"),
        (manifest_of_another_version, "manifest.json has schema_version 7; this trainer reads"),
        (no_column, "has no column segments; build the dataset again"),
        (no_text, "has no assistant text; .* build the dataset"),
        (no_assistant, "has no assistant text; .* fill in segments.text_full"),
        (text_missing_in_one, r"1 of 12 conversations have an assistant segment without text \(first: walk-\d+\)"),
        (twice, r"the id walk-\d+ occurs 2 times"),
        (telephone, "has audio of 8000 Hz; resample it to 16000 Hz"),
        (one_of_three, "holds 1 files of the split train, their names say of 3; fetch the others"),
        (torn, "cannot be read as Parquet: .*; fetch or build it again"),
        (shorter_than_said, "is missing or not of the size in manifest.json; fetch it again"),
        (no_rows, "holds no conversation in the split train"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    built: Tiny, tmp_path: Path, spoil: Callable[[Path, Rows], None], message: str
) -> None:
    spoil(tmp_path, every_row(built))
    with pytest.raises(ValueError, match=message):
        open_index(str(tmp_path), "train")


def test_a_turn_cut_before_its_first_word_has_text(built: Tiny, tmp_path: Path) -> None:
    rows = [{**row, "segments": spoken(row, text="", words=[], yielded=True)} for row in every_row(built)]
    assert len(open_index(str(write(tmp_path, rows)), "train")) == 12


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    for url in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ValueError, match=r"no Parquet files of the split test \(found: none\); give the folder"):
            open_index(str(url), "test")


def test_a_file_system_that_is_not_installed() -> None:
    with pytest.raises(ValueError, match=r"nowhere://x: .*; run: pip install 'the fsspec package of nowhere'"):
        open_index("nowhere://x", "train")
