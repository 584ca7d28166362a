"""Trains the prefix verifier on out-of-fold drafts (RelayS2S section 2.4) and chooses its operating point.

    FOLDER/verifier.safetensors, config.json   the result; the card says threshold, calibration, judge and data
           metrics.jsonl                       one line per epoch
           training.pt                         all it takes to go on; a killed run repeats its last epoch at most

Every draw has a name (seed, epoch, purpose), so a resumed run gives the numbers of one that was never stopped. The
best epoch by validation AUROC is kept; temperature, shift and threshold are fitted on validation drafts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from datagen.core.rng import key, stream
from datagen.core.types import Strict
from trainer.calibration import (
    Calibration,
    Rule,
    calibrate,
    calibration_error,
    choose_threshold,
    reliability,
    two_classes,
)
from trainer.model.verifier import Verifier, VerifierCard, VerifierShape, save
from trainer.prefix_store import PrefixSet
from trainer.ranking import Ranking
from trainer.stages._verifier_run import EpochMetrics, keep, resume, tensorboard

VERSION = 1
_SCORING_BATCH = 1024


class VerifierTraining(Strict):
    """Constants of the released verifier; the operating point is ours."""

    seed: int = 42
    width: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    epochs: int = Field(default=30, ge=1)
    warmup_epochs: int = Field(default=3, ge=0)
    batch: int = Field(default=256, ge=1)
    """What is left over at the end of an epoch is dropped; a smaller set is one batch."""
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    alpha: float = Field(default=0.25, ge=0, le=1)
    """Weight of good in the focal loss; bad has the rest."""
    gamma: float = Field(default=2.0, ge=0)
    smoothing: float = Field(default=0.05, ge=0, lt=1)
    bad_share: float = Field(default=0.10, ge=0, lt=1)
    """At least this part of what an epoch sees is bad. Data with fewer (the paper's have 5.4 %) are drawn from with
    replacement; of data with more every prefix comes once, since drawing would only lose some."""
    patience: int = Field(default=7, ge=1)
    """Epochs without a better validation AUROC before it stops."""
    rule: Rule = "keep_good"
    keep_good: float = Field(default=0.96, gt=0, le=1)
    """Share of the good prefixes that the threshold must let through on validation."""
    tensorboard: bool = False

    def identity(self) -> str:
        """Everything that changes the numbers."""
        return self.model_dump_json(exclude={"tensorboard"})


class _Run(NamedTuple):
    """What one call of ``fit`` works on."""

    train: PrefixSet
    validation: PrefixSet
    config: VerifierTraining
    folder: Path
    device: str
    identity: str


def fit(
    train: PrefixSet,
    validation: PrefixSet,
    config: VerifierTraining,
    folder: Path,
    device: str = "cpu",
    progress: Callable[[EpochMetrics], None] = lambda _: None,
) -> VerifierCard:
    """Trains, or goes on where a killed run stopped, and writes the verifier; ``progress`` hears of every epoch.

    ValueError when the two sets share a dialogue or a voice or have one class only, when a training prefix was not
    drafted out of fold, or when the folder holds another run.
    """
    _check(train, validation)
    identity = json.dumps([VERSION, config.identity(), train.fingerprint, validation.fingerprint])
    run = _Run(train, validation, config, folder, device, hashlib.sha256(identity.encode()).hexdigest()[:16])
    folder.mkdir(parents=True, exist_ok=True)
    with _named_dice(config.seed, "verifier", "init", device):
        verifier = Verifier(VerifierShape(hidden_size=train.hidden_size, width=config.width, dropout=config.dropout))
    verifier.to(device)
    optimizer = torch.optim.AdamW(verifier.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    history, best = resume(folder, run.identity, verifier, optimizer)
    with tensorboard(folder, config.tensorboard) as log:
        for epoch in range(len(history), config.epochs):
            if _stopped(history, config.patience):
                break
            metrics = _epoch(run, epoch, verifier, optimizer)
            if not history or metrics.auroc > max(m.auroc for m in history):
                best = {name: t.detach().cpu().clone() for name, t in verifier.state_dict().items()}
            history = [*history, metrics]
            keep(folder, run.identity, verifier, optimizer, history, best)
            log(metrics)
            progress(metrics)
    verifier.load_state_dict(best)
    card = _operating_point(run, verifier.eval(), history)
    save(folder, verifier, card)
    return card


def focal_loss(logits_B: Tensor, good_B: Tensor, alpha: float, gamma: float, smoothing: float) -> Tensor:
    """Mean focal loss: hard prefixes count more, and bad ones by 1 - alpha against alpha.

    Smoothing moves the target of the cross-entropy, not the class a prefix is weighted by.
    """
    good_B = good_B.to(logits_B.dtype)
    crossed_B = F.binary_cross_entropy_with_logits(logits_B, good_B * (1 - smoothing) + smoothing / 2, reduction="none")
    right_B = torch.sigmoid(torch.where(good_B > 0, logits_B, -logits_B))
    weight_B = torch.where(good_B > 0, alpha, 1 - alpha)
    return (weight_B * (1 - right_B) ** gamma * crossed_B).mean()


def learning_rate(epoch: int, config: VerifierTraining) -> float:
    """Per epoch: a straight line from a hundredth over the warm-up, then half a cosine towards 0."""
    if epoch < config.warmup_epochs:
        return config.learning_rate * (0.01 + 0.99 * epoch / config.warmup_epochs)
    after = (epoch - config.warmup_epochs) / max(1, config.epochs - config.warmup_epochs)
    return config.learning_rate * (1 + math.cos(math.pi * after)) / 2


def epoch_order(labels: npt.NDArray[np.bool_], config: VerifierTraining, epoch: int) -> npt.NDArray[np.int64]:
    """The numbers of the prefixes in the order in which an epoch sees them; as many as there are."""
    rng = stream(config.seed, f"epoch {epoch}", "sampler")
    good, bad = np.flatnonzero(labels), np.flatnonzero(~labels)
    if len(bad) >= config.bad_share * len(labels):
        return rng.permutation(len(labels))
    from_bad = rng.random(len(labels)) < config.bad_share
    draws = rng.random(len(labels))
    return np.where(from_bad, bad[(draws * len(bad)).astype(int)], good[(draws * len(good)).astype(int)])


@torch.inference_mode()
def logits_of(verifier: Verifier, prefixes: PrefixSet, device: str = "cpu") -> npt.NDArray[np.float64]:
    """Uncalibrated logits of a whole set, in its order; the verifier must be in evaluation mode."""
    found = [
        verifier(*prefixes.batch(range(start, min(start + _SCORING_BATCH, len(prefixes))), device)).logits_B
        for start in range(0, len(prefixes), _SCORING_BATCH)
    ]
    return torch.cat(found).double().cpu().numpy()


def _check(train: PrefixSet, validation: PrefixSet) -> None:
    """ValueError where the two sets do not fit each other, or cannot teach."""
    for what, ours, theirs in (
        ("hidden size", {train.hidden_size}, {validation.hidden_size}),
        ("words per prefix", train.words, validation.words),
    ):
        if len(ours | theirs) > 1:
            raise ValueError(f"{what}: {sorted(ours)} in training, {sorted(theirs)} in validation; it must be one")
    if None in train.folds:
        loose = train.ids[train.folds.index(None)]
        raise ValueError(
            f"fold: training prefix {loose!r} has none; on what it was trained on a fast path drafts as nowhere else, "
            "so draft every conversation with the fold that held it out"
        )
    for what, ours, theirs in (
        ("dialogues", train.dialogues, validation.dialogues),
        ("user voices", train.user_voices, validation.user_voices),
    ):
        shared = sorted(set(ours) & set(theirs))
        if shared:
            raise ValueError(
                f"training and validation share {len(shared)} {what}, the first is {shared[0]!r}; keep apart"
            )
    for name, prefixes in (("training", train), ("validation", validation)):
        try:
            two_classes(prefixes.labels)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _epoch(run: _Run, epoch: int, verifier: Verifier, optimizer: torch.optim.Optimizer) -> EpochMetrics:
    """One pass over the sampler's draws, then the validation drafts."""
    config = run.config
    rate = learning_rate(epoch, config)
    for group in optimizer.param_groups:
        group["lr"] = rate
    order = epoch_order(run.train.labels, config, epoch)
    size = min(config.batch, len(order))
    verifier.train()
    losses: list[Tensor] = []
    norms: list[Tensor] = []
    with _named_dice(config.seed, f"epoch {epoch}", "dropout", run.device):
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            good_B = torch.from_numpy(run.train.labels[chosen]).to(run.device)
            logits_B = verifier(*run.train.batch(chosen, run.device)).logits_B
            loss = focal_loss(logits_B, good_B, config.alpha, config.gamma, config.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norms.append(torch.nn.utils.clip_grad_norm_(verifier.parameters(), config.clip).detach())
            optimizer.step()
            losses.append(loss.detach())
    mean_loss, mean_norm = float(torch.stack(losses).mean()), float(torch.stack(norms).mean())
    if not math.isfinite(mean_loss):
        raise ValueError(f"loss: {mean_loss} in epoch {epoch}; lower learning_rate ({config.learning_rate})")
    logits = logits_of(verifier.eval(), run.validation, run.device)
    ranking = Ranking(run.validation.labels, logits)
    crossed = float(np.mean(np.logaddexp(0.0, np.where(run.validation.labels, -logits, logits))))
    return EpochMetrics(
        epoch=epoch,
        learning_rate=rate,
        loss=mean_loss,
        gradient_norm=mean_norm,
        validation_loss=crossed,
        auroc=ranking.auroc(),
        ap_bad=ranking.ap_bad(),
    )


def _stopped(history: list[EpochMetrics], patience: int) -> bool:
    """Whether the best epoch is that long ago."""
    return bool(history) and len(history) - 1 - _best(history) >= patience


def _best(history: list[EpochMetrics]) -> int:
    """The first epoch with the highest validation AUROC."""
    return max(range(len(history)), key=lambda e: history[e].auroc)


def _operating_point(run: _Run, verifier: Verifier, history: list[EpochMetrics]) -> VerifierCard:
    """Calibration and threshold on the validation drafts, and what they give there."""
    labels, config = run.validation.labels, run.config
    logits = logits_of(verifier, run.validation, run.device)
    calibration = calibrate(logits, labels)
    p = calibration.probabilities(logits)
    threshold = choose_threshold(p, labels, config.rule, config.keep_good)
    best = history[_best(history)]
    measured = {
        "prefixes": float(len(labels)),
        "bad_share": float((~labels).mean()),
        "epoch": float(best.epoch),
        "auroc": best.auroc,
        "ap_bad": best.ap_bad,
        "good_commit": float((p[labels] >= threshold).mean()),
        "bad_commit": float((p[~labels] >= threshold).mean()),
        "fallback": float((p < threshold).mean()),
        "calibration_error": calibration_error(reliability(p, labels)),
        "calibration_error_before": calibration_error(reliability(Calibration().probabilities(logits), labels)),
    }
    return VerifierCard(
        shape=verifier.shape,
        words=min(run.train.words),
        threshold=threshold,
        calibration=calibration,
        rule=config.rule,
        judge=", ".join(sorted(run.train.judges | run.validation.judges)),
        seed=config.seed,
        data=f"{run.train.fingerprint} {run.validation.fingerprint}",
        validation=measured,
    )


@contextmanager
def _named_dice(seed: int, what: str, purpose: str, device: str) -> Iterator[None]:
    """Torch's own generator under a name for a while; what it was before is put back."""
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(key(seed, what, purpose) >> 1)
        yield
