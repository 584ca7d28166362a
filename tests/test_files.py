"""Files are written whole or not at all, on any file system; a fingerprint is that of the contents."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.files import ASIDE, Aside, Folder, fingerprint


class FullDisk:
    """A file on a disk that is full from the moment a method is called."""

    def __init__(self, file: Any, fails: str) -> None:
        self._file, self._fails = file, fails

    def __getattr__(self, name: str) -> Any:
        if name == self._fails:
            return self._refuse
        return getattr(self._file, name)

    def _refuse(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """An empty folder on a disk, and one that is only a URL."""
    return Folder(str(tmp_path / "f") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_what_is_written_is_read(folder: Folder) -> None:
    folder.write("a/b.txt", "é")
    folder.sub("a").write("c", b"\x00")
    assert folder.read("a/b.txt") == "é".encode()
    assert folder.sub("a").names() == ["b.txt", "c"]
    assert folder.size("a/c") == 1
    assert folder.size("a/d") is None
    assert folder.exists("a/c")


def test_a_file_is_replaced(folder: Folder) -> None:
    folder.write("a", b"old and long")
    folder.write("a", b"new")
    assert folder.read("a") == b"new"
    assert folder.names() == ["a"]


def test_removing_what_is_absent_is_fine(folder: Folder) -> None:
    folder.remove("nothing")
    folder.write("a/b", b"")
    folder.remove("a")
    assert folder.names() == []


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(folder: Folder) -> None:
    def broken() -> None:
        with Aside(folder, "a") as out:
            out.write(b"half")
            raise RuntimeError

    folder.write("a", b"old")
    with pytest.raises(RuntimeError):
        broken()
    assert folder.read("a") == b"old"
    assert folder.names() == ["a"]


@pytest.mark.parametrize("fails", ["write", "flush", "close"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a", b"old")
    fs, _ = folder.path("a")
    opened = fs.open
    monkeypatch.setattr(type(fs), "open", lambda self, *args, **kwargs: FullDisk(opened(*args, **kwargs), fails))
    with pytest.raises(OSError, match="No space left") as caught:
        folder.write("a", b"new")
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_move_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    fs, _ = folder.path("a")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(type(fs), "mv", refuse)
    with pytest.raises(PermissionError):
        folder.write("a", b"new")
    assert os.listdir(tmp_path) == []


def test_sweeping_removes_what_was_being_written_and_nothing_else(folder: Folder) -> None:
    kept = ["a", ".hidden", ".a.tmp", "b.0123.tmp"]
    for name in kept:
        folder.write(name, b"")
    left = f".00007.bin.{uuid.uuid4().hex}.tmp"
    folder.write(left, b"half")
    folder.sweep()
    assert folder.names() == sorted(kept)
    folder.sub("absent").sweep()


def test_sweeping_knows_the_names_that_writing_uses(tmp_path: Path) -> None:
    with Aside(Folder(str(tmp_path)), "00007.bin"):
        (name,) = os.listdir(tmp_path)
        assert ASIDE.fullmatch(name)


def test_a_local_folder_does_not_depend_on_where_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder("out/")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder.write("a", b"")
    assert (tmp_path / "out" / "a").is_file()


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_digest_and_size_are_those_of_all_bytes(parts: list[bytes]) -> None:
    folder = Folder("memory://digest")
    with Aside(folder, "x") as out:
        for part in parts:
            out.write(part)
    folder.write("y", b"".join(parts))
    with Aside(folder, "z") as whole:
        whole.write(b"".join(parts))
    assert (out.sha256, out.size) == (whole.sha256, whole.size)
    assert folder.read("x") == folder.read("y")


def _tree(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.json").write_text("1")
    (folder / "sub" / "b.json").write_text("2")
    return folder


def test_a_fingerprint_is_that_of_the_contents_not_of_the_place(tmp_path: Path) -> None:
    here, there = _tree(tmp_path / "here"), _tree(tmp_path / "there" / "deep")
    assert fingerprint(str(here)) == fingerprint(str(there))
    assert fingerprint(f"{here}/*.json") == fingerprint(f"{there}/*.json")
    assert fingerprint(f"{here}/a.json") == fingerprint(f"{there}/a.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "a.json").write_text("3"),
        lambda f: (f / "sub" / "b.json").write_text("3"),
        lambda f: (f / "c.json").write_text(""),
        lambda f: (f / "a.json").rename(f / "z.json"),
        lambda f: (f / "sub" / "b.json").unlink(),
    ],
)
def test_a_change_of_the_contents_changes_the_fingerprint(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = _tree(tmp_path / "f")
    before = fingerprint(str(folder))
    change(folder)
    fingerprint.cache_clear()
    assert fingerprint(str(folder)) != before
