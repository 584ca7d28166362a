"""A dataset folder as ``datagen build`` leaves it, or a plain folder of its Parquet files, on any file system.

Nothing is ever written into it. A URL is whatever fsspec knows: a path, ``s3://...``, ``hf://datasets/owner/name``;
training from a bucket is best done with a copy at hand, which ``simplecache::s3://...`` makes by itself: a row is read
with its whole row group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import fsspec
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from datagen.core.types import SPLITS, Split
from trainer.data.rows import COLUMNS, SCHEMA_VERSION

_NAME = re.compile(r"(?:.*/)?(?P<split>train|validation|test)-\d+-of-(?P<count>\d+)\.parquet")
_NEEDED = (*COLUMNS, "sample_rate", "user_audio")
_AGAIN = "build the dataset again with this version (`datagen build RECIPE --out DIR`)"
_PACKAGES = {"hf": "duplexkit[hub]", "s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs"}


@dataclass(frozen=True)
class Folder:
    """The Parquet files of one split of a dataset, or of all its splits."""

    url: str
    split: Split | None
    files: tuple[str, ...]
    """Names below the folder, in order."""
    fingerprint: str
    """What a run's manifest records of its data: a hash of the files' names and sizes and, where the folder has a
    manifest, of their contents' hashes and the recipe's. It does not depend on where the folder lies."""

    def parquet(self, name: str) -> pq.ParquetFile:
        """One of the files, opened; ValueError when it is no Parquet file or of another schema version."""
        fs, root = filesystem(self.url)
        path = f"{root}/{name}"
        try:
            local = isinstance(fs, LocalFileSystem)
            file = (
                pq.ParquetFile(path, memory_map=True) if local else pq.ParquetFile(fs.open(path, "rb"), pre_buffer=True)
            )
        except (ValueError, FileNotFoundError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise ValueError(
                f"{self.url}/{name} cannot be read as Parquet: {error}; fetch or build it again"
            ) from error
        try:
            _check_file(f"{self.url}/{name}", file)
        except ValueError:
            file.close(force=True)
            raise
        return file


def find(url: str, split: Split | None) -> Folder:
    """The files of a split; with ``split=None`` every Parquet file of the folder, whatever its name.

    ValueError when the folder is no dataset, is incomplete, or is of another schema version than ``SCHEMA_VERSION``.
    """
    url = url.rstrip("/")
    fs, root = filesystem(url)
    sizes = _listing(fs, root, "data/") or _listing(fs, root, "")
    manifest = _manifest(fs, root, url)
    chosen = {n: s for n, s in sizes.items() if split is None or _split_of(n) == split}
    if not chosen:
        found = sorted({_split_of(n) or "without a split's name" for n in sizes}) or ["none"]
        raise ValueError(
            f"{url} has no Parquet files of the split {split or 'any'} (found: {', '.join(found)}); give the folder "
            "that `datagen build` wrote, or split=None for a plain folder of Parquet files"
        )
    _check_complete(url, sizes, chosen, split, manifest)
    return Folder(url, split, tuple(sorted(chosen)), _fingerprint(chosen, manifest))


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL and the path in it; made anew in a forked process, as fsspec asks for."""
    try:
        fs, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        scheme = url.split("://")[0].rsplit(":", 1)[-1]
        raise ValueError(
            f"{url}: {error}; run: pip install '{_PACKAGES.get(scheme, 'the fsspec package of ' + scheme)}'"
        ) from error
    return fs, root.rstrip("/")


def _listing(fs: fsspec.AbstractFileSystem, root: str, sub: str) -> dict[str, int]:
    """Names below the folder and sizes of the Parquet files in it or in a folder of it."""
    try:
        found: Any = fs.ls(f"{root}/{sub}".rstrip("/"), detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        sub + str(f["name"]).rsplit("/", 1)[-1]: int(f["size"] or 0)
        for f in found
        if f["type"] == "file" and str(f["name"]).endswith(".parquet")
    }


def _manifest(fs: fsspec.AbstractFileSystem, root: str, url: str) -> Mapping[str, Any] | None:
    """The dataset's manifest, None where it has none."""
    try:
        content: Any = fs.cat_file(f"{root}/manifest.json")
    except FileNotFoundError:
        return None
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{url}/manifest.json is no JSON: {error}; fetch it again or {_AGAIN}") from error
    _check_version(f"{url}/manifest.json", str(manifest.get("schema_version")))
    return manifest


def _split_of(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    return match["split"] if match else None


def _check_version(where: str, version: str | None) -> None:
    if version != str(SCHEMA_VERSION):
        says = f"schema_version {version}" if version not in (None, "None") else "no schema_version"
        raise ValueError(f"{where} has {says}; this trainer reads schema_version {SCHEMA_VERSION}: {_AGAIN}")


def _check_file(where: str, file: pq.ParquetFile) -> None:
    metadata = file.schema_arrow.metadata or {}
    version = metadata.get(b"schema_version")
    _check_version(f"the Arrow metadata of {where}", version.decode() if version is not None else None)
    missing = [name for name in _NEEDED if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"{where} has no column {', '.join(missing)}; {_AGAIN}")


def _check_complete(
    url: str,
    sizes: Mapping[str, int],
    chosen: Mapping[str, int],
    split: Split | None,
    manifest: Mapping[str, Any] | None,
) -> None:
    """ValueError when files are missing that the names or the manifest promise, or have another size."""
    listed = (manifest or {}).get("files", {})
    wanted = {n: f["bytes"] for n, f in listed.items() if split is None or f["split"] == split}
    for name in SPLITS if split is None else (split,):
        counts = {int(m["count"]) for n in chosen if (m := _NAME.fullmatch(n)) and m["split"] == name}
        have = sum(_split_of(n) == name for n in chosen)
        if counts and counts != {have}:
            raise ValueError(
                f"{url} holds {have} files of the split {name}, their names say of {min(counts)}; fetch the others"
            )
    wrong = sorted(n for n, size in wanted.items() if sizes.get(n) != size)
    if wrong:
        raise ValueError(f"{url}/{wrong[0]} is missing or not of the size in manifest.json; fetch it again or {_AGAIN}")


def _fingerprint(sizes: Mapping[str, int], manifest: Mapping[str, Any] | None) -> str:
    listed = (manifest or {}).get("files", {})
    lines = [(name, size, listed.get(name, {}).get("sha256")) for name, size in sorted(sizes.items())]
    recipe = (manifest or {}).get("recipe", {}).get("hash")
    return sha256(json.dumps([SCHEMA_VERSION, recipe, lines]).encode()).hexdigest()
