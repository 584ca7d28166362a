"""From the turns of a file to dialogues that can be spoken: cleaned, merged, cut to length. No files here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from pydantic import Field, ValidationError

from datagen.core.textnorm import NothingToSay, speakable
from datagen.core.types import Dialogue, Speaker, Turn
from datagen.kinds import KindConfig

Said = tuple[Speaker, str]

_WRITTEN_TOGETHER = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Kana and Chinese characters, written without spaces between words."""

MAX_ID = 100
"""Characters of a record's id; the rest of the 128 is left for suffixes such as -p0."""


class FileConfig(KindConfig):
    """What every source that reads files is told."""

    path: str = Field(min_length=1)
    """A file, a folder (searched with its subfolders) or a glob; any fsspec URL, compressed files included."""
    language: str = Field(min_length=2)
    max_words: int | None = Field(default=None, ge=20)
    """Words of a dialogue, see count_words. A longer one is cut into consecutive dialogues of nearly equal length, each
    starting at a user turn, with ids ending in -p0, -p1, ... None: dialogues stay whole."""
    max_turns: int | None = Field(default=None, ge=3)
    """Turns of a dialogue, cut in the same way."""
    replace: tuple[tuple[str, str], ...] = ()
    """Literal pairs (written, spoken) applied to every turn, such as a language's ``spelling.replace``."""


class CorpusConfig(FileConfig):
    """A published corpus in its own files."""

    language: str = Field(default="en", min_length=2)
    max_words: int | None = Field(default=380, ge=20)
    """See above; 380 words at 150 words per minute and 22 floor changes of 200 ms stay under three minutes."""


class AssistantConfig(CorpusConfig):
    """A corpus of conversations with a language model: many, long, and not all of them speakable.

    One conversation is one dialogue. It ends before the first exchange (a user turn and its answer) that cannot be
    spoken or goes over ``max_words`` or ``max_turns``; it is refused where that is the first one.
    """


def one_line(error: ValueError) -> str:
    """The reason in one line, without pydantic's boilerplate."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    reasons = []
    for one in error.errors(include_url=False)[:3]:
        where = ".".join(map(str, one["loc"]))
        message = "unknown key" if one["type"] == "extra_forbidden" else one["msg"].removeprefix("Value error, ")
        reasons.append(f"{where}: {message}" if where else message)
    return " ".join("; ".join(reasons).split())


def plain_id(text: str) -> str:
    """The text with a hyphen for every character that ids may not have; may be empty."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", text).lstrip(".-")


def clean_id(text: str) -> str:
    """An id of the characters ids may have, others as hyphens; ValueError when nothing or too much is left."""
    plain = plain_id(text)
    if not plain or len(plain) > MAX_ID:
        raise ValueError(f"id {text[:30]!r} has {len(plain)} usable characters; give 1 to {MAX_ID} of A-Z a-z 0-9 . -")
    return plain


def slug(text: str) -> str:
    """A name as a domain: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9+]+", "-", text.lower()).strip("-") or "general"


def spoken(turns: Iterable[Said], replace: Iterable[tuple[str, str]] = ()) -> list[Said]:
    """Speakable turns that alternate: empty ones dropped, consecutive ones of a speaker joined.

    ValueError for a turn that cannot be spoken, or when nothing is left.
    """
    pairs = tuple(replace)
    joined: list[Said] = []
    for speaker, text in turns:
        try:
            line = speakable(text, pairs)
        except NothingToSay:
            continue
        if joined and joined[-1][0] == speaker:
            joined[-1] = (speaker, f"{joined[-1][1]} {line}")
        else:
            joined.append((speaker, line))
    if not joined:
        raise ValueError("no turn has anything to say")
    return joined


def count_words(text: str) -> int:
    """Whitespace words; where a script has no spaces, characters, none of which takes longer to say than a word."""
    if text.isascii() or not (together := len(_WRITTEN_TOGETHER.findall(text))):
        return len(text.split())
    return together + sum(any(map(str.isalnum, word)) for word in _WRITTEN_TOGETHER.sub(" ", text).split())


def cut(turns: Sequence[Said], max_words: int | None, max_turns: int | None) -> list[list[Said]]:
    """Consecutive parts within both limits: as few as possible, then as equal in words as possible.

    Every part but the first starts with a user turn. ValueError when one exchange alone is over a limit.
    """
    starts = [i for i, (speaker, _) in enumerate(turns) if i == 0 or speaker == "user"]
    if len(starts) > 1 and turns[0][0] != "user":
        del starts[1]  # an opening assistant turn stays with the exchange it opens
    ends = [*starts[1:], len(turns)]
    words = [sum(count_words(text) for _, text in turns[a:b]) for a, b in zip(starts, ends, strict=True)]
    sizes = [(w, b - a) for w, a, b in zip(words, starts, ends, strict=True)]
    limit = sum(words) if max_words is None else max_words
    parts = _pack(sizes, limit, max_turns)
    if not parts:
        raise ValueError(
            f"an exchange of {max(words)} words or {max(t for _, t in sizes)} turns is longer than "
            f"max_words {max_words} or max_turns {max_turns} allows and cannot be cut"
        )
    if len(parts) == 1:
        return [list(turns)]
    enough = bisect_left(range(limit), True, key=lambda n: 0 < len(_pack(sizes, n, max_turns)) <= len(parts))
    begins = [starts[i] for i in _pack(sizes, enough, max_turns)]
    return [list(turns[a:b]) for a, b in zip(begins, [*begins[1:], len(turns)], strict=True)]


def _pack(sizes: Sequence[tuple[int, int]], max_words: int, max_turns: int | None) -> list[int]:
    """Where greedy parts begin; empty when a single exchange is over a limit."""
    begins: list[int] = []
    words = turns = 0
    for index, (more_words, more_turns) in enumerate(sizes):
        over = words + more_words > max_words or (max_turns is not None and turns + more_turns > max_turns)
        if over or not begins:
            begins.append(index)
            words = turns = 0
        words, turns = words + more_words, turns + more_turns
        if words > max_words or (max_turns is not None and turns > max_turns):
            return []
    return begins


class Written(NamedTuple):
    """A dialogue as a file has it, before cleaning and cutting."""

    id: str
    domain: str
    turns: Iterable[Said]


class Origin(NamedTuple):
    """What every dialogue of a source carries."""

    source: str
    licence: str


def dialogues(written: Written, config: FileConfig, origin: Origin) -> list[Dialogue]:
    """Cleaned, merged and cut: one dialogue, or several with ids ending in -p0, -p1, ... ValueError if impossible."""
    name = clean_id(written.id)
    parts = cut(spoken(written.turns, config.replace), config.max_words, config.max_turns)
    return [
        Dialogue(
            id=name if len(parts) == 1 else f"{name}-p{index}",
            language=config.language,
            domain=written.domain,
            source=origin.source,
            licence=origin.licence,
            turns=tuple(Turn(speaker=speaker, text=text) for speaker, text in part),
        )
        for index, part in enumerate(parts)
    ]


Check = Callable[[str], None]
"""Raises ValueError for an exchange, its texts joined, that must not be used."""


def beginning(written: Written, config: FileConfig, origin: Origin, check: Check = lambda text: None) -> Dialogue:
    """The conversation as one dialogue, up to the first exchange that will not do; see AssistantConfig.

    Raises ValueError, with the exchange and the reason, where that is the first.
    """
    kept: list[Turn] = []
    words = 0
    for number, exchange in enumerate(_exchanges(written.turns), 1):
        try:
            turns = _exchange(exchange, config, check)
            words += sum(count_words(turn.text) for turn in turns)
            if config.max_words is not None and words > config.max_words:
                raise ValueError(f"{words} words are more than max_words {config.max_words}")
            if config.max_turns is not None and len(kept) + len(turns) > config.max_turns:
                break
        except ValueError as error:
            if not kept:
                raise ValueError(f"exchange {number}: {one_line(error)}") from error
            break
        kept += turns
    if not kept:
        raise ValueError("there is no exchange in it")
    return Dialogue(
        id=clean_id(written.id),
        language=config.language,
        domain=written.domain,
        source=origin.source,
        licence=origin.licence,
        turns=tuple(kept),
    )


def _exchanges(turns: Iterable[Said]) -> Iterator[list[Said]]:
    """A new exchange begins where the user speaks after the assistant."""
    exchange: list[Said] = []
    for speaker, text in turns:
        if exchange and speaker == "user" and exchange[-1][0] == "assistant":
            yield exchange
            exchange = []
        exchange.append((speaker, text))
    if exchange:
        yield exchange


def _exchange(exchange: Sequence[Said], config: FileConfig, check: Check) -> list[Turn]:
    """An exchange as two turns; ValueError unless both sides say something that can be spoken."""
    check(" ".join(text for _, text in exchange))
    said = spoken(exchange, config.replace)
    if [speaker for speaker, _ in said] != ["user", "assistant"]:
        raise ValueError("one side says nothing")
    return [Turn(speaker=speaker, text=text) for speaker, text in said]
