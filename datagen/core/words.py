"""Times for every whitespace word where an engine or an aligner gave only some of them, or none.

All times are integer samples at 16 kHz. Every function returns one ``Word`` per whitespace word, in order, starts and
ends rising and no two words overlapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

from datagen.core.types import Word
from datagen.core.units import SAMPLE_RATE, from_ms

Span = tuple[int, int]

MIN_LETTER_MS = 40
"""A gap holds unknown words only if it leaves each letter this much: half of what a letter takes at the 175 words per
minute and 4.3 letters a word of ordinary English speech."""


def letters(word: str) -> int:
    """How many letters and digits a word has: its share of a stretch of speech. Punctuation takes no time."""
    return sum(map(str.isalnum, word))


def share(words: Sequence[str], start: int, end: int) -> list[Span]:
    """Cut ``[start, end)`` into one interval per word, as long as its letters; equal parts where no word has any.

    >>> share(["to", "-", "know"], 0, 60)
    [(0, 20), (20, 20), (20, 60)]
    """
    weights = [letters(word) for word in words]
    if not any(weights):
        weights = [1] * len(words)
    total = sum(weights) or 1
    borders = [start + (end - start) * done // total for done in accumulate(weights, initial=0)]
    return list(pairwise(borders))


def fill_word_times(
    text_words: Sequence[str],
    known: Mapping[int, Span],
    start: int,
    end: int,
    *,
    gaps_are_silent: bool = False,
) -> tuple[Word, ...]:
    """One Word per item of ``text_words``, unknown times filled in by letter count and marked ``estimated``.

    ``known`` maps a word's index to its ``[start, end)``; intervals lie in ``[start, end)`` and rise with the index.
    A run of unknown words takes the gap its neighbours leave. Where the gap is too short for its letters, the run was
    spoken together with the word before it (at the beginning: after it): they share that word's interval, and all of
    them are estimated. With ``gaps_are_silent`` a gap is never taken: for engines that time everything they say, whose
    known intervals last until the next known word or pause.

    Raises ValueError when an index is not a word's or the known intervals do not rise inside ``[start, end)``.
    """
    _check(len(text_words), known, start, end)
    words: list[Word] = []
    for first, stop, left, right in _stretches(text_words, known, start, end, gaps_are_silent):
        if stop - first == 1:  # nearly always
            words.append(Word(text=text_words[first], start=left, end=right, estimated=first not in known))
            continue
        group = text_words[first:stop]
        together = sum(letters(word) > 0 for word in group) > 1
        words += (
            Word(text=word, start=a, end=b, estimated=together or known.get(first + offset) != (a, b))
            for offset, (word, (a, b)) in enumerate(zip(group, share(group, left, right), strict=True))
        )
    return tuple(words)


def estimate_words(text: str, words_per_minute: float) -> tuple[Word, ...]:
    """Times for a text nobody has spoken yet: at the given rate on the whole, each word as long as its letters."""
    if not 0 < words_per_minute < float("inf"):
        raise ValueError(f"words_per_minute is {words_per_minute}; give a positive number such as 160")
    words = text.split()
    return fill_word_times(words, {}, 0, round(len(words) * 60 * SAMPLE_RATE / words_per_minute))


def _check(count: int, known: Mapping[int, Span], start: int, end: int) -> None:
    """Raise ValueError unless the known intervals belong to words and rise inside ``[start, end)``."""
    if unknown := sorted(index for index in known if not 0 <= index < count):
        raise ValueError(f"known names word {unknown[0]}, but the text has {count} words")
    borders = [start, *(time for index in sorted(known) for time in known[index]), end]
    if any(b < a for a, b in pairwise(borders)):
        raise ValueError(f"known word times must rise inside [{start}, {end}), got {dict(sorted(known.items()))}")


def _stretches(
    words: Sequence[str], known: Mapping[int, Span], start: int, end: int, gaps_are_silent: bool
) -> Iterator[tuple[int, int, int, int]]:
    """Groups of words and the interval each group shares: ``(first, stop, left, right)``, in order, all words once."""

    def fits(run: Sequence[str], left: int, right: int) -> bool:
        needed = sum(map(letters, run)) * from_ms(MIN_LETTER_MS)
        return not gaps_are_silent and 0 < needed <= right - left

    anchors = sorted(known)
    if not anchors:
        if words:
            yield 0, len(words), start, end
        return
    first = anchors[0]
    if fits(words[:first], start, known[first][0]):
        yield 0, first, start, known[first][0]
    else:
        first = 0
    for anchor, after in zip(anchors, [*anchors[1:], len(words)], strict=True):
        left, right = known[anchor]
        next_left = known[after][0] if after in known else end
        if fits(words[anchor + 1 : after], right, next_left):
            yield first, anchor + 1, left, right
            yield anchor + 1, after, right, next_left
        else:
            yield first, after, left, right
        first = after
