"""The only reader and writer of intermediate results: shards, their audio packs, and the manifests that complete them.

    OUT/.work/<stage>-<identity>/00007.jsonl          one record per line
                                 00007.bin            the audio those records point into
                                 00007.rejected.jsonl what was refused, with the reason
                                 00007.done.json      written last: without it the shard does not exist

Every file is written aside and renamed. Paths are fsspec URLs, so the folder may be local or in a bucket.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar

import fsspec
from fsspec.core import url_to_fs
from pydantic import BaseModel, Field

from datagen.core.types import Blob, Strict

Model = TypeVar("Model", bound=BaseModel)


class ShardReport(Strict):
    """The contents of ``done.json``: what one stage did to one shard."""

    stage: str
    identity: str
    shard: int
    taken: int
    """Records read."""
    given: int
    """Records written; ``taken = given + rejected``."""
    rejected: int
    reasons: dict[str, int] = Field(default_factory=dict)
    """Numbers inside a reason are replaced by N, so that like reasons count together."""
    seconds: float
    sha256: dict[str, str] = Field(default_factory=dict)
    """Of the record file and the pack: the same recipe gives the same values."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Figures a later stage needs without opening the shard."""


class Folder:
    """A folder on any file system fsspec knows. Small, picklable."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def path(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system and the path in it of something in the folder."""
        return url_to_fs(f"{self.url}/{name}")

    def sub(self, name: str) -> Folder:
        return Folder(f"{self.url}/{name}")

    def exists(self, name: str) -> bool:
        fs, path = self.path(name)
        return bool(fs.exists(path))

    def read(self, name: str) -> bytes:
        fs, path = self.path(name)
        return bytes(fs.cat_file(path))

    def write(self, name: str, content: bytes | str) -> None:
        """Whole or not at all."""
        with Aside(self, name) as out:
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


class Aside:
    """A file that is written beside its place and moved there when the block ends without an error."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._fs, self._path = folder.path(name)
        parent, _, base = self._path.rpartition("/")
        self._aside = f"{parent}/.{base}.{uuid.uuid4().hex}.tmp"
        self._fs.makedirs(parent, exist_ok=True)
        self._digest = hashlib.sha256()
        self._file: Any = self._fs.open(self._aside, "wb")
        self.size = 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self.size += len(content)

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
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
        if kind is None:
            self._file.flush()
            if self._fs.protocol == "file" or "file" in self._fs.protocol:
                os.fsync(self._file.fileno())
            self._file.close()
            self._fs.mv(self._aside, self._path)
        else:
            self._file.close()
            self._fs.rm(self._aside)


class StageFolder:
    """One stage's shards."""

    def __init__(self, work: Folder, stage: str, identity: str) -> None:
        self.stage, self.identity = stage, identity
        self.folder = work.sub(f"{stage}-{identity[:12]}")

    def report(self, shard: int) -> ShardReport | None:
        """What was done to the shard, or None while it is not complete."""
        name = f"{shard:05d}.done.json"
        if not self.folder.exists(name):
            return None
        return ShardReport.model_validate_json(self.folder.read(name))

    def records(self, shard: int, model: type[Model]) -> Iterator[Model]:
        fs, path = self.folder.path(f"{shard:05d}.jsonl")
        with fs.open(path, "rb") as lines:
            for line in lines:
                yield model.model_validate_json(line)

    def rejected(self, shard: int) -> list[dict[str, Any]]:
        name = f"{shard:05d}.rejected.jsonl"
        if not self.folder.exists(name):
            return []
        return [json.loads(line) for line in self.folder.read(name).splitlines()]

    def pack(self, shard: int) -> Pack:
        return Pack(*self.folder.path(f"{shard:05d}.bin"))

    def drop_packs(self) -> None:
        """Removes the audio and the completion marks, so that the stage can only be run again, never half read."""
        for ending in (".done.json", ".bin"):
            for name in self.folder.names():
                if name.endswith(ending):
                    self.folder.remove(name)


class Pack:
    """Random access to the bytes of one shard."""

    def __init__(self, fs: fsspec.AbstractFileSystem, path: str) -> None:
        self._file: Any = fs.open(path, "rb", cache_type="none") if "file" not in fs.protocol else open(path, "rb")  # noqa: SIM115

    def read(self, blob: Blob) -> bytes:
        self._file.seek(blob.offset)
        content = self._file.read(blob.nbytes)
        if len(content) != blob.nbytes:
            raise OSError(f"a pack ends at {blob.offset + len(content)}, {blob.nbytes} bytes were promised; rerun")
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class ShardWriter:
    """Writes one shard; ``commit`` makes it exist."""

    def __init__(self, target: StageFolder, shard: int) -> None:
        self._target, self._shard = target, shard
        self._lines: list[bytes] = []
        self._rejected: list[dict[str, str]] = []
        self._pack: Aside | None = None

    def put(self, content: bytes) -> Blob:
        """Appends bytes to the pack."""
        if self._pack is None:
            self._pack = Aside(self._target.folder, f"{self._shard:05d}.bin")
        offset = self._pack.size
        self._pack.write(content)
        return Blob(offset=offset, nbytes=len(content))

    def give(self, record: BaseModel) -> None:
        self._lines.append(record.model_dump_json(exclude_defaults=True).encode() + b"\n")

    def reject(self, identifier: str, reason: str) -> None:
        self._rejected.append({"stage": self._target.stage, "id": identifier, "reason": reason})

    def commit(self, seconds: float, extra: dict[str, Any]) -> ShardReport:
        """Pack, records and rejections first; the report, which completes the shard, last."""
        folder, stem = self._target.folder, f"{self._shard:05d}"
        sha256: dict[str, str] = {}
        if self._pack is not None:
            self._pack.__exit__(None, None, None)
            sha256["bin"] = self._pack.sha256
            self._pack = None
        content = b"".join(self._lines)
        sha256["jsonl"] = hashlib.sha256(content).hexdigest()
        folder.write(f"{stem}.jsonl", content)
        if self._rejected:
            lines = [json.dumps(r, ensure_ascii=False) for r in self._rejected]
            folder.write(f"{stem}.rejected.jsonl", "\n".join(lines) + "\n")
        report = ShardReport(
            stage=self._target.stage,
            identity=self._target.identity,
            shard=self._shard,
            taken=len(self._lines) + len(self._rejected),
            given=len(self._lines),
            rejected=len(self._rejected),
            reasons=_counted(r["reason"] for r in self._rejected),
            seconds=round(seconds, 3),
            sha256=sha256,
            extra=extra,
        )
        folder.write(f"{stem}.done.json", report.model_dump_json())
        return report

    def abandon(self) -> None:
        """Removes what was written aside."""
        if self._pack is not None:
            self._pack.__exit__(OSError, None, None)
            self._pack = None


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        like = re.sub(r"\d+([.,]\d+)?", "N", reason)
        counts[like] = counts.get(like, 0) + 1
    return dict(sorted(counts.items()))


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
