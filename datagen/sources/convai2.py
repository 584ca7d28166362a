"""ConvAI2: 9,939 chats between two people, each with a persona, from PersonaChat.

Reads the text files of ParlAI's download (Dinan et al., arXiv:1902.00098; CC BY 4.0 by ParlAI's README), in ParlAI's
format: numbered lines that begin anew at 1 with every episode, an utterance, a tab and the other person's reply; after
two tabs, candidates that are not read.

    1 your persona: i like to remodel homes.
    2 partner's persona: i eat exclusively meat.
    3 hi , how are you doing ?<tab>you must be very fast .<tab><tab>candidate|candidate

The 28 files are versions of two: with the personas of nobody, one or both (``none``, ``self``, ``other``, ``both``),
as given or reworded, with or without candidates. Their chats are the same, so of a folder one version is read. The
personas themselves are not: they are seldom said. In ``train_*`` every chat is there again from the other side, with
``__SILENCE__`` as its first utterance; such episodes are left out, as they are the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from datagen.core.types import Speaker, other
from datagen.kinds import Need, Source
from datagen.sources._files import File, Home, corpus, needs_files
from datagen.sources._turns import CorpusConfig, Origin, Said, Written

ORIGIN = Origin(source="convai2", licence="CC BY 4.0")
_REMEDY = "fetch http://parl.ai/downloads/convai2/convai2_fix_723.tgz and unpack it; its folder is the path"

_NUMBERED = re.compile(r"(\d+) (.*)", re.S)
_PERSONA = re.compile(r"(?:your|partner's) persona:")
_SILENCE = "__SILENCE__"

Version = Literal[
    "none_original",
    "self_original",
    "self_revised",
    "other_original",
    "other_revised",
    "both_original",
    "both_revised",
]


class Config(CorpusConfig):
    """See CorpusConfig."""

    kind: Literal["convai2"]
    version: Version = "none_original"
    """Which of the files of a folder."""
    user: Literal["first", "second"] = "first"
    """Who becomes the user: the one who speaks first, or the other; the one left becomes the assistant."""


class Line(NamedTuple):
    """A line of a ParlAI file: its number in the file, from 1, and its text."""

    number: int
    text: str


def make(config: Config) -> Source:
    """The chats of the files; ValueError when there are none."""
    first: Speaker = "user" if config.user == "first" else "assistant"

    def write(episode: Sequence[Line], file: File) -> Written:
        speakers = (first, other(first))
        turns: list[Said] = [(speakers[n % 2], text) for n, text in enumerate(utterances(episode))]
        return Written(f"convai2-{file.stem}-{episode[0].number:06d}", "chat", turns)

    return corpus(config, _home(config), ORIGIN, _chats, write, _lines)


def needs(config: Config) -> Iterator[Need]:
    """The corpus's files."""
    return needs_files(config, _home(config))


def licences(config: Config) -> tuple[str, ...]:
    """Of every dialogue."""
    return (ORIGIN.licence,)


def _home(config: Config) -> Home:
    wanted = re.compile(rf"^(?:.*/)?(?:train|valid)_{config.version}_no_cands\.txt(\.\w+)?$")
    return Home(wanted, f"ConvAI2 files (train_{config.version}_no_cands.txt)", _REMEDY)


def _lines(file: File) -> list[Line]:
    """Lines with something on them. Bytes that are no UTF-8 make an utterance unspeakable, not the file unreadable."""
    with file.open() as stream:
        text = stream.read().decode("utf-8", errors="replace")
    return [Line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _chats(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The episodes but those that show another one from the other side."""
    if not lines:
        raise ValueError("it is empty")
    for episode in episodes(lines):
        if not any(_SILENCE in line.text.partition("\t")[0] for line in episode):
            yield episode


def episodes(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines that belong together: a new episode begins at the number 1."""
    episode: list[Line] = []
    for line in lines:
        if line.text.startswith("1 ") and episode:
            yield episode
            episode = []
        episode.append(line)
    if episode:
        yield episode


def utterances(episode: Iterable[Line]) -> Iterator[str]:
    """What is said in turn, without personas and candidates; ValueError, with the line, where the numbers go wrong."""
    for expected, line in enumerate(episode, 1):
        numbered = _NUMBERED.fullmatch(line.text)
        if numbered is None or int(numbered[1]) != expected:
            raise ValueError(f"line {line.number}: expected the number {expected}, got {line.text[:30]!r}")
        if _PERSONA.match(numbered[2]):
            continue
        text, _, rest = numbered[2].partition("\t")
        reply = rest.partition("\t")[0]
        yield text.replace("\\n", "\n")
        if reply.strip():
            yield reply.replace("\\n", "\n")
