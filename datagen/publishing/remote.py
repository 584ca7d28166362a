"""A dataset repository on the Hub: what is in it, and what a release changes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.core.types import SPLITS
from datagen.publishing.release import MANIFEST, Item, Release
from datagen.report.pictures import FOLDER
from datagen.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from huggingface_hub import HfApi

KIND = "dataset"
BARE = frozenset({".gitattributes", "README.md", "LICENSE", "LICENSE.md"})
"""What a repository may hold before anything is published there: what is made with it in the browser."""


@dataclass(frozen=True)
class Stored:
    """A file in the repository."""

    size: int
    blob: str
    """Its name in git."""
    sha256: str = ""
    """Of a large file."""

    def holds(self, item: Item) -> bool:
        """Whether it is this file, byte for byte."""
        if self.size != item.size:
            return False
        return self.sha256 == item.digest() if self.sha256 else self.blob == item.git_oid()


@dataclass(frozen=True)
class Remote:
    """What a branch of a repository holds, and the repository's tags."""

    exists: bool = False
    private: bool = False
    head: str = ""
    """Commit of the branch; empty where there is no such branch yet."""
    files: Mapping[str, Stored] = field(default_factory=dict)
    manifest: Any = None
    """Of another release; None where there is none or it cannot be read."""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What a release does to a branch."""

    new: tuple[Item, ...]
    changed: tuple[Item, ...]
    same: tuple[Item, ...]
    gone: tuple[str, ...]

    @property
    def sent(self) -> tuple[Item, ...]:
        return self.new + self.changed

    @property
    def size(self) -> int:
        """Bytes of the files that are sent, at most: of those the Hub has, chunks or whole files, none are."""
        return sum(item.size for item in self.sent)


def look(api: HfApi, repo: str, revision: str, ours: Release) -> Remote:
    """The repository as it is now."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.repo_info(repo, repo_type=KIND)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:
            raise
        return Remote()
    refs = api.list_repo_refs(repo, repo_type=KIND)
    branches = {ref.name: ref.target_commit for ref in refs.branches}
    head = branches.get(revision, "")
    files = tree(api, repo, head) if head else {}
    return Remote(
        exists=True,
        private=bool(info.private),
        head=head,
        files=files,
        manifest=_manifest(api, repo, head, files, ours),
        tags={ref.name: ref.target_commit for ref in refs.tags},
    )


def tree(api: HfApi, repo: str, commit: str) -> dict[str, Stored]:
    """The files of a commit."""
    from huggingface_hub.hf_api import RepoFile

    listed = api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=KIND)
    return {f.path: Stored(f.size, f.blob_id, f.lfs.sha256 if f.lfs else "") for f in listed if isinstance(f, RepoFile)}


def _manifest(api: HfApi, repo: str, head: str, files: Mapping[str, Stored], ours: Release) -> Any:
    if MANIFEST not in files:
        return None
    own = next(item for item in ours.items if item.name == MANIFEST)
    if files[MANIFEST].holds(own):
        return ours.manifest
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(repo, MANIFEST, repo_type=KIND, revision=head, local_dir=folder)
        try:
            return json.loads(Path(path).read_bytes())
        except ValueError:
            return None


def changes(release: Release, remote: Remote, replace: bool) -> Changes:
    """Compares by hash. What is gone: data files and pictures of the release before; with ``replace`` all else too."""
    names = {item.name for item in release.items}
    same = tuple(i for i in release.items if i.name in remote.files and remote.files[i.name].holds(i))
    kept = {item.name for item in same}
    return Changes(
        new=tuple(i for i in release.items if i.name not in remote.files),
        changed=tuple(i for i in release.items if i.name in remote.files and i.name not in kept),
        same=same,
        gone=tuple(sorted(n for n in remote.files if n not in names and (_ours(n) or (replace and n not in BARE)))),
    )


def _ours(name: str) -> bool:
    """Whether an earlier release has put the file there: left behind, it would be read as data of this one."""
    return any(fnmatchcase(name, p) for p in (*(f"data/{split}-*.parquet" for split in SPLITS), f"{FOLDER}/*.svg"))


def refusals(release: Release, remote: Remote, private: bool, replace: bool, repo: str) -> Iterator[str]:
    """Why the release must not go there; none where it may."""
    if remote.exists and private and not remote.private:
        yield f"datasets/{repo} is public; make it private in its settings, or leave --private out"
    if replace or not set(remote.files) - BARE:
        return
    remedy = "choose another name, or pass --replace to remove what is there (git keeps its history)"
    theirs = remote.manifest
    if not isinstance(theirs, dict) or "recipe" not in theirs:
        yield f"datasets/{repo} holds other files and no {MANIFEST} of a dataset; {remedy}"
        return
    if theirs.get("schema_version") != SCHEMA_VERSION:
        yield f"datasets/{repo} has schema_version {theirs.get('schema_version')!r}, not {SCHEMA_VERSION}; {remedy}"
    name = theirs["recipe"].get("name") if isinstance(theirs["recipe"], dict) else theirs["recipe"]
    if name != release.name:
        yield f"datasets/{repo} holds the dataset {name!r}, not {release.name!r}; {remedy}"
