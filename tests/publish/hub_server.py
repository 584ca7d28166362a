"""A stand-in for the Hugging Face Hub over HTTP: what the real client asks when it publishes and loads a dataset.

It keeps large files in a folder (LFS) or hands out the address of a local chunk store (Xet), fails when it is told to,
and remembers what it was asked.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.publish.repository import MAIN, Entry, Repository, applied, created

WRITER, READER = "hf_writer_token", "hf_reader_token"
LARGE = 10_000_000
"""Text above it is a large file too."""
_DATASET = r"/api/datasets/(?P<repo>[^/]+/[^/]+)"


@dataclass
class Fault:
    """What happens to the next requests that match, instead of an answer or (``lost``) after the work is done."""

    pattern: str
    action: int | str
    """A status; ``drop``: the connection ends without an answer; ``lost``: the work is done, the answer is not sent;
    ``hang``: the request waits until ``HubServer.release`` is set; ``go on``: nothing but ``before``."""
    times: int = 1
    before: Callable[[], None] | None = None
    """Called when the fault strikes."""


@dataclass
class HubServer:
    """The state behind the handler; ``with HubServer(folder) as hub`` serves it at ``hub.url``."""

    folder: Path
    xet: bool = False
    repositories: dict[str, Repository] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    received: int = 0
    """Bytes of large files that were put here."""
    xet_hashes: dict[str, str] = field(default_factory=dict)
    """SHA-256 -> the chunk store's name of a file; the real Hub learns it from the store."""
    hanging: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> HubServer:
        self.lfs.mkdir(parents=True, exist_ok=True)
        (self.folder / "cas").mkdir(exist_ok=True)
        hub = self

        class Bound(_Handler):
            server_state = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._server.daemon_threads = True
        self._server.request_queue_size = 128
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def lfs(self) -> Path:
        return self.folder / "lfs"

    @property
    def cas(self) -> Path:
        return self.folder / "cas"

    def fail(self, pattern: str, action: int | str, times: int = 1, before: Callable[[], None] | None = None) -> None:
        """The next ``times`` requests whose ``METHOD /path`` matches fail."""
        self.faults.append(Fault(pattern, action, times, before))

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(re.search(pattern, line) is not None for line in self.asked)

    def content(self, repo: str, revision: str = MAIN) -> dict[str, bytes]:
        """Every file of a revision with its bytes; large ones as they were put into the folder."""
        return {
            name: entry.content if entry.content is not None else (self.lfs / entry.sha256).read_bytes()
            for name, entry in self.repositories[repo].files(revision).items()
        }

    def struck(self, line: str) -> Fault | None:
        """Notes a request and returns the fault that is due, if one is."""
        with self.lock:
            self.asked.append(line)
            for fault in self.faults:
                if fault.times and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    """One request. The routes are the methods of ``_ROUTES``."""

    server_state: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _serve(self) -> None:
        self.hub, self.lost = self.server_state, False
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        path = unquote(parts.path)
        fault = self.hub.struck(f"{self.command} {path}")
        if fault is not None and not self._strike(fault):
            return
        self.body = self._read()
        for method, pattern, access, name in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split():
                if not (access and self._refused(found["repo"], access)):
                    getattr(self, name)(**found.groupdict())
                return
        self._json(404, {"error": f"no such address: {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def _strike(self, fault: Fault) -> bool:
        """Carries a fault out; whether the request goes on."""
        if fault.before:
            fault.before()
        if fault.action == "hang":
            self.hub.hanging.set()
            self.hub.release.wait(30)
            self.close_connection = True
            return False
        if fault.action in ("lost", "go on"):
            self.lost = fault.action == "lost"
            return True
        if fault.action == "drop":
            self.close_connection = True
            return False
        self._read()
        self._json(int(fault.action), {"error": "injected"})
        return False

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, status: int, value: Any, **headers: str) -> None:
        self._send(status, json.dumps(value).encode(), **{"Content-Type": "application/json", **headers})

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        if self.lost:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refused(self, repo: str, access: str) -> bool:
        """Answers a request that must not be; whether it did."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = self.hub.repositories.get(repo)
        if token and token not in (WRITER, READER):
            self._json(401, {"error": "Invalid credentials"})
        elif found is None or (found.private and not token):
            self._json(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        elif access == "write" and token != WRITER:
            self._json(403, {"error": "You don't have the rights"})
        else:
            return False
        return True

    def _whoami(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (WRITER, READER):
            return self._json(401, {"error": "Invalid credentials"})
        return self._json(200, {"type": "user", "name": "somebody", "orgs": [], "auth": {}})

    def _create(self) -> None:
        asked = json.loads(self.body)
        repo = f"{asked['organization']}/{asked['name']}"
        if self.headers.get("Authorization") != f"Bearer {WRITER}":
            return self._json(403, {"error": f"You don't have the rights to create {repo}"})
        if repo in self.hub.repositories:
            return self._json(409, {"error": "exists", "url": f"{self.hub.url}/datasets/{repo}"})
        self.hub.repositories[repo] = created(asked.get("visibility") == "private")
        return self._json(200, {"url": f"{self.hub.url}/datasets/{repo}"})

    def _validate(self) -> None:
        asked = json.loads(self.body)
        whole = asked["content"].startswith("---\n")
        self._json(200 if whole else 400, {"errors": [] if whole else [{"message": "no metadata"}], "warnings": []})

    def _info(self, repo: str, revision: str = MAIN) -> None:
        found = self.hub.repositories[repo]
        sha = found.resolve(revision)
        if sha is None:
            return self._json(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        siblings = [{"rfilename": name} for name in found.files(revision)]
        stated = {"id": repo, "author": repo.split("/")[0], "sha": sha, "private": found.private, "tags": []}
        return self._json(200, {**stated, "gated": False, "disabled": False, "siblings": siblings})

    def _refs(self, repo: str) -> None:
        found = self.hub.repositories[repo]
        listed = {
            kind: [{"name": n, "ref": f"refs/{ref}/{n}", "targetCommit": oid} for n, oid in names.items()]
            for kind, ref, names in (("branches", "heads", found.branches), ("tags", "tags", found.tags))
        }
        self._json(200, {**listed, "converts": []})

    def _branch(self, repo: str, revision: str) -> None:
        found = self.hub.repositories[repo]
        if revision in found.branches:
            return self._json(409, {"error": "Reference already exists"})
        found.branches[revision] = found.branches[MAIN]
        return self._json(200, {})

    def _tag(self, repo: str, revision: str) -> None:
        asked = json.loads(self.body)
        found = self.hub.repositories[repo]
        oid = found.resolve(revision)
        if asked["tag"] in found.tags or oid is None:
            return self._json(409 if oid else 404, {"error": "Tag reference exists already"})
        found.tags[asked["tag"]] = oid
        return self._json(200, {})

    def _preupload(self, repo: str, revision: str) -> None:
        asked = json.loads(self.body)
        there = self.hub.repositories[repo].files(revision)
        answer = []
        for file in asked["files"]:
            large = file["path"].endswith(".parquet") or file["size"] > LARGE
            old = there.get(file["path"])
            oid = (old.sha256 or old.blob) if old else None
            mode = "lfs" if large else "regular"
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json(200, {"files": answer})

    def _batch(self, repo: str) -> None:
        asked = json.loads(self.body)
        answer = []
        for item in asked["objects"]:
            if not (self.hub.lfs / item["oid"]).is_file():
                base = self.hub.url
                item["actions"] = {
                    "upload": {"href": f"{base}/storage/{item['oid']}"},
                    "verify": {"href": f"{base}/verify"},
                }
            answer.append(item)
        self._json(200, {"transfer": "basic", "objects": answer})

    def _put(self, oid: str) -> None:
        """Takes a large file; what does not have the promised SHA-256 is refused."""
        content = self.body
        if len(content) != int(self.headers.get("Content-Length") or len(content)):
            self.close_connection = True
            return None
        if hashlib.sha256(content).hexdigest() != oid:
            return self._json(400, {"error": "another SHA-256"})
        aside = self.hub.lfs / f".{oid}.{time.monotonic_ns()}"
        aside.write_bytes(content)
        aside.replace(self.hub.lfs / oid)
        with self.hub.lock:
            self.hub.received += len(content)
        return self._json(200, {})

    def _verify(self) -> None:
        asked = json.loads(self.body)
        path = self.hub.lfs / asked["oid"]
        there = path.is_file() and path.stat().st_size == asked["size"]
        self._json(200 if there else 404, {})

    def _xet_token(self, repo: str, kind: str, revision: str) -> None:
        cas, until = f"local://{self.hub.cas}", int(time.time()) + 3600
        headers = {"X_Xet_Cas_Url": cas, "X_Xet_Access_Token": "chunks", "X_Xet_Token_Expiration": str(until)}
        self._json(200, {"casUrl": cas, "accessToken": "chunks", "exp": until}, **headers)

    def _commit(self, repo: str, revision: str) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        with self.hub.lock:
            found, header = self.hub.repositories[repo], lines[0]["value"]
            if header.get("parentCommit") not in (None, found.branches.get(revision)):
                return self._json(412, {"error": "A commit has happened since. Please refresh and try again."})
            try:
                after = applied(found.files(revision), lines[1:], None if self.hub.xet else self.hub.lfs)
            except KeyError as error:
                return self._json(400, {"error": f"LFS pointer to a file that does not exist: {error}"})
            oid = found.commit(revision, after, header["summary"])
        return self._json(
            200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{oid}"}
        )

    def _tree(self, repo: str, revision: str, folder: str | None = None) -> None:
        found = self.hub.repositories[repo]
        if found.resolve(revision) is None:
            return self._json(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        inside = f"{folder}/" if folder else ""
        deep = self.query.get("recursive", ["false"])[0].lower() == "true"
        return self._json(200, _listed(found.files(revision), inside, deep))

    def _paths(self, repo: str, revision: str) -> None:
        asked = json.loads(self.body)["paths"] if self.body[:1] == b"{" else parse_qs(self.body.decode())["paths"]
        files = self.hub.repositories[repo].files(revision)
        answer = [files[path].described(path) for path in asked if path in files]
        folders = [p for p in asked if p not in files and any(n.startswith(f"{p}/") for n in files)]
        self._json(200, answer + [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in folders])

    def _resolve(self, repo: str, revision: str, path: str) -> None:
        found = self.hub.repositories[repo]
        entry = found.files(revision).get(path)
        if entry is None:
            return self._json(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        headers = {"X_Repo_Commit": found.resolve(revision) or "", "ETag": f'"{entry.sha256 or entry.blob}"'}
        headers |= {"Accept_Ranges": "bytes", "X_Linked_Size": str(entry.size), "X_Linked_Etag": headers["ETag"]}
        if self.hub.xet and entry.sha256:
            token = f"{self.hub.url}/api/datasets/{repo}/xet-read-token/{revision}"
            headers |= {"X_Xet_Hash": self.hub.xet_hashes[entry.sha256], "X_Xet_Refresh_Route": token}
            return self._send(200, b"", **{**headers, "Content-Length": str(entry.size)})
        content = entry.content if entry.content is not None else (self.hub.lfs / entry.sha256).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self._send(200, content, **headers)
        first, last = int(asked[1]), min(int(asked[2] or entry.size - 1), entry.size - 1)
        headers["Content_Range"] = f"bytes {first}-{last}/{entry.size}"
        return self._send(206, content[first : last + 1], **headers)


def _listed(files: dict[str, Entry], inside: str, deep: bool) -> list[dict[str, Any]]:
    """The tree endpoint's answer for a folder (with its slash)."""
    folders: set[str] = set()
    found: list[dict[str, Any]] = []
    for path, entry in sorted(files.items()):
        rest = path.removeprefix(inside)
        if not path.startswith(inside):
            continue
        steps = rest.split("/")[:-1]
        folders |= {inside + "/".join(steps[: k + 1]) for k in range(len(steps) if deep else min(1, len(steps)))}
        if deep or not steps:
            found.append(entry.described(path))
    return [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in sorted(folders)] + found


_ROUTES = (
    ("GET", r"/api/whoami-v2", "", "_whoami"),
    ("POST", r"/api/repos/create", "", "_create"),
    ("POST", r"/api/validate-yaml", "", "_validate"),
    ("GET", _DATASET, "read", "_info"),
    ("GET", _DATASET + r"/revision/(?P<revision>.+)", "read", "_info"),
    ("GET", _DATASET + r"/refs", "read", "_refs"),
    ("POST", _DATASET + r"/branch/(?P<revision>.+)", "write", "_branch"),
    ("POST", _DATASET + r"/tag/(?P<revision>.+)", "write", "_tag"),
    ("POST", _DATASET + r"/preupload/(?P<revision>.+)", "write", "_preupload"),
    ("GET", _DATASET + r"/xet-(?P<kind>read|write)-token/(?P<revision>.+)", "read", "_xet_token"),
    ("POST", _DATASET + r"/commit/(?P<revision>.+)", "write", "_commit"),
    ("GET", _DATASET + r"/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?", "read", "_tree"),
    ("POST", _DATASET + r"/paths-info/(?P<revision>.+)", "read", "_paths"),
    ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "write", "_batch"),
    ("PUT", r"/storage/(?P<oid>[0-9a-f]{64})", "", "_put"),
    ("POST", r"/verify", "", "_verify"),
    ("GET HEAD", r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "read", "_resolve"),
)
