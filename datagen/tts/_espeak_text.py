"""What espeak-ng is given to read, and which of its events belongs to which whitespace word. Pure.

espeak-ng guesses at input it does not expect: a NUL ends the text, "<" may open markup, ".." swallows what follows,
stray symbols are read out by name and shift the positions it reports. So it gets letters, digits, plain punctuation
and the few symbols people say, and we remember where each whitespace word went.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from datagen.core.words import Span
from datagen.tts._espeak_library import PHONEME, WORD, Event

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼ´`′", "'"))
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_DASHES = re.compile(r"[–—―]+|--+")
_SPOKEN = frozenset("&@%+=$£€¥°")
"""Symbols that are words when spoken."""
_PAUSES = ".,!?;:"
_KEPT = _SPOKEN | frozenset(_PAUSES + "'-¡¿。、，！？；：،؟؛।")
_REPEATED = re.compile(r"([^\w\s.])\1+")
_DOTS = re.compile(r"\.\.+")
_LONG = re.compile(r"(\w{40})(?=\w)")
"""espeak-ng keeps a word in a buffer of 160 bytes; four are the longest UTF-8 character."""


class Reading(NamedTuple):
    """What is read, and where each word that is read lies in it."""

    text: str
    indices: tuple[int, ...]
    """Which whitespace words are read."""
    ends: tuple[int, ...]
    """The first character after each of them."""

    def word_at(self, position: int) -> int:
        """The whitespace word at a character; a space counts as part of the next word."""
        return self.indices[min(bisect_right(self.ends, position), len(self.indices) - 1)]


def prepare(words: Sequence[str]) -> Reading:
    """The text espeak-ng reads for whitespace words; ``Reading.text`` is empty when nothing can be said.

    A word without anything to say ("-", "***") leaves a pause after the word before it, or nothing.

    >>> prepare(["Yeah..", "<b>“right”</b>", "–", "***", "no"]).text
    'Yeah... right, no'
    """
    parts: list[str] = []
    indices: list[int] = []
    for index, word in enumerate(words):
        cleaned = _cleaned(word)
        if any(c.isalnum() or c in _SPOKEN for c in cleaned):
            parts.append(cleaned)
            indices.append(index)
        elif parts and parts[-1][-1] not in _PAUSES:
            parts[-1] += cleaned.replace("-", ",").strip("'")
    ends = accumulate((len(part) + 1 for part in parts), initial=-1)
    return Reading(" ".join(parts), tuple(indices), tuple(ends)[1:])


@lru_cache(maxsize=20_000)
def _cleaned(word: str) -> str:
    """A whitespace word as espeak-ng should see it; it may become several words, or none."""
    word = unicodedata.normalize("NFC", word).translate(_APOSTROPHES)
    word = _DASHES.sub(", ", _TAG.sub(" ", word).replace("…", "..."))
    word = "".join(map(_character, word))
    word = _LONG.sub(r"\1 ", _DOTS.sub("...", _REPEATED.sub(r"\1", word)))
    return " ".join(part for part in (part.strip("'") for part in word.split()) if part)


def _character(character: str) -> str:
    """A character, its plain form, or a space for what is not read."""
    kind = unicodedata.category(character)
    if character in _KEPT or kind in ("Mn", "Mc", "No"):
        return character
    return unicodedata.normalize("NFKC", character) if kind[0] in "LN" else " "


def word_spans(reading: Reading, events: Iterable[Event], end: int) -> dict[int, Span]:
    """Native ``[start, end)`` samples of the words that have an event of their own; ``end``: number of samples.

    A word lasts until the next one or until the pause before it. Words that espeak-ng runs together ("in the") have
    one event, and numbers have several whose positions may lie: an event that does not lead on to a later word is
    part of the word before.
    """
    spans: dict[int, Span] = {}
    current, start = -1, 0
    silent_from: int | None = None
    for event in events:
        if event.kind == WORD:
            index = reading.word_at(event.position)
            if index > current:
                _close(spans, current, start, event.sample if silent_from is None else silent_from)
                current, start, silent_from = index, event.sample, None
        elif _is_pause(event):
            silent_from = event.sample if silent_from is None else silent_from
        elif not event.name.startswith(b"("):
            silent_from = None
    _close(spans, current, start, end if silent_from is None else silent_from)
    return spans


def heard_span(events: Iterable[Event], end: int) -> Span | None:
    """Native ``[start, end)`` from the first to the last phoneme that sounds; None when none does."""
    start, stop, silent = None, end, True
    for event in events:
        if event.kind != PHONEME or event.name.startswith(b"("):
            continue
        if _is_pause(event) and not silent:
            stop = event.sample
        elif not _is_pause(event):
            start = event.sample if start is None else start
            stop = end
        silent = _is_pause(event)
    return None if start is None or stop <= start else (start, stop)


def _is_pause(event: Event) -> bool:
    """Whether an event is a silent phoneme."""
    return event.kind == PHONEME and (not event.name or event.name.startswith(b"_"))


def _close(spans: dict[int, Span], index: int, start: int, end: int) -> None:
    """Record a word, unless it got no time of its own."""
    if index >= 0 and end > start:
        spans[index] = (start, end)
