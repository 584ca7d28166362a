"""Make written text speakable: one line of words a reader can say aloud and a listener could write down again.

``speakable`` repairs what is only writing (markup, emoji, curly quotes, lone punctuation) and refuses what has no
spoken form (addresses, code, tables). It never swaps one word for another; a language's own spellings come in as pairs.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable

_TOKEN = r"[$\"(]?(?:[0-9]+(?:[.,:][0-9]+)+|[A-Za-z0-9]+(?:['-][A-Za-z0-9]+)*)%?[\")]?(?:[,!?]|\.(?:\.\.)?)?\"?"
_NOTHING_TO_DO = re.compile(rf"(?>{_TOKEN})(?: (?>{_TOKEN}))*+")
"""Most written turns: plain words, each ending as a word should. Every step below leaves them as they are. Atomic,
because a closing quote can match in two places and must not be tried in both."""

_SPACES = re.compile(" +")

_MAX_PASSES = 12
"""One pass changes ordinary text, the second finds nothing more to do; nested entities take one each."""

_REFUSED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a web address", re.compile(r"\b(?:https?|ftp|file)://|\bwww\.\w", re.I)),
    ("code", re.compile(r"```|<(?:pre|code|script|style)\b|[{}]|==|=>|->|&&|\|\||::|\w\(\)", re.I)),
    ("a table", re.compile(r"<table\b|\|[^|\n]*\||^[^\t\n]*\S\t\S.*\n.*\S\t\S", re.I | re.M)),
    ("damaged characters", re.compile("\ufffd")),
)
_INLINE_CODE = re.compile(r"`[^`\n]*[()\[\]=<>;_/\\$][^`\n]*`")

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
_LINE_START = re.compile(r"^[^\S\n]*(?:#{1,6}[^\S\n]+|>+[^\S\n]*|[-*•·‣▪–][^\S\n]+)+", re.M)

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

    Raises ValueError "cannot be spoken: ..." for addresses, code, tables and damaged text, and its subclass
    NothingToSay for text without any letter or digit.

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
    text = _ENTITY.sub(lambda m: html.unescape(m[0]), text)
    _refuse(text)
    text = _LINE_START.sub("", _TAG.sub(" ", text))
    text = " ".join(_characters(text).split())
    for pattern, replacement in (*_WRITING, *_DASHES, *_SPACING):
        text = pattern.sub(replacement, text)
    return " ".join(_with_words(text.split()))


def _refuse(text: str) -> None:
    for what, pattern in _REFUSED:
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
