"""The only reader and writer of intermediate results: shards, their audio packs, and the manifests that complete them.

    OUT/.work/<stage>-<identity>/00007.jsonl          one record per line
                                 00007.bin            the audio those records point into
                                 00007.rejected.jsonl what was refused, with the reason
                                 00007.done.json      written last: without it the shard does not exist

Every file is written aside and renamed (see ``files``); the folder may be local or in a bucket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeVar

import fsspec
from pydantic import BaseModel, Field, ValidationError

from datagen.core.types import Blob, Strict
from datagen.files import Aside, Folder

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
    sizes: dict[str, int] = Field(default_factory=dict)
    """Bytes of the record file and the pack."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Figures a later stage needs without opening the shard."""


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
        try:
            report = ShardReport.model_validate_json(self.folder.read(name))
        except ValidationError:  # a power cut has shortened it
            return None
        whole = all(self.folder.size(f"{shard:05d}.{kind}") == size for kind, size in report.sizes.items())
        return report if whole else None

    def records(self, shard: int, model: type[Model], holding: str = "") -> Iterator[Model]:
        """The shard's records, or those whose JSON holds a text (a field with its value), which spares parsing."""
        fs, path = self.folder.path(f"{shard:05d}.jsonl")
        wanted = holding.encode()
        file: Any = fs.open(path, "rb")
        with file as lines:
            for line in lines:
                if wanted in line:
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
            self._pack = Aside(self._target.folder, f"{self._shard:05d}.bin", durable=False)
        offset = self._pack.size
        self._pack.write(content)
        return Blob(offset=offset, nbytes=len(content))

    def give(self, record: BaseModel) -> None:
        self._lines.append(record.model_dump_json(exclude_defaults=True).encode() + b"\n")

    def reject(self, identifier: str, reason: str) -> None:
        """Notes a refused record; what UTF-8 cannot hold is escaped."""
        line = {"stage": self._target.stage, "id": identifier, "reason": reason}
        self._rejected.append({key: text.encode(errors="backslashreplace").decode() for key, text in line.items()})

    def commit(self, taken: int, seconds: float, extra: dict[str, Any]) -> ShardReport:
        """Pack, records and rejections first; the report, which completes the shard, last."""
        folder, stem = self._target.folder, f"{self._shard:05d}"
        content = b"".join(self._lines)
        sizes = {"jsonl": len(content)}
        if self._pack is not None:
            self._pack.__exit__(None, None, None)
            sizes["bin"] = self._pack.size
            self._pack = None
        folder.write(f"{stem}.jsonl", content, durable=False)
        if self._rejected:
            lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in self._rejected).encode()
            folder.write(f"{stem}.rejected.jsonl", lines, durable=False)
            sizes["rejected.jsonl"] = len(lines)
        else:
            folder.remove(f"{stem}.rejected.jsonl")  # of an attempt that did not get as far as its report
        report = ShardReport(
            stage=self._target.stage,
            identity=self._target.identity,
            shard=self._shard,
            taken=taken,
            given=len(self._lines),
            rejected=len(self._rejected),
            reasons=_counted(r["reason"] for r in self._rejected),
            seconds=round(seconds, 3),
            sizes=sizes,
            extra=extra,
        )
        folder.write(f"{stem}.done.json", report.model_dump_json(), durable=False)
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
