"""What the first two stages minimise: transcribing the user, and saying the right token at every tick.

Shape suffixes: B batch, K ticks (160 ms), D model width, V vocabulary, S user segments, L places of a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.model.duplex import Duplex
from trainer.targets import Transcript
from trainer.tokens import MAX_TRANSCRIPT

IGNORED = -100
"""Label of a place that teaches nothing."""


class WeightedMean(NamedTuple):
    """A mean that can still be merged: gradient accumulation and several GPUs add sums and weights apart."""

    total: Tensor
    weight: Tensor

    @property
    def mean(self) -> Tensor:
        """Not a number where nothing counts."""
        return self.total / self.weight


class Transcription(NamedTuple):
    """The user segments of a batch as one batch for the language model."""

    input_SLD: Tensor
    """Speech ticks, the special embedding, tokens; zeros behind."""
    label_SL: Tensor
    """The token to emit at each place, ``IGNORED`` where there is none."""


def duplex_loss(logits_BKV: Tensor, token_BK: Tensor, weight_V: Tensor) -> WeightedMean:
    """Cross-entropy of the labels, each weighted by its class, as PyTorch's weighted mean.

    Args:
        logits_BKV: any floating type; computed in float32.
        token_BK: the labels.
        weight_V: weight per token (``targets.class_weights``); [PAD] has 0 there and so counts nothing.
    """
    each_BK = F.cross_entropy(logits_BKV.flatten(0, 1).float(), token_BK.flatten(), reduction="none")
    weight_BK = weight_V.to(each_BK)[token_BK.flatten()]
    return WeightedMean((each_BK * weight_BK).sum(), weight_BK.sum())


def transcription(
    duplex: Duplex, speech_BKD: Tensor, segments: Sequence[Sequence[Transcript]], max_tokens: int = MAX_TRANSCRIPT
) -> Transcription | None:
    """The user segments of every conversation, with their speech taken from the conversation's own encoding.

    A segment is its speech ticks, the special embedding, and its tokens, cut to ``max_tokens``. The special embedding's
    place is to emit the first token, each token's place the next one. None where nobody says anything.
    """
    inputs: list[Tensor] = []
    labels: list[Tensor] = []
    for speech_KD, found in zip(speech_BKD, segments, strict=True):
        for segment in found:
            token_L = torch.tensor(segment.tokens[:max_tokens], device=speech_KD.device)
            heard_KD = speech_KD[segment.start : segment.end]
            special_D = duplex.adapter_special_embedding
            parts = (heard_KD.to(special_D), special_D[None], duplex.embedding(token_L))
            inputs.append(torch.cat(parts))
            # The last token's own place has nothing left to emit.
            labels.append(F.pad(token_L, (len(heard_KD), 1), value=IGNORED))
    if not inputs:
        return None
    pad = torch.nn.utils.rnn.pad_sequence
    return Transcription(pad(inputs, batch_first=True), pad(labels, batch_first=True, padding_value=IGNORED))


def transcription_loss(logits_SLV: Tensor, label_SL: Tensor) -> WeightedMean:
    """Plain cross-entropy over all tokens of all segments."""
    taught_SL = label_SL != IGNORED
    each = F.cross_entropy(logits_SLV[taught_SL].float(), label_SL[taught_SL], reduction="sum")
    return WeightedMean(each, taught_SL.sum().to(each))
