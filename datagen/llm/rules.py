"""The offline annotator: finds places by punctuation and the language file's word lists, no model needed."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from datagen.core.language import Clauses, Language
from datagen.core.types import Dialogue, Place
from datagen.kinds import KindConfig

CLAUSE_END = (",", ";", ":", ".", "!", "?", "…", "。", "，", "、", "？", "！")
QUOTES = "\"')"
"""May stand behind the mark that ends a clause."""


class Config(KindConfig):
    kind: Literal["rules"]


class Rules:
    """Places of a dialogue by rule.

    clause: after punctuation, or before a word that opens a clause unless the word before it cannot end one.
    hesitation: after a word that opens a clause, or before an article or preposition: where a phrase is being planned.
    """

    def places(self, dialogue: Dialogue, language: Language) -> tuple[Place, ...]:
        return tuple(
            Place(turn=number, after_word=index, kind=kind)
            for number, turn in enumerate(dialogue.turns)
            for index, kind in _turn_places(turn.words, language.clauses)
        )


def _turn_places(words: list[str], clauses: Clauses) -> list[tuple[int, Literal["clause", "hesitation"]]]:
    """Word index and kind of each place of a turn, none after the last word."""
    openers, closed = _lowered(clauses.openers), _lowered(clauses.closed)
    found: list[tuple[int, Literal["clause", "hesitation"]]] = []
    for index, (word, after) in enumerate(pairwise(words)):
        here, following = _bare(word), _bare(after)
        ends = word.rstrip(QUOTES).endswith(CLAUSE_END)
        if ends or (following in openers and here not in closed and here not in openers):
            found.append((index, "clause"))
        elif here in openers or (following in closed and here not in closed):
            found.append((index, "hesitation"))
    return found


def _lowered(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(w.casefold() for w in words)


def _bare(word: str) -> str:
    return word.strip("".join(CLAUSE_END) + "¿¡\"'()").casefold()


def make(config: Config) -> Rules:
    return Rules()
