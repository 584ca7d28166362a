"""Whole exports: same bytes with any number of workers, after a stop or a kill; and what is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import fsspec
import pytest

from datagen import exporting, kinds, sink, staging
from datagen.build import BuildError, Interrupted, Taken
from datagen.files import Aside
from datagen.pipeline import cluster
from datagen.tasks import Inline, Stop, Task
from tests.exporters.making import (
    Exports,
    contents,
    dataset,
    export,
    export_job,
    exports,
    hummed,
    rows,
    run,
    write,
)
from tests.helpers import ROOT
from tests.tiny import Silent

__all__ = ["exports", "hummed"]
FORMATS = ["fdb", "lhotse", "moshi", "nemo", "relays2s", "rttm_ctm", "stereo"]


def test_these_are_the_formats() -> None:
    assert kinds.names("exporters") == FORMATS


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_dataset_gives_the_same_bytes(kind: str, hummed: Path, exports: Exports, tmp_path: Path) -> None:
    first = export(hummed, kind, tmp_path / "a")
    assert contents(tmp_path / "a") == contents(exports(kind))
    assert first["counts"]["in"] == first["counts"]["out"] + first["counts"]["rejected"]
    files = {n: c for n, c in contents(tmp_path / "a").items() if n != exporting.MANIFEST}
    assert (first["files"], first["bytes"]) == (len(files), sum(map(len, files.values())))
    assert not (tmp_path / "a" / sink.WORK).exists()
    assert all(content[4:8] == bytes(4) for name, content in files.items() if name.endswith(".gz")), "no time of day"


@pytest.mark.slow
def test_workers_change_nothing(hummed: Path, exports: Exports, tmp_path: Path) -> None:
    with cluster(2, 0, None, {}) as executor:
        for kind in FORMATS:
            run(export_job(hummed, kind, tmp_path / kind), executor)
    for kind in FORMATS:
        assert contents(tmp_path / kind) == contents(exports(kind))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_and_a_number_can_be_asked_for(split: Any, hummed: Path, tmp_path: Path) -> None:
    manifest = export(hummed, "stereo", tmp_path, split=split, limit=2)
    wanted = [row["id"] for row in rows(hummed, split)][:2]
    assert manifest["counts"] == {"in": 2, "out": 2, "rejected": 0}
    assert [json.loads(line)["id"] for line in (tmp_path / f"{split}.jsonl").read_text().splitlines()] == wanted


def test_a_number_ends_within_a_part(hummed: Path, tmp_path: Path) -> None:
    whole = rows(hummed, "train")
    assert len(whole) > 3
    manifest = export(hummed, "rttm_ctm", tmp_path, limit=3, part_rows=100)
    assert manifest["counts"]["in"] == 3
    assert {line.split(" ")[0] for line in (tmp_path / "train.uem").read_text().splitlines()} == {
        row["id"] for row in whole[:3]
    }


def test_a_bad_row_is_refused_with_its_reason_and_the_rest_is_written(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", 4)
    found = rows(folder, "train")
    found[0]["num_samples"] += 1
    shutil.rmtree(folder)
    write(folder, {"train": found})
    for kind in FORMATS:
        manifest = export(folder, kind, tmp_path / kind, split="train")
        bad = 0 if kind == "rttm_ctm" else 1
        assert manifest["counts"] == {"in": len(found), "out": len(found) - bad, "rejected": bad}
        if bad:
            (refused,) = [json.loads(line) for line in (tmp_path / kind / "rejected.jsonl").read_text().splitlines()]
            assert refused["id"] == found[0]["id"]
            assert "samples, the row says" in refused["reason"]
            assert not [p for p in (tmp_path / kind).rglob(f"*{found[0]['id']}*")]


def test_a_dataset_and_an_export_may_be_anywhere_fsspec_reaches(hummed: Path, exports: Exports) -> None:
    fs = fsspec.filesystem("memory")
    fs.put(str(hummed), "/exports/set", recursive=True)
    export("memory://exports/set", "moshi", "memory://exports/out")
    found = {path.removeprefix("/exports/out/"): fs.cat_file(path) for path in fs.find("/exports/out")}
    assert found == contents(exports("moshi"))


# -- interrupted -----------------------------------------------------------------------------------------------------


class Stopping(Inline):
    """Asks for a stop after some tasks."""

    def __init__(self, stop: Stop, after: int) -> None:
        super().__init__()
        self._stop, self._left = stop, after

    def next(self) -> tuple[Task, Any]:
        self._left -= 1
        self._stop.asked = self._left <= 0
        return super().next()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stopped_export_shows_nothing_and_goes_on(
    kind: str, hummed: Path, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, stop = tmp_path / "out", Stop()
    with pytest.raises(Interrupted):
        exporting.run(
            export_job(hummed, kind, out, split="train"), lambda: nullcontext(Stopping(stop, 1)), Silent(), stop
        )
    assert [path.name for path in out.iterdir()] == [sink.WORK]
    written: list[int] = []
    monkeypatch.setattr(exporting, "write_part", _spied(exporting.write_part, written))
    run(export_job(hummed, kind, out, split="train"))
    assert 0 not in written
    assert written
    assert contents(out) == contents(exports(kind, split="train"))


def _spied(call: Any, written: list[int]) -> Any:
    def spy(url: str, out_url: str, part: Any, config: Any) -> Any:
        written.append(part.index)
        return call(url, out_url, part, config)

    return spy


@pytest.mark.parametrize("place", [".work/made", ".work/parts", "moving.json", "export.json", "train.jsonl"])
def test_a_full_disk_leaves_nothing_that_looks_complete(
    place: str, hummed: Path, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write = Aside.write

    def full(self: Aside, content: bytes) -> None:
        if place in self._path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Aside, "write", full)
        with pytest.raises((BuildError, OSError), match="No space left"):
            export(hummed, "moshi", out)
    assert not (out / exporting.MANIFEST).exists()
    assert not list(out.rglob("*.tmp"))
    export(hummed, "moshi", out)
    assert contents(out) == contents(exports("moshi"))


def test_a_kill_while_moving_is_finished_by_the_next_run(
    hummed: Path, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, moved = tmp_path / "out", 0
    move = fsspec.filesystem("file").__class__.mv

    def dies(self: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal moved
        moved += ".work/made/" in str(arguments[0]) and ".tmp" not in str(arguments[0])
        if moved > 5:
            raise KeyboardInterrupt
        return move(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.filesystem("file").__class__, "mv", dies)
        with pytest.raises(KeyboardInterrupt):
            export(hummed, "moshi", out)
    assert not (out / exporting.MANIFEST).exists()
    assert not list(out.glob("*.jsonl")), "listings are moved last"
    export(hummed, "moshi", out)
    assert contents(out) == contents(exports("moshi"))


def test_a_part_whose_file_was_shortened_is_written_again(hummed: Path, exports: Exports, tmp_path: Path) -> None:
    job = export_job(hummed, "moshi", tmp_path / "out")
    job.staging.claim(False)
    part = exporting.parts(job.dataset, job.splits, None, 2)[0]
    exporting.write_part(job.dataset.url, job.staging.out.url, part, job.config)
    assert job.staging.done(0) is not None
    wav = next((tmp_path / "out").rglob("*.wav"))
    wav.write_bytes(wav.read_bytes()[:-1])
    assert job.staging.done(0) is None
    run(job)
    assert contents(tmp_path / "out") == contents(exports("moshi"))


# -- refused ---------------------------------------------------------------------------------------------------------


def test_a_finished_export_is_known(hummed: Path, tmp_path: Path) -> None:
    job = export_job(hummed, "moshi", tmp_path)
    assert job.staging.complete() is None
    made = run(job)
    assert export_job(hummed, "moshi", tmp_path).staging.complete() == made
    assert export_job(hummed, "moshi", tmp_path, user_words=True).staging.complete() is None


def test_a_folder_with_other_contents_is_left_alone(hummed: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Taken, match=r"is not empty \(it holds thesis.txt\); choose another --out"):
        export(hummed, "moshi", tmp_path)
    with pytest.raises(Taken, match="is not empty"):
        run(export_job(hummed, "moshi", tmp_path), replace=True)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}
    with pytest.raises(Taken, match="is not empty"):
        export(hummed, "moshi", hummed)


def test_another_export_is_replaced_only_when_asked(hummed: Path, exports: Exports, tmp_path: Path) -> None:
    export(hummed, "moshi", tmp_path)
    with pytest.raises(Taken, match="holds another export to moshi; choose another --out, or --replace it"):
        export(hummed, "relays2s", tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(Taken, match=r"mine\.txt"):
        run(export_job(hummed, "relays2s", tmp_path), replace=True)
    assert len(contents(tmp_path)) >= 20, "what was there is still there"
    (tmp_path / "mine.txt").unlink()
    run(export_job(hummed, "relays2s", tmp_path), replace=True)
    assert contents(tmp_path) == contents(exports("relays2s"))


def test_a_begun_export_of_something_else_is_not_mixed_with(hummed: Path, tmp_path: Path) -> None:
    export_job(hummed, "moshi", tmp_path).staging.claim(False)
    with pytest.raises(Taken, match="another export to moshi was begun there"):
        export(hummed, "relays2s", tmp_path)
    run(export_job(hummed, "relays2s", tmp_path), replace=True)
    assert (tmp_path / "train.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "has no manifest.json, so it is not complete"),
        (lambda f: (f / "manifest.json").write_text("{}"), "is not the manifest of a dataset"),
        (lambda f: _edit(f, schema_version=2), "has schema_version 2, this version reads 1"),
        (lambda f: next((f / "data").iterdir()).unlink(), "is missing or not of the size in manifest.json"),
        (lambda f: shutil.rmtree(f), "there is no folder"),
    ],
)
def test_what_is_no_dataset_is_refused_in_one_line(change: Any, message: str, tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", 4)
    change(folder)
    with pytest.raises(ValueError, match=message) as caught:
        export(folder, "moshi", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", 4)
    found = rows(folder, "train")
    shutil.rmtree(folder)
    write(folder, {"train": found})
    with pytest.raises(ValueError, match="has no 'test'; there are: train"):
        export(folder, "moshi", tmp_path / "out", split="test")
    with pytest.raises(ValueError, match="fdb is made of test, which the dataset has not; name a --split"):
        export(folder, "fdb", tmp_path / "out")


def test_channels_are_both_speakers_once() -> None:
    with pytest.raises(ValueError, match="name both speakers once"):
        kinds.parse("exporters", {"kind": "moshi", "channels": ["user", "user"]})


def test_the_stage_removes_what_a_killed_process_left(hummed: Path, tmp_path: Path) -> None:
    job = export_job(hummed, "moshi", tmp_path)
    job.staging.claim(False)
    litter = tmp_path / sink.WORK / "made" / "data_stereo" / f".a.wav.{'0' * 32}.tmp"
    litter.parent.mkdir(parents=True)
    litter.write_bytes(b"half")
    run(job)
    assert not list(tmp_path.rglob("*.tmp"))
    assert staging.WORK == sink.WORK


@pytest.mark.slow
def test_a_killed_export_goes_on(tmp_path: Path) -> None:
    """SIGKILL after the first part, with a real command; then the same command again."""
    folder = dataset(tmp_path / "set", 60)
    export(folder, "moshi", tmp_path / "whole", part_rows=4)
    out = tmp_path / "out"
    options = ["--format", "moshi", "--out", str(out), "--set", "part_rows=4", "--workers", "1"]
    command = [sys.executable, "-m", "datagen", "export", str(folder), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (out / sink.WORK / "parts" / "00000.json").exists():
        assert process.poll() is None
    process.kill()
    assert process.wait() != 0
    assert not (out / exporting.MANIFEST).exists()
    assert not list(out.glob("*.jsonl"))
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert contents(out) == contents(tmp_path / "whole")
