"""VoiceAssistant-400K: questions to a voice assistant, answered by GPT-4o in the style of speech.

The dataset ``gpt-omni/VoiceAssistant-400K`` (Xie and Wu: Mini-Omni, arXiv:2408.16725; Apache-2.0) as published:
Parquet files with the string columns ``split_name``, ``index``, ``round``, ``question``, ``answer``, the tokens
``answer_snac`` and the spoken ``question_audio``. Of its 219 GB only the five text columns are read; a copy that has
no others will do. ``path`` may be a folder, a file, a glob or ``hf://datasets/gpt-omni/VoiceAssistant-400K/data``.

A row is one question and its answer. ``split_name`` is the set that it comes from, and the domain; ``index`` counts
from zero in every set. Only ``rlhf`` has several rounds for an index, counted from 0; elsewhere ``round`` is None. The
rows of a conversation are brought together wherever they stand. One whose first rounds are missing is refused; from
a later gap on, it is left out.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache, partial
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from datagen.core.types import Dialogue
from datagen.kinds import Need, Source
from datagen.sources._files import File, FileSource, Home, Placed, find_files, needs_files, read_record, unreadable_file
from datagen.sources._parquet import Parquet, RowGroup
from datagen.sources._turns import AssistantConfig, Origin, Said, Written, beginning, plain_id, slug

ORIGIN = Origin(source="voiceassistant", licence="Apache-2.0")
HOME = Home(
    wanted=re.compile(r"\.parquet$"),
    what="VoiceAssistant-400K files (.parquet)",
    remedy=(
        "text without the 219 GB of audio: python -c \"from datasets import load_dataset as l; l('gpt-omni/"
        "VoiceAssistant-400K', split='train', streaming=True, columns=['split_name', 'index', 'round', 'question', "
        "'answer']).to_parquet('voiceassistant.parquet')\""
    ),
)
KEYS = ("split_name", "index", "round")
TEXTS = ("split_name", "index", "question", "answer")

GROUPS_KEPT = 4
"""Row groups whose texts are held: 100 rows each as published, about 100 kB."""
READERS = 16
"""Files whose keys are read at the same time; over a network they are waited for, not computed."""


class Config(AssistantConfig):
    """See AssistantConfig."""

    kind: Literal["voiceassistant"]
    skip: tuple[str, ...] = ("identity",)
    """Sets (``split_name``) that are not read. Those of ``identity`` teach a model to be called Omni."""


def make(config: Config) -> Source:
    """The conversations of the files; ValueError when there are no files."""
    found = _Conversations(config, find_files(config.path, HOME.wanted, HOME.what))
    return FileSource(found.chunks, found.load, found.scan)


def needs(config: Config) -> Iterator[Need]:
    """The corpus's files."""
    return needs_files(config, HOME)


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (ORIGIN.licence,)


class _Chunk(NamedTuple):
    """Conversations ``start`` to ``stop``, whose first rows are in one row group; or what a file is instead."""

    start: int
    stop: int
    broken: Placed | None = None


class _Keys(NamedTuple):
    """A file's row groups, and the conversation (None: not to be read) and round of each of its rows."""

    groups: Sequence[RowGroup]
    names: Sequence[str | None]
    rounds: Sequence[int]
    broken: Placed | None = None


class _Index(NamedTuple):
    """Where every conversation's rows are. Rows are numbered through all files; numbers only, as there are 470,054."""

    groups: Sequence[RowGroup]
    starts: Sequence[int]
    """The first row of each row group."""
    rows: array[int]
    """Those of the first conversation in order of their rounds, those of the second, ..."""
    rounds: array[int]
    bounds: array[int]
    """Where in ``rows`` each conversation begins, and where the last one ends."""
    chunks: Sequence[_Chunk]

    def place(self, row: int) -> tuple[int, int]:
        """The row group of a row, and the row in it."""
        group = bisect_right(self.starts, row) - 1
        return group, row - self.starts[group]


class _Conversations:
    """The conversations of all files. The index is made once per process, when it is first needed."""

    def __init__(self, config: Config, files: Sequence[File]) -> None:
        self._config = config
        self._files = files
        self._texts = lru_cache(maxsize=GROUPS_KEPT)(self._read)

    @cached_property
    def _index(self) -> _Index:
        return _indexed(self._files, frozenset(self._config.skip))

    def chunks(self) -> Sequence[_Chunk]:
        """One per row group, and one per file that cannot be used."""
        return self._index.chunks

    def scan(self, chunk: _Chunk) -> Sequence[tuple[str | None, str]]:
        """As many as there are. Conversations are told apart by their ids, so no id can come twice."""
        return [(None, "")] * (1 if chunk.broken else chunk.stop - chunk.start)

    def load(self, chunk: _Chunk) -> Sequence[Placed]:
        """The conversations of a chunk."""
        if chunk.broken:
            return [chunk.broken]
        return [placed for number in range(chunk.start, chunk.stop) for placed in self._conversation(number)]

    def _read(self, group: int) -> list[tuple[str | None, ...]]:
        table = self._index.groups[group].read(TEXTS)
        return list(zip(*(table.column(name).to_pylist() for name in TEXTS), strict=True))

    def _conversation(self, number: int) -> list[Placed]:
        index = self._index
        part = slice(index.bounds[number], index.bounds[number + 1])
        rows, rounds = index.rows[part], index.rounds[part]
        group, row = index.place(min(rows))
        split, name, *_ = self._texts(group)[row]
        parquet, _, first = index.groups[group]
        where = f"{parquet.file.name} row {first + row + 1}"
        return read_record(partial(self._dialogue, rows, rounds), where, _name(split, name))

    def _dialogue(self, rows: Sequence[int], rounds: Sequence[int]) -> list[Dialogue]:
        turns: list[Said] = []
        split = name = None
        for row in rows[: _together(rounds)]:
            group, at = self._index.place(row)
            split, name, question, answer = self._texts(group)[at]
            if not question or not answer:
                raise ValueError(f"the {'answer' if question else 'question'} is missing")
            turns.append(("user", question))
            turns.append(("assistant", answer))
        return [beginning(Written(_name(split, name), slug(split or ""), turns), self._config, ORIGIN)]


def _indexed(files: Sequence[File], skip: frozenset[str]) -> _Index:
    """The conversations in the order of their first rows."""
    groups: list[RowGroup] = []
    starts: list[int] = []
    firsts: list[int] = []
    broken: list[_Chunk] = []
    found: dict[str, list[tuple[int, int]]] = {}
    end = 0
    with ThreadPoolExecutor(READERS) as pool:
        for keys in pool.map(partial(_keys, skip), files):
            if keys.broken:
                broken.append(_Chunk(0, 0, keys.broken))
            groups += keys.groups
            starts += [end + group.first for group in keys.groups]
            for row, (name, number) in enumerate(zip(keys.names, keys.rounds, strict=True), end):
                if name is not None and name not in found:
                    firsts.append(row)
                    found[name] = []
                if name is not None:
                    found[name].append((number, row))
            end += len(keys.names)
    ordered = [sorted(rows) for rows in found.values()]
    bounds = array("q", accumulate(map(len, ordered), initial=0))
    edges = [bisect_left(firsts, start) for start in [*starts, end]]
    chunks = [_Chunk(a, b) for a, b in pairwise(edges) if b > a]
    rounds, rows = (array("q", (pair[k] for rows in ordered for pair in rows)) for k in (0, 1))
    return _Index(groups, starts, rows, rounds, bounds, chunks + broken)


def _keys(skip: frozenset[str], file: File) -> _Keys:
    try:
        parquet = Parquet.open(file, (*KEYS, *TEXTS))
        table = parquet.read(KEYS)
    except ValueError as error:
        return _Keys((), (), (), unreadable_file(file, error))
    splits, indices, rounds = (table.column(name).to_pylist() for name in KEYS)
    names = [None if split in skip else _name(split, name) for split, name in zip(splits, indices, strict=True)]
    return _Keys(parquet.groups(), names, [_round(number) for number in rounds])


def _name(split: str | None, index: str | None) -> str:
    """The id of a conversation: ``index`` alone is used again in every set."""
    return plain_id(f"va-{split}-{index}")


def _round(written: str | int | None) -> int:
    """The number of a round; -1 for what is none."""
    text = str(written or "None")
    return 0 if text == "None" else int(text) if text.isdecimal() else -1


def _together(rounds: Sequence[int]) -> int:
    """How many rounds, given in order, follow each other from the first; ValueError where nothing can be made of them.

    A set that counts from 1 is fine, too.
    """
    if rounds[0] not in (0, 1):
        raise ValueError(f"round 0 is missing, the first is {rounds[0]}" if rounds[0] > 0 else "a round is no number")
    if twice := [a for a, b in pairwise(rounds) if a == b]:
        raise ValueError(f"round {twice[0]} is there twice")
    return sum(number == rounds[0] + position for position, number in enumerate(rounds))
