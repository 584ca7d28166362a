"""What a stand-in for the Hugging Face Hub keeps: repositories with commits, branches and tags, and large files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAIN = "main"


@dataclass(frozen=True)
class Entry:
    """A file of a commit: its bytes, or the SHA-256 of a large file."""

    size: int
    content: bytes | None = None
    sha256: str = ""

    @property
    def blob(self) -> str:
        """The name in git: of the content, or of the pointer that stands in for a large file."""
        content = self.content
        if content is None:
            content = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
                self.sha256.encode(),
                self.size,
            )
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def described(self, path: str) -> dict[str, Any]:
        """As the tree endpoint lists it."""
        found: dict[str, Any] = {"type": "file", "path": path, "size": self.size, "oid": self.blob}
        if self.content is None:
            found["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 130}
        return found


@dataclass
class Repository:
    """One dataset repository. A commit is a full listing; nothing is ever forgotten."""

    private: bool = False
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, Entry], message: str) -> str:
        """A new commit on a branch; returns its id."""
        oid = hashlib.sha1(f"{branch} {len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits[oid] = files
        self.branches[branch] = oid
        self.messages.append(message)
        return oid

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, a tag or an id."""
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)

    def files(self, revision: str = MAIN) -> dict[str, Entry]:
        """The listing of a revision; empty where there is none."""
        return self.commits.get(self.resolve(revision) or "", {})


def created(private: bool) -> Repository:
    """A new repository, with the one file the Hub puts there."""
    repository = Repository(private)
    content = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
    repository.commit(MAIN, {".gitattributes": Entry(len(content), content)}, "initial commit")
    return repository


def applied(files: dict[str, Entry], lines: list[dict[str, Any]], stored: Path | None) -> dict[str, Entry]:
    """A listing after a commit's lines; KeyError for a large file that was never uploaded (``stored`` holds them)."""
    from base64 import b64decode

    after = dict(files)
    for line in lines:
        value = line["value"]
        match line["key"]:
            case "file":
                content = b64decode(value["content"])
                after[value["path"]] = Entry(len(content), content)
            case "lfsFile":
                if stored is not None and not (stored / value["oid"]).is_file():
                    raise KeyError(value["path"])
                after[value["path"]] = Entry(value["size"], sha256=value["oid"])
            case "deletedFile":
                del after[value["path"]]
    return after
