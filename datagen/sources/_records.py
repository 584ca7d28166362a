"""JSON records in files of gigabytes: found by their bytes, parsed only when they are wanted."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from datagen.core.types import Dialogue
from datagen.sources._files import File, FileSource, Placed, read_record

PER_BLOCK = 100
"""Records parsed and kept together: a few hundred dialogues in memory, whatever the size of the file."""
AT_A_TIME = 1 << 22
"""Bytes read of a file that is one JSON document."""
MAX_RECORD = 1 << 26
"""Bytes of a record at most: a document that is no list of records is not searched to its end."""
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}]', re.S)
"""Strings, closed or cut off by the end of what was read, and the braces outside of them."""

Found = tuple[int, bytes]
"""Where a record begins in its file, and its bytes."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some records of a file; ``numbers`` count all records of the file from 1, also those that are not wanted."""

    file: File
    offsets: array[int]
    sizes: array[int]
    numbers: array[int]


def lines(stream: BinaryIO) -> Iterator[Found]:
    """One record per line; empty lines are none. A faulty line spoils no other."""
    offset = 0
    for line in stream:
        if line.strip():
            yield offset, line
        offset += len(line)


def objects(stream: BinaryIO) -> Iterator[Found]:
    """The outermost objects of a JSON document: those of a list, or the one that it is.

    What is broken off at the end comes as the last record.
    """
    data, base = b"", 0
    while more := stream.read(AT_A_TIME):
        data += more
        done = 0
        for start, end in _spans(data):
            yield base + start, data[start:end]
            done = end
        data, base = data[done:], base + done
        if len(data) > MAX_RECORD:
            break
    at = data.find(b"{")
    if at >= 0:
        yield base + at, data[at:]


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every object that is whole."""
    depth = start = 0
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if mark == b"{":
            if depth == 0:
                start = token.start()
            depth += 1
        elif mark == b"}" and depth:
            depth -= 1
            if depth == 0:
                yield start, token.end()


def record_source(
    files: Sequence[File], wanted: Callable[[bytes], bool], read: Callable[[bytes, str, File], Dialogue]
) -> FileSource[Block]:
    """A source of one dialogue per wanted record, with ids of its own making: counting needs no parsing.

    ``read`` gets a record's bytes, the id that it has if it says none, and its file; its ValueError makes the record
    Unreadable. Raises ValueError when two files would give the same ids.
    """
    stems = [file.stem for file in files]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        same = ", ".join(file.name for file in files if file.stem == twice[0])
        raise ValueError(f"path: {same} would give dialogues the same ids; give one of them")

    def load(block: Block) -> list[Placed]:
        return [
            read_record(
                partial(_one, read, data, f"{block.file.stem}-{number:07d}", block.file),
                f"{block.file.name} record {number}",
                f"{block.file.stem}-{number:07d}",
            )[0]
            for number, data in _contents(block)
        ]

    def scan(block: Block) -> Sequence[tuple[str | None, str]]:
        return [(None, "")] * len(block.numbers)

    return FileSource(lambda: [block for file in files for block in _blocks(file, wanted)], load, scan)


def _one(read: Callable[[bytes, str, File], Dialogue], data: bytes, name: str, file: File) -> list[Dialogue]:
    return [read(data, name, file)]


def _blocks(file: File, wanted: Callable[[bytes], bool]) -> Iterator[Block]:
    """The wanted records of a file, PER_BLOCK at a time."""
    block = Block(file, array("q"), array("q"), array("q"))
    with file.open() as stream:
        found = lines(stream) if re.search(r"\.jsonl(\.\w+)?$", file.name) else objects(stream)
        for number, (offset, data) in enumerate(found, 1):
            if not wanted(data):
                continue
            block.offsets.append(offset)
            block.sizes.append(len(data))
            block.numbers.append(number)
            if len(block.numbers) == PER_BLOCK:
                yield block
                block = Block(file, array("q"), array("q"), array("q"))
    if block.numbers:
        yield block


def _contents(block: Block) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of a block's records."""
    with block.file.open() as stream:
        for offset, size, number in zip(block.offsets, block.sizes, block.numbers, strict=True):
            stream.seek(offset)
            yield number, stream.read(size).removeprefix(_BOM)
