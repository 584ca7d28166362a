"""Valid prefixes: are the first words that the model drafts a possible beginning of the answer?

Drafted at two places (``trainer.model.drafting``): at the recorded [BOS] with the true history, as the paper does, and
at the model's own [BOS] with its own history, as it happens live. The second only where that [BOS] stands for a
recorded turn; what false starts say is not asked. Turns that were cut are left out of both, as in the labels' points.

The context that is judged is the recorded one at both places (MODEL-SPEC 9.3): the recorded user answers to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from datagen.core.types import Strict, Turn, whole_of
from trainer.evaluate.freerun import Run
from trainer.evaluate.heard import Heard, Hearing, by_length, device_of, stacked
from trainer.evaluate.intervals import Estimate, GroupedBootstrap
from trainer.evaluate.judging import Judge
from trainer.evaluate.scores import grid
from trainer.model.drafting import CONTROLS, Drafting, Onset, draft_at
from trainer.targets import Point
from trainer.tokens import decode

WORDS = 5
_TOKENS_PER_WORD = 8
"""Drafted at most: five words of 8 tokens each are longer than any that are said."""

At = Literal["recorded", "own"]


class Opening(Strict):
    """A drafted prefix and what the judge says."""

    conversation: str
    at: At
    """Whose [BOS] it was drafted at."""
    tick: int
    context: tuple[Turn, ...]
    prefix: str
    """Whitespace words with single spaces; empty where the draft is."""
    reference: str
    """What the recorded assistant says."""
    valid: bool | None
    """None: the judge cannot tell."""


class Validity(Strict):
    """Share of valid prefixes at one place."""

    at: str
    """An ``At``, or "reference" for the recorded assistant's own first words: the ceiling."""
    valid: Estimate | None
    """Of those judged."""
    judged: int
    unjudged: int
    empty: int
    """Drafts without a word; they count as not valid."""


def openings(
    fast: Hearing,
    heard: Sequence[Heard],
    judge: Judge,
    runs: Sequence[Run] | None = None,
    words: int = WORDS,
    batch: int = 16,
) -> list[Opening]:
    """Prefixes of so many words at the recorded [BOS] of every turn, or with ``runs`` at the model's own.

    Args:
        fast: the fast path, in evaluation mode.
        heard: the conversations.
        judge: says which are valid.
        runs: of the same conversations, from ``free_run``.
        words: of a prefix.
        batch: conversations side by side.
    """
    found: list[Opening] = []
    for group in by_length(heard, batch):
        some = [heard[place] for place in group]
        own = None if runs is None else [runs[place] for place in group]
        found += _drafted(fast, some, own, judge, words)
    return found


def references(heard: Sequence[Heard], judge: Judge, words: int = WORDS) -> list[Opening]:
    """The recorded assistant's own first words at every turn: what a perfect model scores with this judge."""
    return [
        _judged(h, point, point.tick, "recorded", _first(point.reference, words), judge)
        for h in heard
        for point in h.target.points
    ]


def validity(at: str, found: Sequence[Opening], seed: int = 0) -> Validity:
    """The share of valid ones, whole dialogues drawn again for the interval."""
    judged = [opening for opening in found if opening.valid is not None]
    share = None
    if judged:
        draws = GroupedBootstrap([whole_of(opening.conversation) for opening in judged], seed)
        share = draws.share(np.array([opening.valid for opening in judged], dtype=bool))
    return Validity(
        at=at,
        valid=share,
        judged=len(judged),
        unjudged=len(found) - len(judged),
        empty=sum(not opening.prefix for opening in judged),
    )


def markdown(found: Sequence[Validity]) -> str:
    """A row per place."""
    rows = [[v.at, v.valid.percent() if v.valid else "-", str(v.judged), str(v.unjudged), str(v.empty)] for v in found]
    return "\n".join(grid(["prefixes at [BOS]", "valid %", "judged", "not judged", "empty"], rows))


def _drafted(
    fast: Hearing, heard: Sequence[Heard], runs: Sequence[Run] | None, judge: Judge, words: int
) -> Iterator[Opening]:
    device = device_of(fast.duplex)
    asked = [
        (row, tick, point)
        for row, h in enumerate(heard)
        for tick, point in (_recorded(h) if runs is None else _own(h, runs[row]))
    ]
    if not asked:
        return
    history = [h.ids_K if runs is None else runs[row].ids_K for row, h in enumerate(heard)]
    token_BK = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(ids_K.copy()) for ids_K in history], batch_first=True, padding_value=fast.tokens.pad
    )
    options = Drafting(stop=CONTROLS, max_tokens=_TOKENS_PER_WORD * words, logged=1)
    drafts = draft_at(
        fast.duplex,
        stacked((h.speech_KD for h in heard), device),
        token_BK.to(device),
        [Onset(row, tick) for row, tick, _ in asked],
        options,
    )
    controls = set(fast.tokens.ids)
    for (row, tick, point), made in zip(asked, drafts, strict=True):
        end = next((n for n, token in enumerate(made.tokens) if token in controls), len(made.tokens))
        prefix = _first(decode(fast.tokenizer, made.tokens[:end]), words)
        yield _judged(heard[row], point, tick, "recorded" if runs is None else "own", prefix, judge)


def _recorded(heard: Heard) -> list[tuple[int, Point]]:
    return [(point.tick, point) for point in heard.target.points]


def _own(heard: Heard, run: Run) -> list[tuple[int, Point]]:
    """Where the model itself began a turn that has a point."""
    places = {point.tick: point for point in heard.target.points}
    begun = [
        (response.start, run.recorded[response.reference].start)
        for response in run.responses
        if response.kind == "turn" and response.reference is not None
    ]
    return [(tick, places[recorded]) for tick, recorded in begun if recorded in places]


def _judged(heard: Heard, point: Point, tick: int, at: At, prefix: str, judge: Judge) -> Opening:
    said = [line for line in point.context if any(c.isalnum() for c in line.text)]
    context = tuple(Turn(speaker=line.speaker, text=line.text) for line in said)
    valid = judge(heard.row, context, prefix)
    return Opening(
        conversation=heard.row.id,
        at=at,
        tick=tick,
        context=context,
        prefix=prefix,
        reference=point.reference,
        valid=valid,
    )


def _first(text: str, words: int) -> str:
    return " ".join(text.split()[:words])
