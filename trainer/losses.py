"""What the first two stages minimise: transcribing the user, and saying the right token at every tick.

Shape suffixes: B batch, K ticks (160 ms), D model width, V vocabulary, S user segments, L places of a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainer.model.duplex import Duplex
from trainer.targets import Transcript
from trainer.tokens import MAX_TRANSCRIPT

FILL = 0.6
"""Of a batch of segments, see ``transcriptions``. All segments of 120 s of conversations in one batch are three
quarters padding."""
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
    each_BK = functional.cross_entropy(logits_BKV.flatten(0, 1).float(), token_BK.flatten(), reduction="none")
    weight_BK = weight_V.to(each_BK)[token_BK.flatten()]
    return WeightedMean((each_BK * weight_BK).sum(), weight_BK.sum())


def transcription(
    duplex: Duplex, speech_BKD: Tensor, segments: Sequence[Sequence[Transcript]], max_tokens: int = MAX_TRANSCRIPT
) -> Transcription | None:
    """The user segments of every conversation as one batch, see ``transcriptions``. None where nobody says anything."""
    found = transcriptions(duplex, speech_BKD, segments, max_tokens, fill=0.0)
    return found[0] if found else None


def transcriptions(
    duplex: Duplex,
    speech_BKD: Tensor,
    segments: Sequence[Sequence[Transcript]],
    max_tokens: int = MAX_TRANSCRIPT,
    fill: float = FILL,
) -> list[Transcription]:
    """The user segments of every conversation, with their speech taken from the conversation's own encoding, in
    batches of similar length: none is shorter than ``fill`` of its batch's longest.

    A segment is its speech ticks, the special embedding, and its tokens, cut to ``max_tokens``. The special embedding's
    place is to emit the first token, each token's place the next one.
    """
    ticks = speech_BKD.shape[1]
    spoken = [(row * ticks + s.start, row * ticks + s.end) for row, found in enumerate(segments) for s in found]
    written = [s.tokens[:max_tokens] for found in segments for s in found]
    if not written:
        return []
    special_D = duplex.adapter_special_embedding
    token_N = torch.tensor([token for tokens in written for token in tokens], device=speech_BKD.device)
    # One table of all vectors: rows of zeros and of the special embedding, every tick, every token.
    table = torch.cat(
        [special_D.new_zeros(1, len(special_D)), special_D[None], speech_BKD.flatten(0, 1), duplex.embedding(token_N)]
    )
    places, labels, at = [], [], 2 + len(speech_BKD) * ticks
    for (start, end), tokens in zip(spoken, written, strict=True):
        places.append(torch.tensor([*range(2 + start, 2 + end), 1, *range(at, at + len(tokens))]))
        # The last token's own place has nothing left to emit.
        labels.append(torch.tensor([*[IGNORED] * (end - start), *tokens, IGNORED]))
        at += len(tokens)
    pad = torch.nn.utils.rnn.pad_sequence
    found = []
    for group in _alike([len(label) for label in labels], fill):
        place_SL = pad([places[one] for one in group], batch_first=True).to(table.device)
        label_SL = pad([labels[one] for one in group], batch_first=True, padding_value=IGNORED).to(table.device)
        found.append(Transcription(functional.embedding(place_SL, table), label_SL))
    return found


def _alike(lengths: Sequence[int], fill: float) -> list[list[int]]:
    """Places in groups: in each the shortest length is at least ``fill`` of the longest."""
    if not fill:
        return [list(range(len(lengths)))] if lengths else []
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if groups and lengths[place] >= fill * lengths[groups[-1][0]]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def transcription_loss(logits_SLV: Tensor, label_SL: Tensor) -> WeightedMean:
    """Plain cross-entropy over all tokens of all segments."""
    taught_SL = label_SL != IGNORED
    each = functional.cross_entropy(logits_SLV[taught_SL].float(), label_SL[taught_SL], reduction="sum")
    return WeightedMean(each, taught_SL.sum().to(each))
