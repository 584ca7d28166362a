"""What the sources that read files share: finding the files, reading items by position, recording bad records."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import accumulate
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar, cast

import fsspec

from datagen.core.types import Dialogue, Unreadable
from datagen.kinds import Need
from datagen.sources._turns import CorpusConfig, FileConfig, Origin, Written, dialogues, one_line, plain_id

Item = Dialogue | Unreadable
C = TypeVar("C")

MAX_STEM = 80
"""Characters of a file's name in an id; a number follows."""
CHUNKS_KEPT = 4
"""Parsed chunks held per source: shards are read in order, so the next one mostly needs the last chunk again."""
_VARIABLE = re.compile(r"^\$\{?(\w+)\}?")
_HERE = ("file", "local", "memory")
"""Protocols of paths that can be looked at without a network."""


@dataclass(frozen=True)
class File:
    """One input file: ``name`` is its path inside the folder that was given, the same on every machine."""

    fs: Any
    path: str
    name: str

    @property
    def stem(self) -> str:
        """The name as the beginning of an id: no suffix, folders joined by hyphens."""
        return plain_id(re.sub(r"\.(jsonl?|txt|parquet)(\.\w+)?$", "", self.name)[-MAX_STEM:]) or "file"

    def open(self) -> BinaryIO:
        """The decompressed bytes."""
        return cast(BinaryIO, self.fs.open(self.path, "rb", compression="infer"))


@dataclass(frozen=True)
class Home:
    """Which files a kind reads, and where they come from."""

    wanted: re.Pattern[str]
    """Matches the names, inside a folder, of the kind's own files."""
    what: str
    """What they are, in the plural."""
    remedy: str
    """How to get them, in one line."""


def _open(path: str, what: str) -> tuple[Any, str]:
    """The file system of a path, and the path in it; ValueError with the remedy when there is none."""
    if variable := _VARIABLE.match(path):
        raise ValueError(f"path: {path!r} is not known here; set {variable[1]} to the folder of the {what}")
    try:
        return fsspec.core.url_to_fs(path)
    except ImportError as error:
        if path.startswith("hf://"):
            wanted = "path: hf:// needs a package that is not installed; run: pip install 'duplexkit[hub]'"
            raise ValueError(wanted) from error
        raise ValueError(f"path: {path!r} cannot be opened: {error}") from error
    except ValueError as error:
        raise ValueError(f"path: {path!r} cannot be opened: {error}") from error


def find_files(path: str, wanted: re.Pattern[str], what: str) -> tuple[File, ...]:
    """The files of a path in order of their names.

    A file or the hits of a glob are taken as they are; of a folder, those whose name inside it matches ``wanted``.
    ValueError when there is none.
    """
    fs, root = _open(path, what)
    root = root.rstrip("/")
    if fs.isfile(root):
        return (File(fs, root, root.rpartition("/")[2]),)
    if fs.isdir(root):
        base = root
        hits = [p for p in fs.find(root) if wanted.search(p[len(base) + 1 :])]
    else:
        base = re.split(r"[*?\[]", root)[0].rpartition("/")[0]
        hits = [p for p in fs.glob(root) if fs.isfile(p)]
    files = [File(fs, p, p[len(base) + 1 :]) for p in hits]
    files = sorted((f for f in files if not re.search(r"(^|/)\.", f.name)), key=lambda f: f.name)
    if not files:
        reason = f"holds no {what}" if fs.isdir(root) else "does not exist"
        raise ValueError(f"path: {path!r} {reason}; give a file, a folder or a glob of {what}")
    return tuple(files)


def needs_files(config: FileConfig, home: Home) -> Iterator[Need]:
    """The files as something a kind needs. A path on another machine counts as found: nothing is asked of it here."""
    name = f"{config.kind} files"
    protocol = config.path.partition("://")[0] if "://" in config.path else "file"
    try:
        if protocol in _HERE:
            count = len(find_files(config.path, home.wanted, home.what))
            found = f"{count} file{'s' * (count > 1)} in {config.path}"
        else:
            _open(config.path, home.what)
            found = f"{config.path}, to be read over the network"
        yield Need(name, found)
    except (ValueError, OSError) as error:
        yield Need(name, "", f"{' '.join(str(error).split())}; {home.remedy}")


class Placed(NamedTuple):
    """An item, where it stands (file and line or record) and the id that an Unreadable of that place has."""

    item: Item
    where: str
    ref: str

    @property
    def id(self) -> str | None:
        """The dialogue's id; None for an Unreadable, whose id is not used up."""
        return self.item.id if isinstance(self.item, Dialogue) else None


def unreadable_file(file: File, error: ValueError) -> Placed:
    """The one item of a file that is not what it should be."""
    reason = f"not a file of this corpus: {one_line(error)}"
    return Placed(Unreadable(id=file.stem, where=file.name, reason=reason), file.name, file.stem)


def read_record(make: Callable[[], Iterable[Dialogue]], where: str, ref: str) -> list[Placed]:
    """The record boundary: the dialogues of a record, or one Unreadable that says why there are none."""
    try:
        return [Placed(item, where, ref) for item in make()]
    except ValueError as error:
        return [Placed(Unreadable(id=ref, where=where, reason=one_line(error)), where, ref)]


class FileSource(Generic[C]):
    """A Source over chunks (files, or blocks of lines), of which a few are held parsed.

    ``load`` gives all items of a chunk. ``scan`` gives as many pairs of (id, where) and may be cheaper. The first use
    of an id in the order of the files counts; later ones are Unreadable.
    """

    def __init__(
        self,
        chunks: Callable[[], Sequence[C]],
        load: Callable[[C], Sequence[Placed]],
        scan: Callable[[C], Sequence[tuple[str | None, str]]] | None = None,
    ) -> None:
        self._list = chunks
        self._load = lru_cache(maxsize=CHUNKS_KEPT)(load)
        self._scan = scan or (lambda chunk: [(placed.id, placed.where) for placed in self._load(chunk)])

    @cached_property
    def _index(self) -> tuple[Sequence[C], list[int], dict[int, str]]:
        """Chunks; the position after each; and where the id was used before, by position, where it was."""
        chunks = self._list()
        counts: list[int] = []
        used: dict[str, str] = {}
        taken: dict[int, str] = {}
        position = 0
        for chunk in chunks:
            found = self._scan(chunk)
            counts.append(len(found))
            for name, where in found:
                if name in used:
                    taken[position] = used[name]
                elif name is not None:
                    used[name] = where
                position += 1
        return chunks, list(accumulate(counts)), taken

    def size(self) -> int:
        """Dialogues and unreadable records together."""
        return self._index[1][-1] if self._index[1] else 0

    def read(self, start: int, stop: int, seed: int) -> Iterator[Item]:
        """Items ``start`` to ``stop``; the seed changes nothing. ValueError beyond the last position."""
        chunks, ends, taken = self._index
        if not 0 <= start <= stop <= self.size():
            raise ValueError(f"positions {start} to {stop} are not within the {self.size()} of this source")
        for position in range(start, stop):
            number = bisect_right(ends, position)
            placed = self._load(chunks[number])[position - (ends[number - 1] if number else 0)]
            before = taken.get(position)
            if before is None:
                yield placed.item
            else:
                yield Unreadable(id=placed.ref, where=placed.where, reason=f"id used before at {before}")


def read_json(file: File) -> Any:
    """What a JSON file holds; ValueError when it is none."""
    with file.open() as stream:
        return json.load(stream)


def corpus(
    config: CorpusConfig,
    home: Home,
    origin: Origin,
    records: Callable[[Any], Iterable[Any]],
    write: Callable[[Any, File], Written],
    parse: Callable[[File], Any] = read_json,
) -> FileSource[File]:
    """A source over files that each hold many records.

    ``parse`` reads a file, ``records`` lists what it holds, ``write`` reads one of them; what any of them refuses with
    ValueError is recorded as Unreadable.
    """

    def load(file: File) -> list[Placed]:
        try:
            found = list(records(parse(file)))
        except ValueError as error:
            return [unreadable_file(file, error)]
        items: list[Placed] = []
        for number, record in enumerate(found, 1):
            make = partial(_dialogues, record, file)
            items += read_record(make, f"{file.name} record {number}", f"{file.stem}-{number:06d}")
        return items

    def _dialogues(record: Any, file: File) -> list[Dialogue]:
        return dialogues(write(record, file), config, origin)

    files = find_files(config.path, home.wanted, home.what)
    return FileSource(lambda: files, load)
