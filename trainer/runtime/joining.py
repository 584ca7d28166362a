"""A prefix that is being said and the answer that goes on from it, as one text: what the answer repeats is said once.
Pure.

    prefix          Sure, I can                              Sure, I can
    answer          I can help you.                          It is nine.
    together        Sure, I can help you.                    Sure, I can It is nine.

Words are whitespace words. Two words are the same where they are so without case and punctuation; marks that stand
alone are no words and break no repetition. Repeated are the longest run of the prefix's last words that the answer
begins with; an answer that starts again from the prefix's first word repeats all of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


def join(prefix: str, whole: str) -> str:
    """The prefix and a whole answer, single spaces between the words.

    >>> join("Sure, I can", "I can help you.")
    'Sure, I can help you.'
    >>> join("Sure - I can", "Sure! I can help you.")
    'Sure - I can help you.'
    >>> join("Of course.", "It is nine.")
    'Of course. It is nine.'
    """
    head, tail = prefix.split(), whole.split()
    return " ".join([*head, *tail[_repeated(head, tail) :]])


@dataclass(frozen=True)
class Joiner:
    """The same while the answer comes, in pieces cut anywhere: what ``push`` and then ``end`` give are, after the
    prefix, the words of ``join``.

    A word is given once it is whole. While the words so far could be the beginning of a repetition they are held: at
    most as many as the prefix has.
    """

    prefix: str
    """Empty once it is known what is repeated."""
    held: tuple[str, ...] = ()
    part: str = ""
    """The beginning of a word."""

    def push(self, piece: str) -> tuple[Joiner, str]:
        """The next joiner, and the whole words that can be said now; often none.

        >>> joiner, said = Joiner("Sure, I can").push(" I c")
        >>> said
        ''
        >>> joiner.push("an help y")[1]
        'help'
        """
        text = self.part + piece
        words = text.split()
        part = words.pop() if text and not text[-1].isspace() else ""
        head, held = self.prefix.split(), (*self.held, *words)
        if _may_repeat_more(head, held):
            return Joiner(self.prefix, held, part), ""
        return Joiner("", (), part), " ".join(held[_repeated(head, held) :])

    def end(self) -> str:
        """The rest, where the answer ends here."""
        tail = [*self.held, *self.part.split()]
        return " ".join(tail[_repeated(self.prefix.split(), tail) :])


def _key(word: str) -> str:
    return "".join(c for c in word.casefold() if not unicodedata.category(c).startswith("P"))


def _keys(words: Sequence[str]) -> list[str]:
    return [key for word in words if (key := _key(word))]


def _repeated(head: Sequence[str], tail: Sequence[str]) -> int:
    """How many items at the tail's beginning repeat the head's end."""
    last = _keys(head)
    first = [(key, stop) for stop, word in enumerate(tail, start=1) if (key := _key(word))]
    for length in range(min(len(last), len(first)), 0, -1):
        if last[-length:] == [key for key, _ in first[:length]]:
            return first[length - 1][1]
    return 0


def _may_repeat_more(head: Sequence[str], tail: Sequence[str]) -> bool:
    """Whether more words after the tail could make a longer repetition: the tail lies in the head, before its end."""
    last, first = _keys(head), _keys(tail)
    return any(last[start : start + len(first)] == first for start in range(len(last) - len(first)))
