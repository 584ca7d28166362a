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
from trainer.losses import IGNORED, duplex_loss, transcription_loss, transcriptions
from trainer.model.duplex import previous_tokens
from trainer.model.fastpath import FastPath
from trainer.presets import Schedule
from trainer.stages.spelling import spelt
from trainer.stages.throats import disguised
from trainer.stages.wording import worded, worded_loss
from trainer.targets import Ids, Target, alone, class_weights, items_of, pad_to, target

SPEECH = "speech"
"""Of a batch's targets: speech vectors that were kept, see ``trainer.stages.hearing``."""


class Objective(nn.Module):
    """The sum of up to three losses; the stages differ in their weights."""

    duplex: ClassVar[float]
    """Weight of the tokens at every tick."""

    def __init__(self, fast_path: FastPath, schedule: Schedule, seed: int = 0) -> None:
        """``seed`` decides how the features are changed in training."""
        super().__init__()
        self.fast_path, self.schedule, self.seed = fast_path, schedule, seed
        self._epoch = 0
        self._targets: dict[str, Target] = {}
        self._letters: dict[str, Tensor] = {}
        self._words: dict[str, Tensor] = {}
        weights = fast_path.preset.weights
        quiet = {name: schedule.silence * getattr(weights, name) for name in ("sil", "hod")}
        weight_V = torch.from_numpy(class_weights(fast_path.tokens, weights.model_copy(update=quiet)))
        self.register_buffer("weight_V", weight_V, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` to be minimised, and its parts."""
        schedule = self.schedule
        if schedule.retimed and batch.epoch != self._epoch:  # what was told then is not told again
            self._epoch = batch.epoch
            self._targets.clear()
            self._words.clear()
        kept_BKD = batch.targets.get(SPEECH)
        frames_BED, speech_BKD = (kept_BKD, kept_BKD) if kept_BKD is not None else self._heard(batch)
        weighted = {
            "duplex": (self.duplex, lambda: self.conversing(speech_BKD, batch)),
            "transcript": (schedule.transcribe, lambda: self.transcribing(speech_BKD, batch.rows)),
            "words": (schedule.words, lambda: self.wording(speech_BKD, batch.rows)),
            "letters": (schedule.letters, lambda: self.spelling(frames_BED, batch.rows)),
        }
        parts = {name: part() for name, (weight, part) in weighted.items() if weight}
        loss = torch.stack([weighted[name][0] * value for name, value in parts.items()]).sum()
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    @torch.no_grad()
    def listen(self, batch: Batch) -> Tensor:
        """Speech vectors (B x K x D) to be kept, changed as in training."""
        device = batch.samples_BN.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.fast_path.preset.bf16):
            return self._heard(batch)[1].float()

    def _heard(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Encoder frames and speech vectors."""
        path = self.fast_path
        frames_BED, lens_B = path.frames(batch.samples_BN, batch.lengths_B, lambda feats: self._disguised(feats, batch))
        return frames_BED, path.tower.adapter(frames_BED, lens_B)[0]

    def conversing(self, speech_BKD: Tensor, batch: Batch) -> Tensor:
        """Of the right token at every tick: the weighted mean of cross-entropies."""
        tokens = self.fast_path.tokens
        ids = [pad_to(self.target(row).ids_K, speech_BKD.shape[1], tokens) for row in batch.rows]
        token_BK = torch.stack([torch.from_numpy(ids_K.copy()) for ids_K in ids]).to(speech_BKD.device)
        if self.training and self.schedule.deafened:
            speech_BKD = self._deafened(speech_BKD, ids, batch)
        output = self.fast_path.duplex(speech_BKD, previous_tokens(token_BK, tokens))
        weight_V = self.weight_V
        assert isinstance(weight_V, Tensor)
        loss = duplex_loss(output.logits_BKV, token_BK, weight_V).mean
        if self.schedule.notes:
            assert self.fast_path.noted is not None
            loss = loss + self.schedule.notes * self._words_loss(self.fast_path.noted(output.hidden_BKD), batch.rows)
        return loss

    def transcribing(self, speech_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        """Of the language model writing down what the user says: the mean cross-entropy of the tokens."""
        duplex = self.fast_path.duplex
        found = transcriptions(duplex, speech_BKD, [self.target(row).transcripts for row in rows])
        if not found:
            return speech_BKD.new_zeros(())
        parts = []
        for one in found:
            taught_SL = one.label_SL != IGNORED
            logits_NV = duplex.logits(duplex.run(one.input_SLD)[taught_SL])
            parts.append(transcription_loss(logits_NV, one.label_SL[taught_SL]))
        return torch.stack([part.total for part in parts]).sum() / torch.stack([part.weight for part in parts]).sum()

    def wording(self, speech_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        """Of the words that each speech vector hears end: the mean cross-entropy of all labels."""
        path = self.fast_path
        assert path.heard is not None
        assert path.heard_norm is not None
        return self._words_loss(path.heard(path.heard_norm(speech_BKD)), rows)

    def spelling(self, frames_BED: Tensor, rows: Sequence[Row]) -> Tensor:
        """Of the letter that each encoder frame hears; frames behind a conversation's end teach nothing."""
        label_BE = torch.stack([self._spelt(row, frames_BED.shape[1]) for row in rows]).to(frames_BED.device)
        logits_BEC = self.fast_path.letters(frames_BED).float()
        return functional.cross_entropy(logits_BEC.flatten(0, 1), label_BE.flatten(), ignore_index=IGNORED)

    def target(self, row: Row) -> Target:
        """The labels of a row, made once."""
        if row.id not in self._targets:
            path = self.fast_path
            self._targets[row.id] = target(
                items_of(row, path.preset.rules), row.num_samples, path.encode, path.tokens, path.preset.rules
            )
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

    def _words_loss(self, hidden_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        label_BK2 = torch.stack([self._worded(row, hidden_BKD.shape[1]) for row in rows]).to(hidden_BKD.device)
        return worded_loss(self.fast_path.duplex.logits(hidden_BKD), label_BK2)

    def _worded(self, row: Row, ticks: int) -> Tensor:
        path = self.fast_path
        if row.id not in self._words:
            self._words[row.id] = torch.from_numpy(worded(row, path.encode, path.tokens))
        label_K2 = self._words[row.id][:ticks]
        return functional.pad(label_K2, (0, 0, 0, ticks - len(label_K2)), value=IGNORED)

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
