"""Make written text speakable: one line of words a reader can say aloud and a listener could write down again.

``speakable`` repairs what is only writing (markup, lists, links with words, emoji, curly quotes, lone punctuation) and
refuses what has no spoken form (addresses, code, formulas, tables, encoded strings). It never swaps one word for
another; a language's own spellings come in as pairs.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable

from datagen.core._layout import RULE, sentences

_NUMERAL = r"[0-9]{1,6}(?:[.,:][0-9]{1,6})+"
_WORD = r"[A-Za-z0-9]{1,15}(?:['-][A-Za-z0-9]{1,15}){0,3}"
_TOKEN = rf"[$\"(]?(?:{_NUMERAL}|{_WORD})%?[\")]?(?:[,!?]|\.(?:\.\.)?)?\"?"
_NOTHING_TO_DO = re.compile(rf"(?>{_TOKEN})(?: (?>{_TOKEN}))*+")
"""Most written turns: plain words, each ending as a word should and none too long to be one. Every step below leaves
them as they are. Atomic, because a closing quote can match in two places and must not be tried in both."""

_SPACES = re.compile(" +")

_MAX_PASSES = 12
"""One pass changes ordinary text, the second finds nothing more to do; nested entities take one each."""

Refusals = tuple[tuple[str, re.Pattern[str]], ...]

_ADDRESS = r"(?:(?:https?|ftp|file)://|www\.|mailto:)"
_TARGET = rf"\(\s*<?(?:{_ADDRESS}|[/#.])[^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*>?(?:\s+\"[^\"\n]*\")?\s*\)"
_LINK_LINE = rf"[^\S\n]*(?:[-*•+]|\d{{1,2}}[.)])?[^\S\n]*(?:\[[^\]\n]*\]{_TARGET}|<?{_ADDRESS}[^\s<>]+>?)[^\S\n]*"

_REFUSED_AS_WRITTEN: Refusals = (
    ("a list of links", re.compile(rf"^{_LINK_LINE}\n+{_LINK_LINE}$", re.I | re.M)),
    ("a picture", re.compile(rf"!\[[^\]\n]*\]{_TARGET}|\bdata:image/", re.I)),
)
"""Refused before links are reduced to their words."""

_STATEMENT = (
    r"^[^\S\n]*(?:(?:import [\w.]+|from [\w.]+ import .+)\n|(?:class \w+(?:\(.*\))?:|def \w+\(.*|.*;[^\S\n]*//.*)$)"
    r"|\w\([^()\n]*\);\s*$|\b(?:print|printf|println|console\.log|System\.out)\(|#include\s?[<\"]|\b[A-Z]:\\\w"
)
_MATHS = (
    r"(?<!\$)\$\$(?=[^$\s])[^$]*[^$\s]\$\$(?!\$)|^[^\S\n]*\$\$[^\S\n]*$|\\[(\[]"
    r"|\$(?=\S)[^$\n]*[\\^_][^$\n]*(?<=\S)\$(?!\d)|[^\W_]\)?\^[\w({+-]"
    r"|\\(?:d?frac|sqrt|sum|prod|int|lim|cdot|times|div|pm|leq|geq|neq|approx|infty|begin|text|mathbb|alpha|beta|pi)\b"
    r"|[∀∂∃∅∆∇∈∉∏∑√∛∝∞∠∧∨∩∪∫∮∴∵≅≈≠≡≤≥⊂⊃⊆⊇⊕⊗←-⇿]"
)
_REFUSED: Refusals = (
    ("a web address", re.compile(r"\b(?:https?|ftp|file)://|\bwww\.\w", re.I)),
    (
        "a table",
        re.compile(r"<table\b|\|[^|\n]*\||^[^\t\n]*\S\t\S.*\n.*\S\t\S|^[^\S\n]*:?-{3,}:?[^\S\n]*\|", re.I | re.M),
    ),
    ("code", re.compile(r"```|~~~|<(?:pre|code|script|style)\b|<!DOCTYPE\b|<\?\w|&&|\|\||\w\(\)", re.I)),
    ("code", re.compile(_STATEMENT, re.M)),
    ("a formula", re.compile(_MATHS, re.M)),
    ("code", re.compile(r"[{}]|==|=>|->|::")),
    ("an encoded string", re.compile(r"(?<![\w+/])(?=[A-Za-z+/]*\d)(?=[\d+/]*[A-Za-z])[A-Za-z0-9+/]{24,}")),
    ("an encoded string", re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I)),
    ("a number nobody says", re.compile(r"\d{16,}|\d[.,]\d{7,}")),
    ("damaged characters", re.compile("\ufffd")),
)
"""The first that is found is the reason. 15 digits are the longest telephone number (E.164)."""
_INLINE_CODE = re.compile(r"`[^`\n]*[()\[\]=<>;_/\\$][^`\n]*`")

_LINKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=[^\s\[(（])(?:\[\d{1,3}(?:[,-]\s?\d{1,3})*\])+"), ""),
    (re.compile(rf"\[([^\[\]\n]+)\](?:{_TARGET}|\[\])", re.I), r"\1"),
    (re.compile(rf"(?<!\s)\s*[(（]\s*<?{_ADDRESS}[^\s()<>（）]+>?\s*[)）]", re.I), ""),
    (re.compile(r"<a\s[^<>]*>([^<>]*)</a\s*>", re.I), r"\1"),
)
"""A link is its words; an address in parentheses and the number of a source behind a word are not said."""

_PLAIN = str.maketrans(
    dict.fromkeys("‘’‚‛′´ʼ＇", "'")
    | dict.fromkeys("“”„‟″«»＂", '"')
    | dict.fromkeys("‐‑‒–−﹣－", "-")
    | dict.fromkeys("—―⸺⸻", "--")
    | {"…": "..."}
)
_NAMELESS = "©®™℠"
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ATTRIBUTE = r"\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s<>\"']+)"
_TAG = re.compile(rf"<!--.*?-->|</?[A-Za-z][\w:.-]*(?:{_ATTRIBUTE})*\s*/?>", re.S)
"""Tags with a name and written-out attributes only, so that "x<y and y>z" stays what it is."""
_BREAKS = re.compile(r"<(?:(br)|(li)|/?(?:p|div|h[1-6]|ul|ol|li|tr|section|article|blockquote))\b[^<>]*>", re.I)
"""Tags that end a line, begin a list item, or part paragraphs."""

Step = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _sentence_dot(match: re.Match[str]) -> str:
    """A dot glued between two words gets its space; one inside an abbreviation or a domain name is left alone."""
    text, dot = match.string, match.start()
    before, after = text[max(dot - 2, 0) : dot], text[dot + 1 : dot + 3]
    ends_word = len(before) == 2 and (before[1] in '")' or (before.isalpha() and before[1].islower()))
    starts_word = after[:1].isupper() and (after[1:].islower() or after in ("I ", "I'", "A "))
    return ". " if ends_word and starts_word else "."


_WRITING: tuple[Step, ...] = (
    (re.compile(r"\\[nrt](?=\s|$)"), " "),
    # Emoticons stand alone or follow a sentence; "8:30" and "a:b" have neither side free.
    (re.compile(r"(?:(?<!\S)|(?<=[.!?]))(?:[:;]['-]?[()DPpOo0|/\\\]\[]|[(\[]['-]?[:;]|<3)+(?=[\s.!?,]|$)"), " "),
    (re.compile(r"(?<!\S):[a-z][a-z0-9_+-]*:(?=[\s.!?,]|$)"), " "),
    (re.compile(r"``|''"), '"'),
    (re.compile(r"(?<=[^\W\d_])`(?=[^\W\d_])"), "'"),
    (re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)"), "×"),
    (re.compile(r"(?<=[^\W_])_+(?=[^\W_])"), " "),
    (re.compile(r"[*_`^|\\\[\]]|~(?!\d)"), ""),
    (re.compile(r"(\w\s?[<>]\s?(?=\w))|[<>]"), lambda m: m[1] or " "),
)
"""Marks of writing that nobody says."""

_DASHES: tuple[Step, ...] = (
    (re.compile(r"(?<=\d)\s+/+\s+(?=\d)"), "/"),
    (re.compile(r"(?<=\d)\s*-+\s+-*(?=\d)|(?<=\d)\s+-+(?=\d)|(?<=\d)--+(?=\d)"), "-"),
    (re.compile(r"(?<=[\w%)\"'])(?:\s+[-/]+\s+|\s*--+\s*)(?=[\w$€£\"'(])"), ", "),
    (re.compile(r"\s+-+(?=\s|$)|(?<!\S)--+"), " "),
    (re.compile(r"--+"), "-"),
)
"""A dash between words is a pause, which a comma says; between numbers it is a range; inside a word it is a hyphen."""

_SPACING: tuple[Step, ...] = (
    (re.compile(r"\s*\.{2,}\s*(?=\w)"), "... "),
    (re.compile(r"\s*\.{2,}"), "..."),
    (re.compile(r"^(?:\.\.\.|[,;:!?.)\s])+(?=\D)"), ""),
    (re.compile(r"([!?])(?=[^\W\d_])"), r"\1 "),
    (re.compile(r"(?<=[^\W\d_]),(?=[^\W\d_])"), ", "),
    (re.compile(r"\.(?=[^\W\d_])"), _sentence_dot),
    (re.compile(r"\s+([,.!?;:]+)(?=\s|$)"), r"\1"),
    (re.compile(r"\s+,(?=[^\W\d_])"), ", "),
    (re.compile(r"\s+\.(?=[A-Z][a-z])"), ". "),
    (re.compile(r"(?<!\S)([$€£¥])\s+(?=\d)"), r"\1"),
    (re.compile(r"(?<=\d)\s+%"), "%"),
)
"""Space where a word ends, none before the mark that ends it."""


class NothingToSay(ValueError):
    """The text has no letter or digit once its markup, pictures and lone punctuation are gone."""


def speakable(text: str, replacements: Iterable[tuple[str, str]] = ()) -> str:
    """The text as one line to be spoken; every whitespace word of it has something to say.

    ``replacements`` are literal pairs (written, spoken), applied in order. Applying ``speakable`` again changes
    nothing, provided no ``spoken`` contains a ``written``.

    Raises ValueError "cannot be spoken: ..." for addresses, code, formulas, tables, encoded strings and damaged text,
    and its subclass NothingToSay for text without any letter or digit.

    >>> speakable("Well…I **did** it&nbsp;—  twice!Really ? 😀")
    'Well... I did it, twice! Really?'
    """
    settled = _settle(text)
    replaced = settled
    for written, spoken in replacements:
        replaced = replaced.replace(written, spoken)
    settled = settled if replaced == settled else _settle(replaced)
    if not any(c.isalnum() for c in settled):
        raise NothingToSay(f"cannot be spoken: no letter or digit in {text[:40]!r}")
    return settled


def _settle(text: str) -> str:
    """Passes until nothing changes, so that a second call has nothing to do."""
    if _NOTHING_TO_DO.fullmatch(spaced := _SPACES.sub(" ", text).strip(" ")):
        return spaced
    for _ in range(_MAX_PASSES):
        after = _once(text)
        if after == text:
            return text
        text = after
    raise ValueError(f"cannot be spoken: too deeply nested markup in {text[:40]!r}")


def _once(text: str) -> str:
    text = _ENTITY.sub(lambda m: html.unescape(m[0]), text).replace("\r\n", "\n").replace("\r", "\n")
    text = RULE.sub("", text)
    _refuse(text, _REFUSED_AS_WRITTEN)
    for pattern, words in _LINKS:
        text = pattern.sub(words, text)
    _refuse(text, _REFUSED)
    text = sentences(_TAG.sub(" ", _BREAKS.sub(_break, text)))
    text = " ".join(_characters(text).split())
    for pattern, replacement in _WRITING:
        text = pattern.sub(replacement, text)
    text = _SPACES.sub(" ", text)
    for pattern, replacement in (*_DASHES, *_SPACING):
        text = pattern.sub(replacement, text)
    return " ".join(_with_words(text.split()))


def _break(tag: re.Match[str]) -> str:
    """A tag of HTML as the lines it makes."""
    return "\n" if tag[1] else "\n- " if tag[2] else "\n\n"


def _refuse(text: str, refusals: Refusals) -> None:
    for what, pattern in refusals:
        if found := pattern.search(text):
            raise ValueError(f"cannot be spoken: {what} at {text[found.start() : found.start() + 30]!r}")
    if found := _INLINE_CODE.search(text):
        raise ValueError(f"cannot be spoken: code at {found[0][:30]!r}")


def _characters(text: str) -> str:
    """NFC, plain quotes and dashes; controls become spaces, invisible signs and pictures vanish."""
    text = unicodedata.normalize("NFC", text).translate(_PLAIN)
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFC", "".join(_character(text, i) for i in range(len(text))))


def _character(text: str, i: int) -> str:
    char = text[i]
    category = unicodedata.category(char)
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    if category == "Cf":
        return char if char in "\u200c\u200d" and _inside_word(text, i) else ""
    if category == "So":
        return _picture(char)
    variation = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    spacing_accent = category == "Sk" and not char.isascii()
    return "" if variation or spacing_accent or category in ("Co", "Cn", "Cs", "Me") else char


def _inside_word(text: str, i: int) -> bool:
    """Joiners are spelling in Persian and the Indic scripts, but only between letters or their marks."""
    if i == 0 or i + 1 == len(text):
        return False
    return all(unicodedata.category(text[j])[0] in "LM" for j in (i - 1, i + 1))


def _picture(char: str) -> str:
    """A symbol made of letters (a squared kg, a degree Celsius) is spelt out; the degree sign stays; pictures go."""
    spelt = unicodedata.normalize("NFKC", char)
    if char == "°" or (spelt != char and char not in _NAMELESS and spelt.isprintable()):
        return spelt
    return ""


def _says(token: str) -> bool:
    return any(c.isalnum() or c in "&+=%@<>±×÷" or unicodedata.category(c) == "Sc" for c in token)


def _with_words(tokens: list[str]) -> list[str]:
    """Tokens without anything to say join a neighbour (a lone ! the word before, a lone ¿ the word after) or go."""
    words: list[str] = []
    opening = ""
    for token in tokens:
        if _says(token):
            words.append(opening + token)
            opening = ""
        elif token[-1] in "(¿¡":
            opening = token[-1]
        elif words and token[0] in ".,!?;:)" and words[-1][-1].isalnum():
            words[-1] += token if token == "..." else token[0]
    return words
