"""Where an exporter writes, and what an exporter is. Runs in the worker processes.

OUT/.work/made/...             files as they will stand in OUT
          parts/00007.K.lines  a part's lines of the listings that all parts share
                00007.json     written last: the part is done; its files with their sizes, and its figures
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from datagen.core.types import Split
from datagen.files import Aside, Folder
from datagen.published import Part, Row

WORK = ".work"


class Sink:
    """Takes what one part writes; ``commit`` makes the part exist."""

    def __init__(self, out_url: str, part: int) -> None:
        work = Folder(out_url).sub(WORK)
        self._made, self._parts, self._part = work.sub("made"), work.sub("parts"), part
        self._lines: dict[str, list[str]] = {}
        self._files: dict[str, int] = {}
        self.figures: Counter[str] = Counter()
        """Counts that are added up over the parts and stand in the manifest."""
        self.about: dict[str, Any] = {}
        """Anything else the driver wants to know of this part."""

    def file(self, name: str, content: bytes | str) -> None:
        """A whole file."""
        with self.open(name) as out:
            out.write(content.encode() if isinstance(content, str) else content)

    @contextmanager
    def open(self, name: str, durable: bool = False) -> Iterator[Aside]:
        """A file that is written piece by piece."""
        with Aside(self._made, name, durable=durable) as out:
            yield out
        self._files[name] = out.size

    def line(self, listing: str, text: str) -> None:
        """A line of a file that all parts share; parts stand in it in their order. A name in .gz is compressed."""
        self._lines.setdefault(listing, []).append(text)

    def json(self, listing: str, value: Any) -> None:
        """A line of JSON."""
        self.line(listing, json.dumps(value, ensure_ascii=False))

    def commit(self) -> dict[str, Any]:
        """The lines, then the report that completes the part."""
        sizes: dict[str, int] = {}
        listings: dict[str, str] = {}
        for number, (listing, lines) in enumerate(sorted(self._lines.items())):
            content = "".join(f"{line}\n" for line in lines).encode()
            name = f"{self._part:05d}.{number}.lines"
            self._parts.write(name, content, durable=False)
            sizes[name], listings[listing] = len(content), name
        report = {
            "files": self._files,
            "listings": listings,
            "sizes": sizes,
            "figures": dict(sorted(self.figures.items())),
            "about": self.about,
        }
        self._parts.write(f"{self._part:05d}.json", json.dumps(report), durable=False)
        return report


class Exporter(Protocol):
    """One format: a pure mapping of the row and a thin writer.

    A row that does not fit is refused with a ValueError before anything of it is written.
    """

    columns: Sequence[str]
    """Of the row, those that are read. Without the audio an export takes seconds."""
    splits: Sequence[Split]
    """Taken where the user names none."""
    lost: Sequence[str]
    """What of the row the format cannot hold: a column, or a field of one, and why in brackets."""
    notes: Sequence[str]
    """What its user should know: order of channels, how to load it."""
    part_rows: int
    """Rows a part has at least: the size of a shard where the format has shards."""

    def writer(self, part: Part, sink: Sink) -> AbstractContextManager[Callable[[Row], None]]:
        """What takes the rows of a part, one at a time."""
        ...
