"""Files and folders behind fsspec URLs, local or in a bucket: written whole or not at all, named by their contents."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import fsspec
from fsspec.core import url_to_fs

ASIDE = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
"""Names of files that are being written."""


class Folder:
    """A folder on any file system fsspec knows. Small, picklable."""

    def __init__(self, url: str) -> None:
        """A local path is made absolute: workers may run in another folder."""
        self.url = url.rstrip("/") if "://" in url else os.path.abspath(url)

    def path(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system and the path in it of something in the folder."""
        return url_to_fs(f"{self.url}/{name}")

    def sub(self, name: str) -> Folder:
        return Folder(f"{self.url}/{name}")

    def exists(self, name: str) -> bool:
        fs, path = self.path(name)
        return bool(fs.exists(path))

    def size(self, name: str) -> int | None:
        """Bytes of a file, None when it is absent."""
        fs, path = self.path(name)
        return int(fs.size(path) or 0) if fs.exists(path) else None

    def read(self, name: str) -> bytes:
        fs, path = self.path(name)
        content: Any = fs.cat_file(path)
        return bytes(content)

    def write(self, name: str, content: bytes | str, durable: bool = True) -> None:
        """Whole or not at all; see ``Aside`` for ``durable``."""
        with Aside(self, name, durable) as out:
            out.write(content.encode() if isinstance(content, str) else content)

    def names(self) -> list[str]:
        fs, path = url_to_fs(self.url)
        if not fs.exists(path):
            return []
        return sorted(str(p).rstrip("/").rsplit("/", 1)[-1] for p in fs.ls(path, detail=False))

    def remove(self, name: str = "") -> None:
        """Removes a file or folder with all it holds; absent is fine."""
        fs, path = self.path(name) if name else url_to_fs(self.url)
        if fs.exists(path):
            fs.rm(path, recursive=True)

    def sweep(self) -> None:
        """Removes what a killed process had begun to write aside."""
        for name in self.names():
            if ASIDE.fullmatch(name):
                self.remove(name)


class Aside:
    """A file that is written beside its place and moved there when the block ends without an error.

    A ``durable`` file is forced to the disk first. Intermediate results are not: that costs a quarter of the time
    (54 s against 41 s for the main job), and a file that a power cut has shortened is found by its size.
    """

    def __init__(self, folder: Folder, name: str, durable: bool = True) -> None:
        self._durable = durable
        self._fs, self._path = folder.path(name)
        parent, _, base = self._path.rpartition("/")
        self._aside = f"{parent}/.{base}.{uuid.uuid4().hex}.tmp"
        self._fs.makedirs(parent, exist_ok=True)
        self._digest = hashlib.sha256()
        self._file: Any = self._fs.open(self._aside, "wb")
        self.size = 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        if self._durable:
            self._digest.update(content)
        self.size += len(content)

    @property
    def sha256(self) -> str:
        """Of everything written so far to a durable file."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing is promised before the block ends."""

    def close(self) -> None:
        """The block ends the file, not its user."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._file.flush()
            if self._durable and "file" in self._fs.protocol:
                os.fsync(self._file.fileno())
            self._file.close()
            self._fs.mv(self._aside, self._path)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        """Leaves nothing behind. A full disk may refuse what is still in the buffer, but not the removal."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._fs.rm(self._aside)


def reach(path: str, remedy: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and the root, without a slash at its end, of a folder or an fsspec URL.

    ValueError with the remedy when there is no such folder or its storage is not supported here.
    """
    try:
        fs, root = url_to_fs(path)
        exists = fs.isdir(root)
    except (ImportError, OSError, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"path: {path!r} cannot be reached: {said}") from error
    if not exists:
        raise ValueError(f"path: there is no folder {path!r}; {remedy}")
    return fs, str(root).rstrip("/")


@lru_cache(maxsize=64)
def fingerprint(path: str) -> str:
    """A hash of a file's, a folder's or a glob's contents: what a stage's identity holds in place of a path.

    Files over 64 MiB count with their size and their first and last MiB.
    """
    fs, root = url_to_fs(path)
    if any(c in root for c in "*?["):
        paths, root = fs.glob(root), root[: min(root.find(c) for c in "*?[" if c in root)].rpartition("/")[0]
    else:
        paths = fs.find(root) if fs.isdir(root) else [root]
    digest = hashlib.sha256()
    for name in sorted(str(p) for p in paths):
        size = int(fs.size(name) or 0)
        inside = name.removeprefix(root.rstrip("/")) or name.rsplit("/", 1)[-1]
        digest.update(f"{inside}\x1f{size}\x1e".encode())
        with fs.open(name, "rb") as file:
            if size <= 1 << 26:
                digest.update(file.read())
            else:
                digest.update(file.read(1 << 20))
                file.seek(size - (1 << 20))
                digest.update(file.read())
    return digest.hexdigest()
