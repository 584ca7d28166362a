"""A shard exists with its report or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Blob, Unreadable
from datagen.files import Folder
from datagen.store import Pack, ShardWriter, StageFolder

IDENTITY = "0123456789abcdef"


def record(name: str) -> Unreadable:
    """Any small record."""
    return Unreadable(id=name, where="here", reason="é")


def stage(folder: Path | str) -> StageFolder:
    return StageFolder(Folder(str(folder)), "ingest", IDENTITY)


def written(target: StageFolder, *, pack: bytes = b"sound", rejected: int = 1) -> StageFolder:
    """A shard with two records."""
    writer = ShardWriter(target, 0)
    if pack:
        writer.put(pack)
    writer.give(record("a"))
    writer.give(record("b"))
    for number in range(rejected):
        writer.reject(f"r{number}", f"turn {number}: 3.5 s too long")
    writer.commit(2 + rejected, 0.5, {"train": 2})
    return target


def test_a_shard_reads_back(tmp_path: Path) -> None:
    target = written(stage(tmp_path), rejected=2)
    report = target.report(0)
    assert report is not None
    assert (report.taken, report.given, report.rejected) == (4, 2, 2)
    assert report.reasons == {"turn N: N s too long": 2}
    assert report.extra == {"train": 2}
    assert list(target.records(0, Unreadable)) == [record("a"), record("b")]
    assert target.rejected(0)[1] == {"stage": "ingest", "id": "r1", "reason": "turn 1: 3.5 s too long"}
    with target.pack(0) as pack:
        assert pack.read(Blob(offset=1, nbytes=3)) == b"oun"
    assert target.report(1) is None
    assert target.rejected(1) == []


def test_a_shard_reads_back_from_a_bucket() -> None:
    target = written(stage("memory://store"))
    assert target.report(0) is not None
    assert len(list(target.records(0, Unreadable))) == 2
    with target.pack(0) as pack:
        assert pack.read(Blob(offset=0, nbytes=5)) == b"sound"


def test_no_part_of_a_shard_exists_before_its_commit(tmp_path: Path) -> None:
    target = stage(tmp_path)
    writer = ShardWriter(target, 0)
    writer.put(b"sound")
    writer.give(record("a"))
    assert target.report(0) is None
    writer.abandon()
    assert os.listdir(tmp_path / "ingest-0123456789ab") == []


@pytest.mark.parametrize("fails_at", ["bin", "jsonl", "rejected.jsonl", "done.json"])
def test_a_commit_that_fails_leaves_no_shard_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    target = stage(tmp_path)
    fs, _ = target.folder.path("x")
    move = type(fs).mv

    def refuse(self: Any, source: str, to: str, **options: Any) -> None:
        if to.endswith(f"00000.{fails_at}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        move(self, source, to, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(fs), "mv", refuse)
        writer = ShardWriter(target, 0)
        writer.put(b"sound")
        writer.reject("r", "reason")
        with pytest.raises(OSError, match="No space"):
            writer.commit(1, 0.1, {})
        writer.abandon()
    assert target.report(0) is None
    assert not [name for name in target.folder.names() if name.startswith(".")]
    assert written(target).report(0) is not None


def test_rejections_of_a_failed_attempt_do_not_stay(tmp_path: Path) -> None:
    target = stage(tmp_path)
    target.folder.write("00000.rejected.jsonl", '{"stage": "ingest", "id": "r", "reason": "then"}\n')
    written(target, rejected=0)
    assert target.rejected(0) == []


@pytest.mark.parametrize("name", ["00000.jsonl", "00000.bin", "00000.rejected.jsonl", "00000.done.json"])
@pytest.mark.parametrize("damage", ["shortened", "emptied", "removed"])
def test_a_damaged_shard_does_not_exist(tmp_path: Path, name: str, damage: str) -> None:
    target = written(stage(tmp_path))
    path = tmp_path / "ingest-0123456789ab" / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "shortened" else b"")
    assert target.report(0) is None
    assert written(target).report(0) is not None


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    one, two = (written(stage(tmp_path / name)).folder for name in ("one", "two"))
    assert one.names() == two.names()
    assert all(one.read(name) == two.read(name) for name in one.names())


def test_a_reason_that_is_no_unicode_is_still_recorded(tmp_path: Path) -> None:
    target = stage(tmp_path)
    writer = ShardWriter(target, 0)
    writer.reject("id\ud800", "cannot say '\udcff'\nat all")
    writer.commit(1, 0.1, {})
    (line,) = target.rejected(0)
    assert line["id"] == "id\\ud800"
    assert line["reason"] == "cannot say '\\udcff'\nat all"
    assert len((tmp_path / "ingest-0123456789ab" / "00000.rejected.jsonl").read_text().splitlines()) == 1


def test_dropped_packs_leave_the_stage_to_be_run_again(tmp_path: Path) -> None:
    target = written(stage(tmp_path))
    target.drop_packs()
    assert target.report(0) is None
    assert target.folder.names() == ["00000.jsonl", "00000.rejected.jsonl"]


def test_a_pack_that_ends_early_is_an_error(tmp_path: Path) -> None:
    target = written(stage(tmp_path))
    with target.pack(0) as pack, pytest.raises(OSError, match="ends at 5, 9 bytes were promised"):
        pack.read(Blob(offset=0, nbytes=9))


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.randoms())
def test_a_pack_gives_back_every_piece_in_any_order(pieces: list[bytes], random: object) -> None:
    target = stage("memory://pieces")
    writer = ShardWriter(target, 0)
    blobs = [writer.put(piece) for piece in pieces]
    writer.commit(0, 0.1, {})
    order = list(range(len(pieces)))
    random.shuffle(order)  # type: ignore[attr-defined]
    with target.pack(0) as pack:
        assert isinstance(pack, Pack)
        assert all(pack.read(blobs[n]) == pieces[n] for n in order)


@given(st.text(), st.text())
def test_any_text_is_rejected_in_one_line(identifier: str, reason: str) -> None:
    target = stage("memory://texts")
    writer = ShardWriter(target, 0)
    writer.reject(identifier, reason)
    writer.commit(1, 0.1, {})
    content = target.folder.read("00000.rejected.jsonl").decode()
    assert content.count("\n") == 1
    assert json.loads(content)["reason"] == reason.encode(errors="backslashreplace").decode()
    assert target.rejected(0)[0]["id"] == identifier.encode(errors="backslashreplace").decode()
