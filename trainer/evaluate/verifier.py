"""Table 4: what the verifier lets through at several thresholds, how well it ranks, and how far to trust its numbers.

    verifier + test drafts ─► logits ─► calibrated probabilities ─► commit where >= threshold
                                             bad commit   share of the bad prefixes that are said all the same
                                             good commit  share of the good prefixes that are said
                                             fallback     share of all prefixes that wait for the slow path

Nothing is chosen here: threshold and calibration come with the verifier, from validation. Intervals draw whole
dialogues again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from datagen.core.types import Strict
from trainer.calibration import Bin, Calibration, Labels, Vector, calibration_error, reliability, sigmoid, two_classes
from trainer.evaluate.intervals import Estimate, GroupedBootstrap
from trainer.model.verifier import Verifier, VerifierCard
from trainer.prefix_store import PrefixSet
from trainer.ranking import Ranking
from trainer.stages.verifier import logits_of

PAPER_THRESHOLDS = (0.25, 0.50, 0.75)
"""Of the uncalibrated score, as the paper sweeps it."""
_CURVE_POINTS = 101
_SCALARS: Mapping[str, tuple[int, int]] = {
    "mean entropy": (0, -1),
    "mean log-probability": (1, 1),
    "mean margin": (2, 1),
}
"""Column of the scalars, and the sign that makes more mean better."""


class SweepRow(Strict):
    """One threshold of Table 4."""

    name: str
    threshold: float | None
    """Calibrated probability; None for a row that is no threshold."""
    score: float | None
    """The same before calibration: what the paper's thresholds are about."""
    bad_commit: Estimate
    good_commit: Estimate
    fallback: Estimate


class CurvePoint(Strict):
    """One threshold of the trade-off curve, on the calibrated probability."""

    threshold: float
    bad_commit: float
    good_commit: float


class VerifierReport(Strict):
    """What was measured; ``trainer.evaluate.verifier_page`` writes it down."""

    prefixes: int
    dialogues: int
    bad_share: Estimate
    unlabelled: int
    """Left out: not judged."""
    empty: int
    """Left out: nothing was drafted. They always fall back."""
    auroc: Estimate
    ap_bad: Estimate
    sweep: tuple[SweepRow, ...]
    baselines: dict[str, Estimate]
    """AUROC of single scalars, averaged over a draft's steps: what the verifier has to beat."""
    auroc_by_fold: dict[str, float]
    """Of out-of-fold drafts, per fast path; where they lie far apart, hidden states do not carry over between them."""
    reliability: tuple[Bin, ...]
    calibration_error: float
    calibration_error_before: float
    """Of the scores as the network gives them."""
    curve: tuple[CurvePoint, ...]
    judge: str
    second_judge: str = ""
    ceiling_auroc: Estimate | None = None
    """Of a second judgement of the same prefixes used as the score: no verifier can follow a judge closer than the
    judge follows itself. None where the prefixes were judged once (or the judge is a grammar: then it is 1)."""
    seed: int
    """Of the intervals' draws."""


class Second(Strict):
    """Another judgement of the test prefixes, for the ceiling."""

    judge: str
    good: dict[str, bool]
    """By id of the prefix; every test prefix must be there."""


def evaluate(
    verifier: Verifier,
    card: VerifierCard,
    prefixes: PrefixSet,
    device: str = "cpu",
    second: Second | None = None,
    seed: int = 0,
) -> VerifierReport:
    """Everything Table 4 says, over drafts that neither training nor the choice of the threshold has seen.

    ValueError when the drafts are of one class, of another fast path or length, or those the verifier was made with.
    """
    if prefixes.words != {card.words} or prefixes.hidden_size != card.shape.hidden_size:
        found = f"{sorted(prefixes.words)} words and hidden size {prefixes.hidden_size}"
        raise ValueError(f"prefixes: {found}; the verifier is for {card.words} and {card.shape.hidden_size}")
    if prefixes.fingerprint in card.data.split():
        raise ValueError("prefixes: the verifier was trained or tuned on these very drafts; evaluate on others")
    logits = logits_of(verifier.eval(), prefixes, device)
    good = two_classes(prefixes.labels)
    draws = GroupedBootstrap(prefixes.dialogues, seed)
    ranking = Ranking(good, logits)
    auroc, ap_bad = draws.estimates(lambda w: [ranking.auroc(w), ranking.ap_bad(w)])
    bars = reliability(card.calibration.probabilities(logits), good)
    ceiling = _second_row(second, prefixes, draws) if second else None
    return VerifierReport(
        prefixes=len(good),
        dialogues=draws.num_groups,
        bad_share=draws.share(~good),
        unlabelled=prefixes.unlabelled,
        empty=prefixes.empty,
        auroc=auroc,
        ap_bad=ap_bad,
        sweep=(*_sweep(logits, good, card, draws), _oracle(good, draws), *([ceiling[0]] if ceiling else [])),
        baselines=_baselines(prefixes, draws),
        auroc_by_fold=_by_fold(logits, prefixes),
        reliability=bars,
        calibration_error=calibration_error(bars),
        calibration_error_before=calibration_error(reliability(sigmoid(logits), good)),
        curve=_curve(card.calibration.probabilities(logits), good),
        judge=", ".join(sorted(prefixes.judges)),
        second_judge=second.judge if second else "",
        ceiling_auroc=ceiling[1] if ceiling else None,
        seed=seed,
    )


def raw_score(threshold: float, calibration: Calibration) -> float:
    """The uncalibrated score that a calibrated threshold stands for.

    >>> round(raw_score(0.5, Calibration(temperature=2.0, shift=0.0)), 3)
    0.5
    """
    clipped = min(max(threshold, 1e-12), 1 - 1e-12)
    logit = (np.log(clipped / (1 - clipped)) - calibration.shift) * calibration.temperature
    return float(sigmoid(logit))


def _sweep(logits: Vector, good: Labels, card: VerifierCard, draws: GroupedBootstrap) -> list[SweepRow]:
    """The paper's thresholds and the verifier's own, by rising score."""
    p = card.calibration.probabilities(logits)
    rows = [
        _row(
            "paper's", float(card.calibration.probabilities(np.log(s / (1 - s)))), s, sigmoid(logits) >= s, good, draws
        )
        for s in PAPER_THRESHOLDS
    ]
    own = raw_score(card.threshold, card.calibration)
    rows.append(_row("chosen on validation", card.threshold, own, p >= card.threshold, good, draws))
    return sorted(rows, key=lambda r: r.score or 0.0)


def _row(
    name: str,
    threshold: float | None,
    score: float | None,
    commit: npt.NDArray[np.bool_],
    good: Labels,
    draws: GroupedBootstrap,
) -> SweepRow:
    return SweepRow(
        name=name,
        threshold=threshold,
        score=score,
        bad_commit=draws.share(commit, ~good),
        good_commit=draws.share(commit, good),
        fallback=draws.share(~commit),
    )


def _oracle(good: Labels, draws: GroupedBootstrap) -> SweepRow:
    """The ceiling: commit what the judge calls good. Its fallback is the share of bad prefixes."""
    return _row("oracle", None, None, good, good, draws)


def _second_row(second: Second, prefixes: PrefixSet, draws: GroupedBootstrap) -> tuple[SweepRow, Estimate]:
    """What a judge gets who decides by another judgement; ValueError where prefixes lack one."""
    missing = [name for name in prefixes.ids if name not in second.good]
    if missing:
        raise ValueError(f"second: {len(missing)} prefixes have no second judgement, the first is {missing[0]!r}")
    again = np.array([second.good[name] for name in prefixes.ids])
    ranking = Ranking(prefixes.labels, again.astype(np.float64))
    name = f"a second judgement ({second.judge})"
    return _row(name, None, None, again, prefixes.labels, draws), draws.estimates(lambda w: [ranking.auroc(w)])[0]


def _baselines(prefixes: PrefixSet, draws: GroupedBootstrap) -> dict[str, Estimate]:
    """AUROC of each scalar's mean over the steps."""
    means = _scalar_means(prefixes)
    rankings = [Ranking(prefixes.labels, sign * means[:, column]) for column, sign in _SCALARS.values()]
    return dict(zip(_SCALARS, draws.estimates(lambda w: [r.auroc(w) for r in rankings]), strict=True))


def _scalar_means(prefixes: PrefixSet, batch: int = 1024) -> Vector:
    """(prefixes, 3): mean over each draft's steps."""
    found: list[Vector] = []
    for start in range(0, len(prefixes), batch):
        taken = prefixes.batch(range(start, min(start + batch, len(prefixes))))
        # Padding is zero, so it adds nothing to the sum.
        means = taken.scalars_BL3.double().sum(1) / taken.mask_BL.sum(1, keepdim=True)
        found.append(means.numpy())
    return np.concatenate(found)


def _by_fold(logits: Vector, prefixes: PrefixSet) -> dict[str, float]:
    """AUROC within each fold that has both classes."""
    folds = np.array([-1 if f is None else f for f in prefixes.folds])
    found: dict[str, float] = {}
    for fold in sorted(set(folds.tolist()) - {-1}):
        here = folds == fold
        if 0 < prefixes.labels[here].sum() < here.sum():
            found[str(fold)] = Ranking(prefixes.labels[here], logits[here]).auroc()
    return found


def _curve(p: Vector, good: Labels) -> tuple[CurvePoint, ...]:
    """Thresholds at even quantiles of the probability, so that the points are spread along the curve."""
    thresholds = np.unique(np.quantile(p, np.linspace(0, 1, _CURVE_POINTS)))
    kept = [(float(t), p >= t) for t in thresholds]
    return tuple(
        CurvePoint(threshold=t, bad_commit=float(k[~good].mean()), good_commit=float(k[good].mean())) for t, k in kept
    )
