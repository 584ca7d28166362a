"""Words of a known text found among the words a recogniser heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datagen.asr._needs import load
from datagen.asr._wording import normal_words
from datagen.core.words import Span, share
from datagen.kinds import Heard


def matched(words: Sequence[str], heard: Heard, language: str) -> dict[int, Span]:
    """Index of a whitespace word of the text -> where it was heard; only words heard as they are written.

    Both sides are compared as normal words, in the order that needs the fewest changes. A word of several (a number
    with its currency, a sentence of a script without spaces) is found when its first and its last are. Spans rise.
    """
    levenshtein = load("rapidfuzz.distance", "faster_whisper", "asr").Levenshtein
    said = [(index, unit) for index, word in enumerate(words) for unit in normal_words(word, language)]
    found = list(_timed(heard, language))
    spans: dict[int, Span] = {}
    for step in levenshtein.opcodes([unit for _, unit in said], [unit for unit, _ in found]):
        if step.tag == "equal":
            for at in range(step.src_end - step.src_start):
                spans[step.src_start + at] = found[step.dest_start + at][1]
    return dict(_whole(said, spans))


def _timed(heard: Heard, language: str) -> Iterator[tuple[str, Span]]:
    """The normal words of what was heard; several of one word share its time by their letters."""
    for word, start, end in heard.words:
        units = normal_words(word, language)
        yield from zip(units, share(units, start, end), strict=True)


def _whole(said: Sequence[tuple[int, str]], spans: dict[int, Span]) -> Iterator[tuple[int, Span]]:
    """The words whose first and last unit were found."""
    first_of = {index: at for at, (index, _) in reversed(list(enumerate(said)))}
    last_of = {index: at for at, (index, _) in enumerate(said)}
    for index, first in sorted(first_of.items()):
        if first in spans and last_of[index] in spans:
            yield index, (spans[first][0], spans[last_of[index]][1])
