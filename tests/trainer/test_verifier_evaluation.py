"""Table 4 says what the drafts say: every share by hand, every interval around it, nothing tuned on the way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.drafts import drafts, stored
from trainer.evaluate.verifier import Second, VerifierReport, evaluate, raw_score
from trainer.evaluate.verifier_page import markdown, write
from trainer.model.verifier import Verifier, VerifierCard, load
from trainer.prefix_store import PrefixSet, write_labels, write_shard
from trainer.stages.verifier import VerifierTraining, fit, logits_of

TRAINING = VerifierTraining(width=16, epochs=8, batch=64, warmup_epochs=1, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Verifier, VerifierCard, PrefixSet, PrefixSet]:
    folder = tmp_path_factory.mktemp("evaluation")
    train = stored(folder / "train", drafts(2000, "t", hidden=1.2, margin=0.5)[0])
    validation = stored(folder / "validation", drafts(800, "v", hidden=1.2, margin=0.5)[0])
    fit(train, validation, TRAINING, folder / "run")
    test = stored(folder / "test", drafts(1000, "e", hidden=1.2, margin=0.5, folds=3)[0])
    return (*load(folder / "run"), validation, test)


@pytest.fixture(scope="module")
def report(trained) -> VerifierReport:
    verifier, card, _, test = trained
    return evaluate(verifier, card, test)


def test_the_shares_are_those_counted_by_hand(trained, report):
    verifier, card, _, test = trained
    score = 1 / (1 + np.exp(-logits_of(verifier, test)))
    p = card.calibration.probabilities(logits_of(verifier, test))
    rows = {row.name if row.name != "paper's" else f"{row.score:.2f}": row for row in report.sweep}
    assert set(rows) == {"0.25", "0.50", "0.75", "chosen on validation", "oracle"}
    commits = {f"{t:.2f}": score >= t for t in (0.25, 0.5, 0.75)}
    commits |= {"chosen on validation": p >= card.threshold, "oracle": test.labels}
    for name, commit in commits.items():
        assert rows[name].bad_commit.value == pytest.approx(commit[~test.labels].mean())
        assert rows[name].good_commit.value == pytest.approx(commit[test.labels].mean())
        assert rows[name].fallback.value == pytest.approx((~commit).mean())


def test_calibrated_and_raw_thresholds_stand_for_the_same_decision(trained, report):
    _, card, _, _ = trained
    for row in report.sweep:
        if row.score is not None and row.threshold is not None:
            assert raw_score(row.threshold, card.calibration) == pytest.approx(row.score)


def test_a_higher_threshold_says_less(report):
    rows = [row for row in report.sweep if row.score is not None]
    for lower, higher in pairwise(rows):
        assert (lower.score or 0) <= (higher.score or 0)
        assert lower.bad_commit.value >= higher.bad_commit.value
        assert lower.good_commit.value >= higher.good_commit.value
        assert lower.fallback.value <= higher.fallback.value


def test_the_oracle_is_the_ceiling(report):
    oracle = next(row for row in report.sweep if row.name == "oracle")
    assert (oracle.bad_commit.value, oracle.good_commit.value) == (0, 1)
    assert oracle.fallback == report.bad_share


def test_the_chosen_threshold_keeps_on_test_what_it_promised_on_validation(report):
    row = next(row for row in report.sweep if row.name.startswith("chosen"))
    assert row.good_commit.low - 0.02 <= TRAINING.keep_good <= row.good_commit.high + 0.02


def test_the_verifier_beats_its_baselines_and_is_calibrated(report):
    assert report.auroc.low > report.baselines["mean margin"].high
    assert report.baselines["mean margin"].low > report.baselines["mean entropy"].value
    assert report.calibration_error < 0.05 < report.calibration_error_before
    assert sum(b.count for b in report.reliability) == report.prefixes == 1000
    assert report.dialogues == 250
    assert set(report.auroc_by_fold) == {"0", "1", "2"}


def test_the_trade_off_curve_falls_from_everything_to_little(report):
    first, last = report.curve[0], report.curve[-1]
    assert (first.bad_commit, first.good_commit) == (1, 1)
    assert last.good_commit < 0.1
    assert all(a.good_commit >= b.good_commit for a, b in pairwise(report.curve))


def test_the_judge_against_itself_is_a_ceiling(trained):
    verifier, card, _, test = trained
    flip = {
        name: (good if i % 10 else not good) for i, (name, good) in enumerate(zip(test.ids, test.labels, strict=True))
    }
    report = evaluate(verifier, card, test, second=Second(judge="again", good={k: bool(v) for k, v in flip.items()}))
    row = report.sweep[-1]
    assert row.name == "a second judgement (again)"
    assert row.good_commit.value == pytest.approx(0.9, abs=0.03)
    assert report.ceiling_auroc is not None
    assert report.ceiling_auroc.value == pytest.approx(0.9, abs=0.03)
    assert "ceiling: a second judgement (again)" in markdown(report)
    with pytest.raises(ValueError, match="999 prefixes have no second judgement"):
        evaluate(verifier, card, test, second=Second(judge="again", good={test.ids[0]: True}))


def test_what_it_was_tuned_on_is_no_test_set(trained):
    verifier, card, validation, _ = trained
    with pytest.raises(ValueError, match="these very drafts"):
        evaluate(verifier, card, validation)


def test_drafts_of_another_length_are_refused(trained, tmp_path: Path):
    verifier, card, *_ = trained
    long = [type(r)(r.prefix.model_copy(update={"words": 7}), r.steps) for r in drafts(50, "x")[0]]
    with pytest.raises(ValueError, match=r"prefixes: \[7\] words and hidden size 16; the verifier is for 5 and 16"):
        evaluate(verifier, card, stored(tmp_path, long))


def test_one_class_is_refused(trained, tmp_path: Path):
    verifier, card, *_ = trained
    with pytest.raises(ValueError, match="all 30 prefixes are good"):
        evaluate(verifier, card, stored(tmp_path, drafts(30, "g", bad=0.0)[0]))


def test_the_same_drafts_give_the_same_report(trained, report, tmp_path: Path):
    verifier, card, *_ = trained
    again = stored(tmp_path, drafts(1000, "e", hidden=1.2, margin=0.5, folds=3)[0], shard_size=77)
    assert evaluate(verifier, card, again) == report


def test_what_is_left_out_is_said(trained, tmp_path: Path):
    verifier, card, *_ = trained
    records = drafts(60, "e")[0]
    bare = [type(r)(r.prefix.model_copy(update={"label": None, "judge": ""}), r.steps) for r in records]
    write_shard(tmp_path, 0, bare)
    write_labels(tmp_path, 0, {r.prefix.id: i % 3 > 0 for i, r in enumerate(records[:50])}, "judge")
    report = evaluate(verifier, card, PrefixSet([tmp_path]))
    assert (report.prefixes, report.unlabelled) == (50, 10)
    assert "10 without a label" in markdown(report)


def test_the_page_the_numbers_and_the_picture_are_written(report, tmp_path: Path):
    data, page, picture = write(report, tmp_path / "tables")
    assert VerifierReport.model_validate_json(data.read_text()) == report
    text = page.read_text()
    for row in report.sweep:
        assert row.good_commit.percent() in text
        assert row.name in text
    assert report.auroc.plain() in text
    assert picture.read_bytes()[:4] == b"\x89PNG"
    before = picture.read_bytes()
    write(report, tmp_path / "tables")
    assert picture.read_bytes() == before
