"""What the first two stages minimise, as modules that take a batch and give a loss.

Shape suffixes: B batch, K ticks (160 ms), E encoder frames (40 ms), D width, V vocabulary, C letters,
S user segments, L places of a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from datagen.core.rng import stream
from trainer.data.loader import Batch
from trainer.data.rows import Row
from trainer.losses import IGNORED, duplex_loss, transcription, transcription_loss
from trainer.model.duplex import previous_tokens
from trainer.model.fastpath import FastPath
from trainer.presets import Schedule
from trainer.stages.spelling import spelt
from trainer.stages.throats import disguised
from trainer.targets import Ids, Target, alone, class_weights, items_of, pad_to, target


class Objective(nn.Module):
    """The sum of up to three losses; the stages differ in their weights."""

    duplex: ClassVar[float]
    """Weight of the tokens at every tick."""

    def __init__(self, fast_path: FastPath, schedule: Schedule, seed: int = 0) -> None:
        """``seed`` decides how the features are changed in training."""
        super().__init__()
        self.fast_path, self.schedule, self.seed = fast_path, schedule, seed
        self._targets: dict[str, Target] = {}
        self._letters: dict[str, Tensor] = {}
        weight_V = torch.from_numpy(class_weights(fast_path.tokens, fast_path.preset.weights))
        self.register_buffer("weight_V", weight_V, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` to be minimised, and its parts."""
        path, schedule = self.fast_path, self.schedule
        frames_BED, lens_B = path.frames(batch.samples_BN, batch.lengths_B, lambda feats: self._disguised(feats, batch))
        speech_BKD, _ = path.tower.adapter(frames_BED, lens_B)
        weighted = {
            "duplex": (self.duplex, lambda: self.conversing(speech_BKD, batch)),
            "transcript": (schedule.transcribe, lambda: self.transcribing(speech_BKD, batch.rows)),
            "letters": (schedule.letters, lambda: self.spelling(frames_BED, batch.rows)),
        }
        parts = {name: part() for name, (weight, part) in weighted.items() if weight}
        loss = torch.stack([weighted[name][0] * value for name, value in parts.items()]).sum()
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def conversing(self, speech_BKD: Tensor, batch: Batch) -> Tensor:
        """Of the right token at every tick: the weighted mean of cross-entropies."""
        tokens = self.fast_path.tokens
        ids = [pad_to(self.target(row).ids_K, speech_BKD.shape[1], tokens) for row in batch.rows]
        token_BK = torch.stack([torch.from_numpy(ids_K.copy()) for ids_K in ids]).to(speech_BKD.device)
        if self.training and self.schedule.deafened:
            speech_BKD = self._deafened(speech_BKD, ids, batch)
        logits_BKV = self.fast_path.duplex(speech_BKD, previous_tokens(token_BK, tokens)).logits_BKV
        weight_V = self.weight_V
        assert isinstance(weight_V, Tensor)
        return duplex_loss(logits_BKV, token_BK, weight_V).mean

    def transcribing(self, speech_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        """Of the language model writing down what the user says: the mean cross-entropy of the tokens."""
        duplex = self.fast_path.duplex
        found = transcription(duplex, speech_BKD, [self.target(row).transcripts for row in rows])
        if found is None:
            return speech_BKD.new_zeros(())
        logits_SLV = duplex.logits(duplex.run(found.input_SLD))
        return transcription_loss(logits_SLV, found.label_SL).mean

    def spelling(self, frames_BED: Tensor, rows: Sequence[Row]) -> Tensor:
        """Of the letter that each encoder frame hears; frames behind a conversation's end teach nothing."""
        label_BE = torch.stack([self._spelt(row, frames_BED.shape[1]) for row in rows]).to(frames_BED.device)
        logits_BEC = self.fast_path.letters(frames_BED).float()
        return functional.cross_entropy(logits_BEC.flatten(0, 1), label_BE.flatten(), ignore_index=IGNORED)

    def target(self, row: Row) -> Target:
        """The labels of a row, made once."""
        if row.id not in self._targets:
            path = self.fast_path
            self._targets[row.id] = target(items_of(row), row.num_samples, path.encode, path.tokens, path.preset.rules)
        return self._targets[row.id]

    def _disguised(self, feats_BTF: Tensor, batch: Batch) -> Tensor:
        schedule = self.schedule
        if not self.training or not (schedule.stretch or schedule.hidden_bins):
            return feats_BTF
        names = [row.id for row in batch.rows]
        return disguised(feats_BTF, names, batch.epoch, self.seed, schedule.stretch, schedule.hidden_bins)

    def _deafened(self, speech_BKD: Tensor, ids: Sequence[Ids], batch: Batch) -> Tensor:
        share = self.schedule.deafened
        rngs = (stream(self.seed, row.id, f"deaf-{batch.epoch}") for row in batch.rows)
        deaf = [alone(ids_K, self.fast_path.tokens, rng, share) for ids_K, rng in zip(ids, rngs, strict=True)]
        return speech_BKD.masked_fill(torch.from_numpy(np.stack(deaf)).to(speech_BKD.device)[..., None], 0)

    def _spelt(self, row: Row, frames: int) -> Tensor:
        if row.id not in self._letters:
            self._letters[row.id] = torch.from_numpy(spelt(row))
        label_E = self._letters[row.id][:frames]
        return functional.pad(label_E, (0, frames - len(label_E)), value=IGNORED)


class Transcribing(Objective):
    """Stage 1."""

    duplex = 0.0


class Conversing(Objective):
    """Stage 2. Transcribing with a weight above 0 keeps what stage 1 has taught."""

    duplex = 1.0
