"""When a control token is emitted: one rule for the evaluation and the live runtime. Pure.

A token fires where its probability over the whole vocabulary reaches its threshold; without thresholds, where it is the
likeliest of all tokens. Of two that fire, the one whose odds are the larger multiple of its threshold's is emitted.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import Field

from datagen.core.types import Strict
from trainer.tokens import ControlTokens

Event = Literal["bos", "stp", "boc"]
EVENTS: tuple[Event, ...] = ("bos", "stp", "boc")
"""The tokens that do something, named as in ``ControlTokens``."""

LEAST, MOST = 0.01, 0.99
"""Bounds of a threshold that is searched for."""


class Seen(NamedTuple):
    """What the model says about the next token."""

    bos: float
    """Probabilities."""
    stp: float
    boc: float
    top: int
    """The likeliest token."""
    text: int
    """The likeliest of text and [EOS]."""


class Thresholds(Strict):
    """The least probability of each token that is emitted."""

    bos: float = Field(gt=0, le=1)
    stp: float = Field(gt=0, le=1)
    boc: float = Field(gt=0, le=1)

    def moved(self, logits: float) -> Thresholds:
        """All of them so much stricter, in logits; between 0.01 and 0.99."""
        return Thresholds(**{kind: _moved(getattr(self, kind), logits) for kind in EVENTS})


def strength(event: Event, seen: Seen, thresholds: Thresholds | None, tokens: ControlTokens) -> float:
    """0 where a token does not fire; else how far it is above its threshold."""
    if thresholds is None:
        return float(seen.top == getattr(tokens, event))
    probability, threshold = getattr(seen, event), getattr(thresholds, event)
    # Odds, not probabilities: 0.04 over a threshold of 0.01 is no better sign than 0.9 over one of 0.5.
    return _odds(probability) / _odds(threshold) if probability >= threshold else 0.0


def opening(seen: Seen, thresholds: Thresholds | None, tokens: ControlTokens) -> Literal["bos", "boc"] | None:
    """What fires while the assistant is silent."""
    turn, backchannel = (strength(event, seen, thresholds, tokens) for event in ("bos", "boc"))
    if not (turn or backchannel):
        return None
    return "bos" if turn >= backchannel else "boc"


def _odds(probability: float) -> float:
    return probability / max(1 - probability, 1e-6)


def _moved(threshold: float, logits: float) -> float:
    inside = min(max(threshold, LEAST), MOST)
    moved = 1 / (1 + math.exp(-(math.log(inside / (1 - inside)) + logits)))
    # Rounded, so that a step of 0 is the same point and costs no second pass.
    return min(max(round(moved, 4), LEAST), MOST)
