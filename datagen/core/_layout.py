"""What the lines of a written text say: headings, list items and paragraphs become sentences. No language here."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

RULE = re.compile(r"^[^\S\n]*(?:[-*_=~][^\S\n]*){3,}$", re.M)
"""A line that only draws a line: between sections, or under a title."""

_QUOTED = re.compile(r"[^\S\n]*(?:>\s*)+")
_BULLET = re.compile(
    r"[^\S\n]*(?:(?:#{1,6}|[-*·–])[^\S\n]+|[•‣▪◦●]\s*)+(?:\[[ xX]\][^\S\n]+)?"
    r"|[^\S\n]*\+[^\S\n]+(?:\[[ xX]\][^\S\n]+|(?=[^\W\d_]))"
)
_NUMBER = re.compile(
    r"[^\S\n]*([*_]{0,3})(?:\(?\d{1,2}(?:[.)]{1,2}(?:\s+|(?=[^\s\d.)]))|[、．）]\s*(?=\D))|\d\ufe0f?\u20e3\s*)(?=\S)"
)
"""1. and 1) and (1) and 1、 and the keycap picture, before words; never the 1 of 1.5."""
_LETTER = re.compile(r"\s*[*_]{0,3}\(?[A-Za-z][.)]\s+\S")
_BOLD_LINE = re.compile(r"\s*(\*\*|__)[^*_\n]+\1[:：]?\s*")

_CARRIED = frozenset("\"'`*_~")
"""Marks that may stand after the one that ends a sentence."""
_SAID = frozenset("%‰&@#")
"""Punctuation to Unicode, but words to a reader: a sentence that ends in them has no full stop yet."""
_WRITTEN_TOGETHER = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Kana and Chinese characters, which end a sentence with their own full stop."""


class _Line(NamedTuple):
    text: str
    apart: bool
    """A heading or a list item: a sentence of its own."""


def sentences(text: str) -> str:
    """The lines without the marks that make them headings, items or quotations.

    A line that ends without punctuation gets a full stop where the next one starts something new: after or before a
    heading or an item, or after an empty line. Other line ends are left to be spaces. Numbers in front of lines go
    where at least two lines have one; a text of one line can begin with a number that is said.
    """
    if "\n" not in text:
        return _unmarked(text, numbered=False).text
    raw_lines = text.split("\n")
    numbered = sum(_NUMBER.match(line) is not None for line in raw_lines) > 1
    lines: list[str] = []
    apart_before = gap = False
    for raw in raw_lines:
        line, apart = _unmarked(raw, numbered)
        if not line.strip():
            gap = True
            continue
        goes_on = apart_before and not apart and raw[:2].isspace()
        if lines and (gap or apart or (apart_before and not goes_on)):
            lines[-1] = _stopped(lines[-1])
        lines.append(line)
        apart_before, gap = apart or goes_on, False
    return "\n".join(lines)


def _unmarked(line: str, numbered: bool) -> _Line:
    """The line without its marks, and whether they set it apart."""
    quoted = _QUOTED.match(line)
    text = line[quoted.end() :] if quoted else line
    bullet = _BULLET.match(text)
    text = text[bullet.end() :] if bullet else text
    number = _NUMBER.match(text) if numbered else None
    if number:
        text = number[1] + text[number.end() :]
    apart = bool(bullet or number or _LETTER.match(text) or _BOLD_LINE.fullmatch(text))
    return _Line(text, apart)


def _stopped(line: str) -> str:
    """The line with a full stop, unless it says nothing or already ends in punctuation."""
    for char in reversed(line):
        if char.isalnum() or char in _SAID:
            return line.rstrip() + ("。" if _WRITTEN_TOGETHER.match(char) else ".")
        category = unicodedata.category(char)
        if category.startswith("P") and char not in _CARRIED and category not in ("Pe", "Pf", "Pi"):
            return line
    return line
