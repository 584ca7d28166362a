"""A folder that is made part by part by many processes, goes on after a kill, and never looks finished before it is.

DIR/.work/plan.json        what the folder is being made of; another plan is refused
          made/...         files as they will stand in DIR
          parts/00007.json a part is done: its files with their sizes, its lines of the listings, its figures;
          parts/00007.K.lines  written before it
          moving.json      everything is made: what is left is moving it to its place
DIR/...                    moved there at the end
    MANIFEST               written last: with it the folder is complete
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from fsspec.core import url_to_fs

from datagen.build import Progress, Taken, finish
from datagen.files import ASIDE, Aside, Folder
from datagen.sink import WORK
from datagen.tasks import Executor, Stop, Task, drive

CHUNK = 1 << 20


class Workers(Protocol):
    """Starts an executor when there is something to do."""

    def __call__(self) -> AbstractContextManager[Executor]: ...


@dataclass(frozen=True)
class Staging:
    """The driver's side of the folder."""

    out: Folder
    manifest: str
    """Name of the file that is written last."""
    plan: Mapping[str, Any] = field(hash=False)
    """What decides the result; two equal plans give the same files."""

    @property
    def work(self) -> Folder:
        return self.out.sub(WORK)

    def complete(self) -> dict[str, Any] | None:
        """The manifest, where the folder holds this very result already."""
        found = _read(self.out, self.manifest)
        return found if found is not None and found.get("plan") == self.plan else None

    def claim(self, replace: bool) -> None:
        """Makes the folder this plan's own; Taken when it holds anything else.

        With ``replace`` what an earlier run of the same kind wrote there is removed first.
        """
        url = self.out.url
        begun, finished = _read(self.work, "plan.json"), _read(self.out, self.manifest)
        ours = {*self._moving()} | ({WORK} if begun is not None else set())
        if finished is not None and {"plan", "entries"} <= set(finished):
            if not replace:
                was = finished["plan"].get("what")
                raise Taken(f"{url} holds another {was}; choose another --out, or --replace it")
            ours |= {self.manifest, *finished["entries"]}
        if strange := [name for name in self.out.names() if name not in ours]:
            raise Taken(f"{url} is not empty (it holds {strange[0]}); choose another --out")
        if begun is not None and begun != self.plan and not replace:
            raise Taken(f"{url}: another {begun.get('what')} was begun there; choose another --out, or --replace it")
        if replace:
            for name in ours:
                self.out.remove(name)
        self._sweep()
        self.work.write("plan.json", json.dumps(self.plan))

    def _moving(self) -> list[str]:
        return (_read(self.work, "moving.json") or {}).get("entries", [])

    def _sweep(self) -> None:
        """Removes what a killed process had begun to write aside."""
        fs, root = url_to_fs(self.work.url)
        for path in map(str, fs.find(root)) if fs.exists(root) else ():
            if ASIDE.fullmatch(path.rsplit("/", 1)[-1]):
                fs.rm(path)

    def done(self, part: int) -> dict[str, Any] | None:
        """What a part's process reported, or None while the part is not whole."""
        report = _read(self.work, f"parts/{part:05d}.json")
        if report is None:
            return None
        made = all(self.work.size(f"made/{name}") == size for name, size in report["files"].items())
        lines = all(self.work.size(f"parts/{name}") == size for name, size in report["sizes"].items())
        return report if made and lines else None

    def moving(self) -> bool:
        """Whether a run before this one had made everything and was stopped while moving it."""
        return self.work.exists("moving.json")

    def gather(self, reports: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Joins the parts' lines into the listings; their sizes by name."""
        sizes: dict[str, int] = {}
        sources: dict[str, list[str]] = {}
        for report in reports:
            for listing, name in report["listings"].items():
                sources.setdefault(listing, []).append(name)
        for listing, names in sources.items():
            with Aside(self.work.sub("made"), listing) as out:
                packed = gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0) if listing.endswith(".gz") else out
                for name in names:
                    fs, path = self.work.path(f"parts/{name}")
                    lines: Any = fs.open(path, "rb")
                    with lines:
                        while content := lines.read(CHUNK):
                            packed.write(content)
                packed.close()
            sizes[listing] = out.size
        return sizes

    def publish(self, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Moves everything to its place and writes the manifest, which completes the folder. Returns it.

        Without a manifest it goes on with a move that was stopped.
        """
        if manifest is not None:
            note = {"entries": self.work.sub("made").names(), "manifest": manifest}
            self.work.write("moving.json", json.dumps(note, ensure_ascii=False))
        note = _read(self.work, "moving.json") or {}
        self._move()
        whole = {"plan": self.plan, **note["manifest"], "entries": note["entries"]}
        self.out.write(self.manifest, json.dumps(whole, indent=1, ensure_ascii=False))
        self.out.remove(WORK)
        return whole

    def _move(self) -> None:
        """File by file, listings last: on a bucket a move is a copy, and a kill between the two loses nothing."""
        made = self.work.sub("made")
        fs, root = url_to_fs(made.url)
        names = [str(path)[len(root.rstrip("/")) + 1 :] for path in fs.find(root)] if fs.exists(root) else []
        for name in sorted(names, key=lambda name: ("/" not in name, name)):
            _, target = self.out.path(name)
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            fs.mv(f"{root.rstrip('/')}/{name}", target)


def _read(folder: Folder, name: str) -> dict[str, Any] | None:
    """A JSON object; None where there is none."""
    if not folder.exists(name):
        return None
    try:
        found = json.loads(folder.read(name))
    except ValueError:  # a power cut has shortened it, or it is another program's
        return None
    return found if isinstance(found, dict) else None


def carry_out(
    staging: Staging, stage: str, tasks: Sequence[Task], workers: Workers, progress: Progress, stop: Stop
) -> list[dict[str, Any]]:
    """The reports of all parts in their order, one task each, numbered by rank; what is done is not done again.

    Interrupted when the user stopped it, BuildError when parts failed for good.
    """
    reports = {number: done for number in range(len(tasks)) if (done := staging.done(number)) is not None}
    progress.expect(stage, len(tasks))
    for _ in reports:
        progress.advance(stage, None)

    def on_done(task: Task, report: dict[str, Any]) -> None:
        reports[task.rank[0]] = report
        progress.advance(stage, None)

    if missing := [task for task in tasks if task.rank[0] not in reports]:
        with workers() as executor:
            finish(drive(missing, executor, on_done, stop), stop)
    return [reports[number] for number in range(len(tasks))]
