"""Training reaches what the data allow and no more, the same every time, also when it is killed."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.rng import stream
from tests.trainer.drafts import drafts, stored
from trainer.model.verifier import load
from trainer.prefix_store import PrefixSet, write_labels, write_shard
from trainer.ranking import Ranking
from trainer.stages.verifier import VerifierTraining, epoch_order, fit, focal_loss, learning_rate, logits_of

Sets = tuple[PrefixSet, PrefixSet]
QUICK = VerifierTraining(width=16, epochs=8, batch=64, warmup_epochs=1, learning_rate=4e-3, patience=8, dropout=0.1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("prefixes")
    return (
        stored(folder / "train", drafts(1200, "t", hidden=1.0)[0]),
        stored(folder / "validation", drafts(400, "v", hidden=1.0)[0]),
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load(folder)[0].state_dict()


def same(one: Path, other: Path) -> bool:
    tensors = zip(weights(one).values(), weights(other).values(), strict=True)
    files = [(folder / name).read_text() for name in ("config.json", "metrics.jsonl") for folder in (one, other)]
    return all(torch.equal(a, b) for a, b in tensors) and files[0] == files[1] and files[2] == files[3]


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "margin"), [(1.0, 0.0), (0.0, 1.2)])
def test_it_comes_near_the_best_there_is(tmp_path: Path, hidden: float, margin: float) -> None:
    """The likelihood ratio of the two Gaussians is the best score; hidden states and scalars both count."""
    train, _ = drafts(2500, "t", hidden, margin)
    validation, _ = drafts(400, "v", hidden, margin)
    test, ratios = drafts(1200, "e", hidden, margin)
    held_out = stored(tmp_path / "test", test)
    fit(stored(tmp_path / "train", train), stored(tmp_path / "validation", validation), QUICK, tmp_path / "run")
    best = Ranking(held_out.labels, ratios).auroc()
    reached = Ranking(held_out.labels, logits_of(load(tmp_path / "run")[0], held_out)).auroc()
    assert 0.75 < best < 0.95
    assert best - 0.03 < reached < best + 0.015


def shuffled(folder: Path, name: str, count: int) -> PrefixSet:
    """Prefixes whose labels have been dealt out anew: nothing in them says good or bad any more."""
    records, _ = drafts(count, name, hidden=1.0)
    labels = stream(0, name, "shuffle").permutation([r.prefix.label == 1 for r in records])
    write_shard(folder / name, 0, records)
    write_labels(folder / name, 0, {r.prefix.id: bool(v) for r, v in zip(records, labels, strict=True)}, "nobody")
    return PrefixSet([folder / name])


@pytest.mark.slow
def test_shuffled_labels_are_learnt_by_heart_and_teach_nothing(tmp_path: Path) -> None:
    train, validation, test = (shuffled(tmp_path, name, 800) for name in ("t", "v", "e"))
    fit(train, validation, QUICK.model_copy(update={"epochs": 25, "patience": 25, "dropout": 0.0}), tmp_path / "run")
    epochs = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert np.mean([e["auroc"] for e in epochs]) == pytest.approx(0.5, abs=0.05)
    assert epochs[-1]["loss"] < 0.9 * epochs[1]["loss"], "it learnt the training labels by heart"
    reached = Ranking(test.labels, logits_of(load(tmp_path / "run")[0], test)).auroc()
    assert reached == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_gives_the_same_verifier_and_another_one_another(tmp_path: Path, sets: Sets) -> None:
    config = QUICK.model_copy(update={"epochs": 3})
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    for name, seed in (("one", 42), ("two", 42), ("three", 43)):
        fit(*sets, config.model_copy(update={"seed": seed}), tmp_path / name)
        if name == "one":
            assert torch.equal(torch.random.get_rng_state(), before), "nobody else's dice are touched"
        torch.manual_seed(99)
    assert same(tmp_path / "one", tmp_path / "two")
    assert not same(tmp_path / "one", tmp_path / "three")


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [0, 3])
def test_a_killed_run_goes_on_to_the_same_numbers(
    tmp_path: Path, sets: Sets, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = QUICK.model_copy(update={"epochs": 5})
    fit(*sets, config, tmp_path / "whole")
    batches = 0
    batch = PrefixSet.batch

    def dying(self: PrefixSet, *args: object, **named: object) -> object:
        nonlocal batches
        batches += 1
        # 18 training batches and one of validation in an epoch: this is in the middle of one.
        if batches > 19 * killed_after + 10:
            raise KeyboardInterrupt
        return batch(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(PrefixSet, "batch", dying)
    with pytest.raises(KeyboardInterrupt):
        fit(*sets, config, tmp_path / "run")
    monkeypatch.undo()
    heard: list[int] = []
    fit(*sets, config, tmp_path / "run", progress=lambda m: heard.append(m.epoch))
    assert heard == list(range(killed_after, 5))
    assert same(tmp_path / "whole", tmp_path / "run")
    fit(*sets, config, tmp_path / "run", progress=lambda m: heard.append(-1))
    assert -1 not in heard, "a finished run is only read"
    assert same(tmp_path / "whole", tmp_path / "run")


def test_a_half_written_checkpoint_is_not_seen(tmp_path: Path, sets: Sets) -> None:
    config = QUICK.model_copy(update={"epochs": 2})
    fit(*sets, config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    (tmp_path / "run" / ".training.pt.tmp").write_bytes(b"half")
    fit(*sets, config, tmp_path / "run")
    assert same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("change", [{"seed": 7}, {"alpha": 0.5}])
def test_a_folder_of_another_run_is_refused(tmp_path: Path, sets: Sets, change: dict[str, float]) -> None:
    config = QUICK.model_copy(update={"epochs": 1})
    fit(*sets, config, tmp_path)
    with pytest.raises(ValueError, match="other settings or data"):
        fit(*sets, config.model_copy(update=change), tmp_path)


@pytest.mark.slow
def test_the_best_epoch_is_kept_and_patience_ends_it(tmp_path: Path, sets: Sets) -> None:
    config = QUICK.model_copy(update={"epochs": 40, "patience": 2, "learning_rate": 0.02})
    card = fit(*sets, config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = [line["auroc"] for line in lines]
    assert len(lines) < 40
    assert int(np.argmax(scores)) == len(scores) - 3
    assert card.validation["auroc"] == max(scores)
    verifier, read = load(tmp_path)
    assert read == card
    assert Ranking(sets[1].labels, logits_of(verifier, sets[1])).auroc() == pytest.approx(max(scores))
    (tmp_path / "verifier.safetensors").unlink()
    assert fit(*sets, config, tmp_path) == card, "the best epoch, not the last, is what a stopped run comes back to"
    assert all(torch.equal(tensor, verifier.state_dict()[name]) for name, tensor in weights(tmp_path).items())


def test_the_threshold_is_that_of_validation(tmp_path: Path, sets: Sets) -> None:
    card = fit(*sets, QUICK.model_copy(update={"epochs": 4, "keep_good": 0.9}), tmp_path)
    p = card.calibration.probabilities(logits_of(load(tmp_path)[0], sets[1]))
    good = sets[1].labels
    assert 0.9 <= (p[good] >= card.threshold).mean() < 0.905
    assert card.validation["good_commit"] == (p[good] >= card.threshold).mean()
    assert card.validation["calibration_error"] < card.validation["calibration_error_before"]
    assert (card.judge, card.words) == ("the dice", 5)


def test_dialogues_and_voices_on_both_sides_are_refused(tmp_path: Path, sets: Sets) -> None:
    train, _ = sets
    with pytest.raises(ValueError, match=r"share \d+ dialogues"):
        fit(train, train, QUICK, tmp_path)
    records, _ = drafts(200, "x")
    heard = [{"user_voice": f"t-voice{i % 10}"} for i in range(200)]
    same = [type(r)(r.prefix.model_copy(update=v), r.steps) for r, v in zip(records, heard, strict=True)]
    with pytest.raises(ValueError, match="share 10 user voices, the first is 't-voice0'"):
        fit(train, stored(tmp_path / "x", same), QUICK, tmp_path)


def test_training_prefixes_that_no_fold_held_out_are_refused(tmp_path: Path, sets: Sets) -> None:
    loose = stored(tmp_path / "x", drafts(50, "x", folds=None)[0])
    with pytest.raises(ValueError, match="'x00000' has none"):
        fit(loose, sets[1], QUICK, tmp_path)
    assert fit(sets[0], stored(tmp_path / "y", drafts(50, "y", folds=None)[0]), QUICK, tmp_path / "run").judge


def test_lengths_are_not_mixed(tmp_path: Path, sets: Sets) -> None:
    short = [type(r)(r.prefix.model_copy(update={"words": 7}), r.steps) for r in drafts(50, "x")[0]]
    with pytest.raises(ValueError, match=r"words per prefix: \[5\] in training, \[7\] in validation"):
        fit(sets[0], stored(tmp_path / "x", short), QUICK, tmp_path)


@pytest.mark.parametrize("bad", [0.0, 1.0])
def test_one_class_is_refused(tmp_path: Path, sets: Sets, bad: float) -> None:
    with pytest.raises(ValueError, match=r"training: label: all 50 prefixes are"):
        fit(stored(tmp_path / "x", drafts(50, "x", bad=bad)[0]), sets[1], QUICK, tmp_path)


def test_a_loss_that_is_no_number_is_refused(tmp_path: Path, sets: Sets) -> None:
    with pytest.raises(ValueError, match="lower learning_rate"):
        fit(*sets, QUICK.model_copy(update={"learning_rate": 1e36, "warmup_epochs": 0}), tmp_path)


def test_tensorboard_is_asked_for_only_where_wanted(
    tmp_path: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    fit(*sets, QUICK.model_copy(update={"epochs": 1}), tmp_path / "without")
    with pytest.raises(ValueError, match="pip install tensorboard"):
        fit(*sets, QUICK.model_copy(update={"epochs": 1, "tensorboard": True}), tmp_path / "with")


def test_the_focal_loss_by_hand() -> None:
    logits, good = torch.tensor([2.0, -1.0]), torch.tensor([True, False])
    p = torch.sigmoid(logits)
    crossed = -(torch.tensor([0.975, 0.025]) * p.log() + torch.tensor([0.025, 0.975]) * (1 - p).log())
    expected = (0.25 * (1 - p[0]) ** 2 * crossed[0] + 0.75 * p[1] ** 2 * crossed[1]) / 2
    assert float(focal_loss(logits, good, 0.25, 2.0, 0.05)) == pytest.approx(float(expected))
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, good.float())
    assert float(focal_loss(logits, good, 0.5, 0.0, 0.0)) == pytest.approx(float(plain) / 2)


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = VerifierTraining()
    rates = [learning_rate(epoch, config) for epoch in range(30)]
    assert rates[:4] == pytest.approx([3e-6, 3e-4 * 0.34, 3e-4 * 0.67, 3e-4])
    assert rates[3 + 9] == pytest.approx(3e-4 * 0.75)
    assert all(a > b > 0 for a, b in pairwise(rates[3:]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.sampled_from([0.10, 0.2, 0.5]))
def test_the_sampler_raises_the_share_of_bad(epoch: int, share: float) -> None:
    labels = stream(0, "labels", "test").random(20_000) < 0.95
    config = VerifierTraining(bad_share=share)
    order = epoch_order(labels, config, epoch)
    assert len(order) == len(labels)
    assert (~labels[order]).mean() == pytest.approx(share, abs=0.012)
    assert len(set(order[~labels[order]])) > 0.8 * min(1, 20 * share) * (~labels).sum(), "all of them take part"
    assert not np.array_equal(order, epoch_order(labels, config, epoch + 1))
    assert np.array_equal(order, epoch_order(labels, config, epoch))


@given(st.integers(2, 60), st.floats(0, 0.3))
def test_where_enough_are_bad_every_prefix_comes_once(count: int, share: float) -> None:
    order = epoch_order(np.arange(count) % 2 > 0, VerifierTraining(bad_share=share), 0)
    assert sorted(order.tolist()) == list(range(count))


def test_the_constants_are_those_of_the_paper() -> None:
    config = VerifierTraining()
    released = {"alpha": 0.25, "gamma": 2, "smoothing": 0.05, "weight_decay": 5e-4, "batch": 256, "epochs": 30}
    assert {name: getattr(config, name) for name in released} == released
