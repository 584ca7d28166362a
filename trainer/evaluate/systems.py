"""Tables 2 and 5: how soon and how well three systems answer, and what the prefix's length does to it.

    S2S only    the fast path's own free answer
    cascaded    the slow path's answer
    relay       the fast path's first words where the verifier lets them through, then the slow path; else as cascaded

The slow path's text is the recorded reply, at every back-end: what a perfect slow path would say. So differences in
quality are the fast path's doing, and the cascade is the ceiling. Intervals draw whole dialogues again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datagen.core.types import Strict, whole_of
from trainer.evaluate.answers import Drafted, committed, first_words, joined, prefix
from trainer.evaluate.grading import Grader, Scale
from trainer.evaluate.intervals import Estimate, GroupedBootstrap, Vector
from trainer.evaluate.latency import BackEnd, TurnTime, onset_ms
from trainer.model.verifier import Decider

LENGTHS = (3, 5, 7)
"""Words of a prefix in table 5."""
_QUANTILES = (0.5, 0.9)


class Quality(Strict):
    """Of the answers of one system."""

    judged: int
    unjudged: int
    """Left out: the judge could not tell."""
    average: Estimate | None
    low: Estimate | None
    """Share of low quality. None where nothing was judged."""


class Onset(Strict):
    """Onset latency in milliseconds."""

    turns: int
    p50: Estimate
    p90: Estimate


class System(Strict):
    """A row of table 2."""

    name: str
    back_end: str
    """Empty for a system without a slow path."""
    onset: Onset | None
    quality: Quality | None
    """None where it is that of the row above: the slow path's text is the same."""


class Systems(Strict):
    """Table 2."""

    words: int
    turns: int
    dialogues: int
    speechless: int
    """Turns at which the fast path drafts no word; the relay falls back there."""
    fallback: Estimate | None
    """Share of turns at which the relay falls back; None without a verifier."""
    timed: int
    times: tuple[TurnTime, ...]
    back_ends: tuple[BackEnd, ...]
    systems: tuple[System, ...]


class Length(Strict):
    """A row of table 5."""

    words: int
    gated: bool
    fallback: Estimate
    quality: Quality


class Lengths(Strict):
    """Table 5."""

    turns: int
    rows: tuple[Length, ...]
    ceiling: Quality
    """Of the slow path alone."""
    trained: int | None
    """Words of the prefixes that the verifier was trained on; None without one."""


@dataclass(frozen=True)
class Graded:
    """Every turn with the quality of whatever might be said there; NaN where the judge cannot tell."""

    turns: Sequence[Drafted]
    scale: Scale
    whole: Vector | None
    """The fast path's whole answer, judged as an opening of that length; None where whole answers are judged anyway."""
    alone: Vector
    """The fast path's answer."""
    slow: Vector
    """The recorded reply."""
    prefixed: Mapping[int, Vector]
    """By number of words: the prefix, then the recorded reply."""
    spoken: Mapping[int, npt.NDArray[np.bool_]]
    """By number of words: whether there is a prefix."""
    commits: Mapping[int, npt.NDArray[np.bool_]] | None
    """By number of words: whether the verifier lets it through."""

    def relay(self, words: int, gated: bool) -> tuple[Vector, npt.NDArray[np.bool_]]:
        """Quality of the relay at every turn, and where it commits."""
        commit = self.commits[words] if gated and self.commits is not None else self.spoken[words]
        return np.where(commit, self.prefixed[words], self.slow), commit


def graded(
    turns: Sequence[Drafted],
    grader: Grader,
    decider: Decider | None,
    tokenizer: Any,
    words: int,
    lengths: Sequence[int] = LENGTHS,
) -> Graded:
    """Asks the judge about everything that tables 2 and 5 need; ``words`` is the prefix of table 2."""
    prefixed: dict[int, Vector] = {}
    spoken: dict[int, npt.NDArray[np.bool_]] = {}
    commits: dict[int, npt.NDArray[np.bool_]] = {}
    for length in sorted({words, *lengths}):
        made = [prefix(one, length, tokenizer) for one in turns]
        asked = [one.answer(text, joined(text, one.reference)) for one, (text, _) in zip(turns, made, strict=True)]
        prefixed[length] = _known(grader.quality(asked))
        spoken[length] = np.array([bool(text) for text, _ in made])
        commits[length] = np.array([committed(one, decider) for one in made])
    alone = [one.answer(first_words(one.text, words), one.text) for one in turns]
    slow = [one.answer(first_words(one.reference, words), one.reference) for one in turns]
    whole = None if grader.scale.whole else _known(grader.quality([one.answer(one.text, one.text) for one in turns]))
    return Graded(
        turns=turns,
        scale=grader.scale,
        whole=whole,
        alone=_known(grader.quality(alone)),
        slow=_known(grader.quality(slow)),
        prefixed=prefixed,
        spoken=spoken,
        commits=None if decider is None else commits,
    )


def systems(
    found: Graded, times: Sequence[TurnTime], words: int, back_ends: Sequence[BackEnd], seed: int = 0
) -> Systems:
    """Table 2. ``times``: of some of the turns; latencies are theirs, quality and fallback of all turns."""
    draws = _draws(found, seed)
    alone = [t for t in times if t.words_ms is not None]
    rows = [
        System(
            name="S2S only",
            back_end="",
            onset=_onset(alone, [t.words_ms or 0 for t in alone], seed),
            quality=quality(found.alone, found.scale, draws),
        )
    ]
    if found.whole is not None:
        rows.append(
            System(
                name="S2S only, whole answer", back_end="", onset=None, quality=quality(found.whole, found.scale, draws)
            )
        )
    slow, relay = quality(found.slow, found.scale, draws), None
    fallback = None
    if found.commits is not None:
        values, commit = found.relay(words, gated=True)
        relay, fallback = quality(values, found.scale, draws), draws.share(~commit)
    for number, back_end in enumerate(back_ends):
        rows.append(
            System(
                name="Cascaded",
                back_end=back_end.name,
                quality=None if number else slow,
                onset=_onset(times, [1000 * back_end.seconds] * len(times), seed),
            )
        )
        if relay is not None:
            rows.append(
                System(
                    name="Relay",
                    back_end=back_end.name,
                    quality=None if number else relay,
                    onset=_onset(times, [onset_ms(t, back_end) for t in times], seed),
                )
            )
    return Systems(
        words=words,
        turns=len(found.turns),
        dialogues=draws.num_groups,
        speechless=int((~found.spoken[words]).sum()),
        fallback=fallback,
        timed=len(times),
        times=tuple(times),
        back_ends=tuple(back_ends),
        systems=tuple(rows),
    )


def prefix_lengths(found: Graded, trained: int | None, lengths: Sequence[int] = LENGTHS, seed: int = 0) -> Lengths:
    """Table 5; without a verifier its rows with one are left out."""
    draws = _draws(found, seed)
    rows: list[Length] = []
    for words in lengths:
        for gated in (False, True):
            if gated and found.commits is None:
                continue
            values, commit = found.relay(words, gated)
            rows.append(
                Length(
                    words=words, gated=gated, fallback=draws.share(~commit), quality=quality(values, found.scale, draws)
                )
            )
    return Lengths(
        turns=len(found.turns), rows=tuple(rows), ceiling=quality(found.slow, found.scale, draws), trained=trained
    )


def quality(values: Vector, scale: Scale, draws: GroupedBootstrap) -> Quality:
    """Average and share of low quality of the answers that the judge could judge."""
    known = np.isfinite(values)
    if not known.any():
        return Quality(judged=0, unjudged=len(values), average=None, low=None)
    filled = np.where(known, values, 0.0)

    def mean(weights: Vector) -> list[float]:
        total = float(weights @ known)
        return [float(weights @ filled) / total if total else float("nan")]

    return Quality(
        judged=int(known.sum()),
        unjudged=int((~known).sum()),
        average=draws.estimates(mean)[0],
        low=draws.share(filled <= scale.low, known),
    )


def _onset(times: Sequence[TurnTime], values: Sequence[float], seed: int) -> Onset | None:
    if not times:
        return None
    if min(values) == max(values):
        same = Estimate(value=values[0], low=values[0], high=values[0])
        return Onset(turns=len(times), p50=same, p90=same)
    draws = GroupedBootstrap([whole_of(t.conversation) for t in times], seed)
    each = np.asarray(values, np.float64)

    def quantiles(weights: Vector) -> Vector:
        return np.quantile(np.repeat(each, weights.astype(int)), _QUANTILES)

    p50, p90 = draws.estimates(quantiles)
    return Onset(turns=len(times), p50=p50, p90=p90)


def _draws(found: Graded, seed: int) -> GroupedBootstrap:
    return GroupedBootstrap([whole_of(one.heard.row.id) for one in found.turns], seed)


def _known(values: Sequence[float | None]) -> Vector:
    return np.array([np.nan if value is None else value for value in values], np.float64)
