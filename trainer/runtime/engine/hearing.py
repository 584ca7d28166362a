"""What a row has heard lately, and writing it down: stage 1's transcription as a piece of work in small steps, for
models that keep no notes (``noting``).

Shape suffixes: K ticks, D width, Q inputs of a step.

The input is that of ``trainer.losses.transcription``: speech vectors, the special embedding, [BOS]; then the likeliest
token each time, until a control token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer.tokens import MAX_TRANSCRIPT

KEPT_TICKS = 375
"""60 s of speech vectors."""
CHUNK = 16
"""Inputs of a step of reading: a tick may have to wait for one. Beside 5 layers of width 256 it takes as long as two
ticks."""
ROOM = KEPT_TICKS + 1 + MAX_TRANSCRIPT


class Heard:
    """The last KEPT_TICKS speech vectors of a row; of a model that keeps notes, hidden states."""

    def __init__(self, like_D: Tensor) -> None:
        self._ring_KD = like_D.new_zeros(KEPT_TICKS, like_D.shape[-1])
        self.ticks = 0
        """So far, those that are gone included."""

    def clear(self) -> None:
        """As new."""
        self.ticks = 0

    def add(self, speech_D: Tensor) -> None:
        """The next tick's vector."""
        self._ring_KD[self.ticks % KEPT_TICKS] = speech_D
        self.ticks += 1

    def between(self, first: int, ticks: int) -> Tensor:
        """Vectors of ticks ``first`` to ``first + ticks``: those of them that are here. Ticks count from 0."""
        begin = max(first, self.ticks - KEPT_TICKS, 0)
        end = min(first + ticks, self.ticks)
        at = [tick % KEPT_TICKS for tick in range(begin, end)]
        return self._ring_KD[at]


@dataclass
class Transcription:
    """One transcription under way."""

    of: int
    """The row that is listened to."""
    unread_QD: Tensor
    """Inputs that the language model has not seen."""
    tell: Callable[[list[int] | BaseException], None]
    row: int = -1
    """Of its own; -1 while it waits for one."""
    dropped: bool = False
    """Nobody waits for it any more."""
    tokens: list[int] = field(default_factory=list)

    def take(self) -> Tensor:
        """The next inputs to read, at most CHUNK."""
        read_QD, self.unread_QD = self.unread_QD[:CHUNK], self.unread_QD[CHUNK:]
        return read_QD

    def add(self, token: int, controls: Sequence[int]) -> bool:
        """A step's token; tells the tokens at the end. Whether that was the last."""
        if token not in controls:
            self.tokens.append(token)
        # [BOS] counts.
        ended = token in controls or len(self.tokens) + 1 >= MAX_TRANSCRIPT
        if ended:
            self.tell(self.tokens)
        return ended


def inputs(heard_KD: Tensor, special_D: Tensor, bos_D: Tensor) -> Tensor:
    """What the language model reads before it writes (K + 2 x D)."""
    return torch.cat([heard_KD, special_D[None], bos_D[None]])
