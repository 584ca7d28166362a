"""The turns of users that a grammar can make, and which of them says most nearly what was heard."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from datagen.core.types import Dialogue, Turn


class Known(NamedTuple):
    """A user's turn in its conversation."""

    turns: tuple[Turn, ...]
    """All up to the user's turn, which is the last."""
    likeness: float
    """To what was heard: 1 = the same words, 0 = none."""


class Nearest:
    """Finds turns by the words they share. A rare word counts more than a common one, by the logarithm of how seldom it
    is said; what was heard wrong shares nothing and costs little."""

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self._turns: dict[frozenset[str], tuple[Turn, ...]] = {}
        for dialogue in dialogues:
            for number, turn in enumerate(dialogue.turns):
                if turn.speaker == "user":
                    self._turns.setdefault(_words(turn.text), dialogue.turns[: number + 1])
        often = Counter(word for words in self._turns for word in words)
        self._weight = {word: math.log(1 + len(self._turns) / count) for word, count in often.items()}
        self._unknown = math.log(1 + len(self._turns)) / 2
        """Weight of a word that no turn holds: half of the rarest one's, for it may have been heard wrong."""
        self._having: dict[str, list[frozenset[str]]] = defaultdict(list)
        for words in self._turns:
            for word in words:
                self._having[word].append(words)

    def find(self, text: str, limit: int) -> list[Known]:
        """The most like turns, best first; of equals, the first one made."""
        heard = _words(text)
        shared: dict[frozenset[str], float] = defaultdict(float)
        for word in sorted(heard):
            for words in self._having.get(word, ()):
                shared[words] += self._weight[word]
        whole = self._sum(heard)
        order = {words: n for n, words in enumerate(self._turns)} if shared else {}
        alike = {words: weight / math.sqrt(whole * self._sum(words)) for words, weight in shared.items()}
        best = sorted(alike, key=lambda words: (-alike[words], order[words]))[:limit]
        return [Known(self._turns[words], alike[words]) for words in best]

    def _sum(self, words: frozenset[str]) -> float:
        return sum(self._weight.get(word, self._unknown) for word in sorted(words))


def _words(text: str) -> frozenset[str]:
    return frozenset(spelled(word) for word in re.split(r"[\s-]+", text)) - {""}


def spelled(word: str) -> str:
    """A word without case and punctuation.

    >>> spelled("It's,")
    'its'
    """
    return "".join(c for c in word.casefold() if c.isalnum())


def rest_after(prefix: str, whole: str) -> list[str]:
    """The words of ``whole`` that follow those of ``prefix``, with which it begins up to case, punctuation, hyphens and
    hesitations of either.

    >>> rest_after("um sure, twenty five", "Sure, twenty-five it is.")
    ['it', 'is.']
    """
    words, target = whole.split(), "".join(map(spelled, prefix.split()))
    said = [""]
    for word in words[: 2 * len(prefix.split()) + 2]:
        said.append(said[-1] + spelled(word))
    return words[max(range(len(said)), key=lambda count: SequenceMatcher(None, target, said[count], False).ratio()) :]
