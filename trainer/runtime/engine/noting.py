"""What the user has said, read from the main stream itself: a model that was taught to keep notes (``Schedule.notes``,
``trainer.stages.wording``) has the words that end in a tick in its hidden state, so a transcript is one product.

Shape suffixes: K ticks, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor

SECOND = 0.25
"""From this probability on a tick's second token is written too. Two that end in one tick share it evenly."""


def written(logits_KV: Tensor, controls: Collection[int], spell: Callable[[int], str]) -> list[int]:
    """The tokens of some ticks in order.

    Args:
        logits_KV: of the words that end in each tick.
        controls: tokens that are no words.
        spell: a token's text, with the space before it where it begins a word.

    Of two tokens of one tick the order is not told: the rest of a word that the tick before has begun comes first. A
    token that the tick before has too is one that ends between them, and written once.
    """
    top = logits_KV.softmax(-1).topk(2)
    found: list[int] = []
    before: list[int] = []
    for (one, two), (_, less) in zip(top.indices.tolist(), top.values.tolist(), strict=True):
        new = [token for token in ((one, two) if less >= SECOND else (one,)) if token not in controls]
        new = [token for token in new if not any(_key(spell(token)) == _key(spell(old)) for old in before)]
        if len(new) == 2 and _begins(spell(new[0])) == bool(before) and _begins(spell(new[1])) != bool(before):
            new.reverse()
        found += new
        before = new
    return found


def _begins(piece: str) -> bool:
    return piece.startswith(" ")


def _key(piece: str) -> str:
    return piece.strip().casefold()
