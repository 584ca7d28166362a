"""Teacher-forced: what the model says at every tick when it is fed the true history, as the paper scores it.

Shape suffixes: B batch, K ticks (160 ms), D model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.evaluate.heard import Heard, Hearing, by_length, device_of, stacked
from trainer.evaluate.matching import TOLERANCE, places, tally
from trainer.evaluate.scores import Scored
from trainer.evaluate.thresholds import Calibrated, Chance, best_threshold
from trainer.firing import EVENTS, Event, Thresholds
from trainer.model.duplex import Duplex, previous_tokens
from trainer.targets import Ids
from trainer.tokens import ControlTokens

_LOGITS = 1 << 24
"""Numbers in a block of logits: 64 MiB."""


@dataclass(frozen=True)
class Forced:
    """What the model says in one conversation."""

    top_K: Ids
    """The likeliest token of all."""
    rest_K: Ids
    """The likeliest that is no event."""
    chances: Mapping[Event, Chance]
    """Probability of each event at every tick."""

    def emitted(self, tokens: ControlTokens, thresholds: Thresholds | None = None) -> Ids:
        """The token of every tick; without thresholds the likeliest. Of several events that reach their thresholds it
        is the one farthest above its own."""
        if thresholds is None:
            return self.top_K
        ratio_3K = np.stack([self.chances[kind] / getattr(thresholds, kind) for kind in EVENTS])
        event_K = np.array([getattr(tokens, kind) for kind in EVENTS])[ratio_3K.argmax(axis=0)]
        return np.where(ratio_3K.max(axis=0) >= 1, event_K, self.rest_K)


def run_forced(fast: Hearing, heard: Sequence[Heard], batch: int = 16) -> list[Forced]:
    """One pass over every conversation; the batch changes nothing but the time."""
    found: dict[int, Forced] = {}
    for group in by_length(heard, batch):
        some = [heard[place] for place in group]
        for place, made in zip(group, _together(fast.duplex, some), strict=True):
            found[place] = made
    return [found[place] for place in range(len(heard))]


def score_forced(
    heard: Heard,
    forced: Forced,
    tokens: ControlTokens,
    thresholds: Thresholds | None = None,
    tolerance: int = TOLERANCE,
) -> Scored:
    """Table 3 of one conversation: against the labels as they are, both [STP] of ``relays2s`` included."""
    emitted_K = forced.emitted(tokens, thresholds)
    return Scored(id=heard.row.id, counts=tally(emitted_K, heard.ids_K, tokens, tolerance))


def calibrate_forced(
    heard: Sequence[Heard],
    forced: Sequence[Forced],
    tokens: ControlTokens,
    tolerance: int = TOLERANCE,
    onsets: bool = False,
) -> Calibrated:
    """The best threshold of every event, one by one, on validation conversations. ``onsets``: see ``best_threshold``;
    a good start for free-running, and not for a teacher-forced table."""
    best: dict[Event, tuple[float, float]] = {
        kind: best_threshold(
            [f.chances[kind] for f in forced],
            [places(h.ids_K, getattr(tokens, kind)) for h in heard],
            tolerance,
            onsets,
        )
        for kind in EVENTS
    }
    return Calibrated(
        thresholds=Thresholds(**{kind: level for kind, (level, _) in best.items()}),
        mode="forced",
        conversations=len(heard),
        tolerance=tolerance,
        f1={kind: None if np.isnan(f1) else f1 for kind, (_, f1) in best.items()},
    )


@torch.no_grad()
def _together(duplex: Duplex, heard: Sequence[Heard]) -> list[Forced]:
    """Some conversations side by side; logits of a whole batch would fill the memory, so they are made in blocks."""
    device, tokens = device_of(duplex), duplex.tokens
    speech_BKD = stacked((h.speech_KD for h in heard), device)
    labels = [torch.from_numpy(h.ids_K.copy()) for h in heard]
    label_BK = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=tokens.pad).to(device)
    hidden_BKD, _ = duplex.prefill(speech_BKD, previous_tokens(label_BK, tokens))
    events = torch.tensor([getattr(tokens, kind) for kind in EVENTS], device=device)
    block = max(1, _LOGITS // (len(heard) * tokens.vocabulary))
    parts = [_looked_at(duplex.logits(hidden_BkD).float(), events) for hidden_BkD in hidden_BKD.split(block, dim=1)]
    top_BK, rest_BK, chance_BK3 = (torch.cat(column, dim=1).cpu().numpy() for column in zip(*parts, strict=True))
    return [
        Forced(
            top_BK[b, : h.ticks],
            rest_BK[b, : h.ticks],
            {kind: chance_BK3[b, : h.ticks, n] for n, kind in enumerate(EVENTS)},
        )
        for b, h in enumerate(heard)
    ]


def _looked_at(logits_BKV: Tensor, events: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Likeliest token, likeliest that is no event, probabilities of the events."""
    chance_BK3 = (logits_BKV[..., events] - logits_BKV.logsumexp(-1, keepdim=True)).exp()
    top_BK = logits_BKV.argmax(-1)
    return top_BK, logits_BKV.index_fill_(-1, events, -torch.inf).argmax(-1), chance_BK3
