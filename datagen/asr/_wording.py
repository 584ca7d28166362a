"""Words as they can be compared: what was to be said, what a recogniser wrote down, and what a prompt says.

Number words become digits, not the other way round: a figure has many readings ("1999" is a year, an amount or four
digits), a reading has one figure. They come from ``text2num``, which knows eight European languages; in others figures
and number words stay apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import groupby

from datagen.asr._needs import load
from datagen.core.acceptance import UNSPACED

Replacements = tuple[tuple[re.Pattern[str], str], ...]

_HESITATIONS: Replacements = tuple(
    (re.compile(rf"\b(?:{written})\b"), f" {plain} ")
    for written, plain in (
        (r"m+[\s-]*h+m+", "mmhmm"),
        (r"u+h+[\s-]*h+u+h+", "uhhuh"),
        (r"a+h?[\s-]*h+a+h?", "aha"),
        (r"h+m+", "hmm"),
        (r"m{2,}", "mm"),
        (r"u+h*m+", "um"),
        (r"u+h+", "uh"),
    )
)
"""Signs of listening and hesitation: every recogniser has spellings of its own."""

_AMOUNT = r"\s?(\d[\d.,]*)"
_SPELLINGS: Mapping[str, Replacements] = {
    "en": (
        (re.compile(r"\$" + _AMOUNT), r"\1 dollars "),
        (re.compile("€" + _AMOUNT), r"\1 euros "),
        (re.compile("£" + _AMOUNT), r"\1 pounds "),
        (re.compile(r"%|\bper cent\b"), " percent "),
        (re.compile(r"\ba (?=(?:hundred|thousand|million|billion)\b)"), "one "),
        (re.compile(r"\bo'clock\b"), " "),
    ),
    "es": (
        (re.compile("€" + _AMOUNT + "|(?<=\\d)\\s?€"), r"\1 euros "),
        (re.compile(r"\$" + _AMOUNT), r"\1 dólares "),
        (re.compile(r"%|\bpor ciento\b"), " porciento "),
    ),
}
"""What figures are written with and recognisers may spell out."""

_APOSTROPHES = str.maketrans(dict.fromkeys("‘’ʼ´`", "'"))
_ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_FULL_HOUR = re.compile(r"(?<=\d):00\b")
_PART = re.compile(rf"[{UNSPACED}]|\d+|[^\d\s{UNSPACED}]+")
_ORDINAL = re.compile(r"(?<=\d)(?:[ºª]|(?:st|nd|rd|th|[oae]|ère?|er|ème|te|ter)\b)")
"""1st, 2nd, 1º (an o once its writing is plain), 1er, 1ère."""


def normal_words(text: str, language: str) -> list[str]:
    """The words of a text without case, punctuation and the ways of writing numbers; characters of scripts without
    spaces one by one. Contractions stay, hyphenated words are parted.

    ``language`` is a code such as ``en`` or ``en-GB``. ValueError when the package for number words is missing.

    >>> normal_words("On May 3rd -- it's $1,999 for Twenty-five!", "en")
    ['on', 'may', '3', "it's", '1999', 'dollars', 'for', '25']
    """
    plain = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold().translate(_APOSTROPHES)
    plain = _FULL_HOUR.sub("", _ABBREVIATION.sub(lambda found: found[0].replace(".", ""), plain))
    code = language.split("-")[0].casefold()
    for pattern, spelling in (*_SPELLINGS.get(code, ()), *_HESITATIONS):
        plain = pattern.sub(spelling, plain)
    figures = _number_words(code)(" ".join(_parts(plain)))
    return [run for is_figure, group in groupby(_parts(figures), str.isdigit) for run in _joined(is_figure, group)]


def _parts(text: str) -> list[str]:
    """Runs of letters with their marks and apostrophes, runs of digits without the endings of ordinals, and characters
    of scripts without spaces."""
    spaced = "".join(c if c.isalnum() or c == "'" or unicodedata.category(c)[0] == "M" else " " for c in text)
    parts = (part.strip("'") for part in _PART.findall(_ORDINAL.sub(" ", spaced)))
    return [part for part in parts if part]


def _joined(is_figure: bool, words: Iterable[str]) -> Iterable[str]:
    """Figures in a row are one: "19 99" sounds like "1999"."""
    return ["".join(words)] if is_figure else words


@lru_cache(maxsize=32)
def _number_words(code: str) -> Callable[[str], str]:
    """What turns number words into figures in a language; in unknown languages it changes nothing."""
    alpha2digit: Callable[..., str] = load("text_to_num", "faster_whisper", "asr").alpha2digit
    try:
        alpha2digit("", code)
    except ValueError:
        return lambda text: text
    return lambda text: alpha2digit(text, code, threshold=0)
