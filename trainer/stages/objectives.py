"""What the first two stages minimise, as modules that take a batch and give a loss.

Shape suffixes: B batch, K ticks (160 ms), E encoder frames (40 ms), D width, V vocabulary, C letters, S user segments.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from datagen.core.units import FRAME_SAMPLES
from trainer.data.loader import Batch
from trainer.data.rows import Row
from trainer.losses import WeightedMean, duplex_loss, transcription, transcription_loss
from trainer.model.duplex import previous_tokens
from trainer.model.fastpath import LETTERS, FastPath
from trainer.model.tower import TICK_FRAMES
from trainer.presets import Schedule
from trainer.targets import Item, Target, class_weights, pad_to, target

FRAME = FRAME_SAMPLES // TICK_FRAMES
"""Samples of an encoder frame."""
SPELT = {letter: number for number, letter in enumerate(LETTERS, 1)}


class Objective(nn.Module):
    """What both stages share: the targets of rows, the encoder, and the auxiliary loss."""

    def __init__(self, fast_path: FastPath, schedule: Schedule) -> None:
        super().__init__()
        self.fast_path, self.schedule = fast_path, schedule
        self._targets: dict[str, Target] = {}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` to be minimised, and its parts."""
        path = self.fast_path
        frames_BED, lens_B = path.frames(batch.samples_BN, batch.lengths_B)
        speech_BKD, _ = path.tower.adapter(frames_BED, lens_B)
        parts = {"main": self.main(speech_BKD, batch.rows)}
        loss = parts["main"] * self.weight
        if self.schedule.letters:
            parts["letters"] = self._letters(frames_BED, batch.rows)
            loss = loss + self.schedule.letters * parts["letters"]
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    @property
    def weight(self) -> float:
        """Of the stage's own loss."""
        return 1.0

    def main(self, speech_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        """The stage's own loss."""
        raise NotImplementedError

    def target(self, row: Row) -> Target:
        """The labels of a row, made once."""
        if row.id not in self._targets:
            path = self.fast_path
            self._targets[row.id] = target(items_of(row), row.num_samples, path.encode, path.tokens, path.preset.rules)
        return self._targets[row.id]

    def _letters(self, frames_BED: Tensor, rows: Sequence[Row]) -> Tensor:
        """CTC of the letters of every user segment over the encoder frames it lasts."""
        heard: list[Tensor] = []
        spelt: list[Tensor] = []
        for frames_ED, row in zip(frames_BED, rows, strict=True):
            for segment in row.segments:
                letters = [SPELT[c] for c in segment.text.lower() if c in SPELT]
                piece_ED = frames_ED[segment.start // FRAME : segment.end // FRAME + 2]
                if segment.speaker == "user" and letters and len(piece_ED) > len(letters):
                    heard.append(piece_ED)
                    spelt.append(torch.tensor(letters))
        if not heard:
            return frames_BED.new_zeros(())
        padded_SED = nn.utils.rnn.pad_sequence(heard, batch_first=True)
        log_SEC = self.fast_path.letters(padded_SED).float().log_softmax(-1)
        lengths = torch.tensor([len(p) for p in heard]), torch.tensor([len(s) for s in spelt])
        labels = torch.cat(spelt).to(log_SEC.device)
        return functional.ctc_loss(log_SEC.transpose(0, 1), labels, *lengths, zero_infinity=True)


class Transcribing(Objective):
    """Stage 1: the language model writes down what the user says."""

    @property
    def weight(self) -> float:
        return self.schedule.transcribe

    def main(self, speech_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        """Mean cross-entropy of the transcripts' tokens."""
        duplex = self.fast_path.duplex
        if not self.schedule.transcribe:
            return speech_BKD.new_zeros(())
        found = transcription(duplex, speech_BKD, [self.target(row).transcripts for row in rows])
        if found is None:
            return speech_BKD.new_zeros(())
        logits_SLV = duplex.logits(duplex.run(found.input_SLD))
        return transcription_loss(logits_SLV, found.label_SL).mean


class Conversing(Objective):
    """Stage 2: the right token at every tick."""

    def __init__(self, fast_path: FastPath, schedule: Schedule) -> None:
        super().__init__(fast_path, schedule)
        weight_V = torch.from_numpy(class_weights(fast_path.tokens, fast_path.preset.weights))
        self.register_buffer("weight_V", weight_V, persistent=False)

    def main(self, speech_BKD: Tensor, rows: Sequence[Row]) -> Tensor:
        """The weighted mean of cross-entropies."""
        return self.summed(speech_BKD, rows).mean

    def summed(self, speech_BKD: Tensor, rows: Sequence[Row]) -> WeightedMean:
        """The loss of a batch as a sum and its weight."""
        tokens = self.fast_path.tokens
        ids = [pad_to(self.target(row).ids_K, speech_BKD.shape[1], tokens) for row in rows]
        token_BK = torch.stack([torch.from_numpy(ids_K.copy()) for ids_K in ids]).to(speech_BKD.device)
        logits_BKV = self.fast_path.duplex(speech_BKD, previous_tokens(token_BK, tokens)).logits_BKV
        weight_V = self.weight_V
        assert isinstance(weight_V, Tensor)
        return duplex_loss(logits_BKV, token_BK, weight_V)


def items_of(row: Row) -> list[Item]:
    """A row's segments as the target builder takes them."""
    return [Item(s.speaker, s.kind, s.start, s.end, s.text, s.text_full, s.yielded) for s in row.segments]
