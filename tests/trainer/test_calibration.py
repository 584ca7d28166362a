"""Probabilities that mean what they say, thresholds that keep what they promise, rankings that equal the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from datagen.core.rng import stream
from trainer.calibration import (
    MAX_TEMPERATURE,
    Calibration,
    calibrate,
    calibration_error,
    choose_threshold,
    reliability,
    sigmoid,
    two_classes,
)
from trainer.ranking import Ranking

labels_and_scores = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60).filter(
    lambda pairs: 0 < sum(label for label, _ in pairs) < len(pairs)
)


def split(pairs: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], dtype=np.float64) / 20


def world(count: int, temperature: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with the probability sigmoid(logit / temperature + shift)."""
    rng = stream(seed, "world", "calibration")
    logits = rng.normal(0, 3, count)
    return logits, rng.random(count) < sigmoid(logits / temperature + shift)


@pytest.mark.parametrize(("temperature", "shift"), [(1.0, 0.0), (2.5, 1.2), (0.4, -0.8)])
def test_the_calibration_of_a_known_world_is_found(temperature, shift):
    logits, good = world(40_000, temperature, shift)
    found = calibrate(logits, good)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.shift == pytest.approx(shift, abs=0.08)
    assert calibration_error(reliability(found.probabilities(logits), good)) < 0.012


def test_a_temperature_alone_cannot_undo_a_shift():
    logits, good = world(20_000, 1.0, 2.0)
    errors = {
        shifted: calibration_error(reliability(calibrate(logits, good, shifted).probabilities(logits), good))
        for shifted in (True, False)
    }
    assert calibrate(logits, good, shifted=False).shift == 0
    assert errors[True] < 0.015 < 0.05 < errors[False]


@settings(max_examples=50)
@given(labels_and_scores, st.booleans())
def test_calibration_keeps_the_order_and_never_gets_worse(pairs, shifted):
    good, scores = split(pairs)
    found = calibrate(6 * scores - 3, good, shifted)
    p = found.probabilities(np.sort(6 * scores - 3))
    assert (np.diff(p) >= 0).all()
    assert found.temperature <= MAX_TEMPERATURE

    def loss(calibration: Calibration) -> float:
        target = np.where(good, (good.sum() + 1) / (good.sum() + 2), 1 / ((~good).sum() + 2))
        z = (6 * scores - 3) / calibration.temperature + calibration.shift
        return float(np.mean(np.logaddexp(0, z) - target * z))

    if found.temperature < MAX_TEMPERATURE * 0.999:
        assert loss(found) <= loss(Calibration()) + 1e-9


def test_separated_scores_give_finite_numbers_and_a_useless_verifier_the_base_rate():
    good = np.arange(20) >= 5
    found = calibrate(np.where(good, 4.0, -4.0), good)
    assert np.isfinite([found.temperature, found.shift]).all()
    logits = np.where(good, -1.0, 1.0)
    upside_down = calibrate(logits, good)
    assert upside_down.temperature == pytest.approx(MAX_TEMPERATURE)
    np.testing.assert_allclose(upside_down.probabilities(logits), 0.75, atol=0.03)


@given(st.floats(-50, 50), st.floats(0.1, 10), st.floats(-5, 5))
def test_one_logit_is_calibrated_as_many_are(logit, temperature, shift):
    calibration = Calibration(temperature=temperature, shift=shift)
    assert calibration.probability(logit) == pytest.approx(float(calibration.probabilities([logit])[0]), abs=1e-12)


@given(labels_and_scores, st.floats(0.01, 1))
def test_the_threshold_keeps_the_share_of_good_and_no_higher_one_does(pairs, keep):
    good, p = split(pairs)
    threshold = choose_threshold(p, good, "keep_good", keep)
    assert (p[good] >= threshold).mean() >= keep - 1e-9
    above = p[p >= threshold].min()
    assert (p[good] > above).mean() < keep


@given(labels_and_scores)
def test_no_other_threshold_has_a_higher_macro_f1(pairs):
    good, p = split(pairs)

    def macro_f1(threshold: float) -> float:
        commit = p >= threshold
        halves = [(commit, good), (~commit, ~good)]
        return sum(float(2 * (a & b).sum() / (a.sum() + b.sum())) for a, b in halves) / 2

    best = macro_f1(choose_threshold(p, good, "macro_f1"))
    assert best >= max(macro_f1(t) for t in p) - 1e-9


@pytest.mark.parametrize("rule", ["keep_good", "macro_f1"])
def test_a_threshold_lies_between_scores_that_occur(rule):
    good, p = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.6, 0.9])
    assert choose_threshold(p, good, rule) == pytest.approx(0.4)


@given(labels_and_scores, st.integers(1, 12))
def test_the_reliability_diagram_counts_everything_once(pairs, bins):
    good, p = split(pairs)
    bars = reliability(p, good, bins)
    assert sum(b.count for b in bars) == len(p)
    assert sum(b.count * (b.observed or 0) for b in bars) == pytest.approx(good.sum())
    assert sum(b.count * b.predicted for b in bars) == pytest.approx(p.sum())
    assert all((b.observed is None) == (b.count == 0) for b in bars)
    assert [b.low for b in bars[1:]] == [b.high for b in bars[:-1]]


@pytest.mark.parametrize(
    ("labels", "said"), [([], "there are no prefixes"), ([1, 1], "all 2 prefixes are good"), ([0], "are bad")]
)
def test_one_class_is_no_data(labels, said):
    with pytest.raises(ValueError, match=said):
        two_classes(labels)


@given(labels_and_scores)
def test_auroc_is_the_chance_that_good_is_above_bad(pairs):
    good, scores = split(pairs)
    above = np.mean([(g > b) + (g == b) / 2 for g in scores[good] for b in scores[~good]])
    assert Ranking(good, scores).auroc() == pytest.approx(above)


@given(labels_and_scores, st.data())
def test_a_weight_counts_as_copies(pairs, data):
    good, scores = split(pairs)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(good), max_size=len(good))))
    copied = np.repeat(good, weights)
    assume(0 < copied.sum() < len(copied))
    one, other = Ranking(good, scores), Ranking(copied, np.repeat(scores, weights))
    assert one.auroc(weights.astype(float)) == pytest.approx(other.auroc())
    assert one.ap_bad(weights.astype(float)) == pytest.approx(other.ap_bad())


def test_rankings_equal_a_librarys():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = stream(0, "ranking", "test")
    for _ in range(20):
        good, scores = rng.random(80) < 0.8, rng.integers(0, 30, 80) / 30
        ranking = Ranking(good, scores)
        assert ranking.auroc() == pytest.approx(metrics.roc_auc_score(good, scores))
        assert ranking.ap_bad() == pytest.approx(metrics.average_precision_score(~good, -scores))


def test_ranking_by_hand():
    ranking = Ranking([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    assert ranking.auroc() == pytest.approx(3 / 4)
    assert ranking.ap_bad() == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert np.isnan(ranking.auroc(np.array([1.0, 0.0, 1.0, 0.0])))
    with pytest.raises(ValueError, match="finite"):
        Ranking([1, 0], [0.3, float("nan")])
