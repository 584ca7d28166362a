"""Conversations as the duplex model sees them: speech vectors, labels, and the row they come from.

Shape suffixes: K ticks (160 ms), D model width.

Everything that is measured starts from here, so the speech is encoded once however often it is listened to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from trainer.data.augment import Transform
from trainer.data.batching import Batching, plan_batches
from trainer.data.index import Index
from trainer.data.loader import Batch, Conversations, Order, make_loader
from trainer.data.rows import Row
from trainer.model.duplex import Duplex
from trainer.targets import Ids, Rules, Target, items_of, target
from trainer.tokens import ControlTokens, encode


class Hearing(Protocol):
    """What is asked of a fast path (``trainer.model.fastpath.FastPath``)."""

    duplex: Any
    """A ``Duplex``."""
    tokenizer: Any

    @property
    def tokens(self) -> ControlTokens: ...

    def speech(self, samples_BN: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Heard:
    """One conversation."""

    row: Row
    speech_KD: Tensor
    """Float32 in main memory, as many ticks as there are labels."""
    target: Target
    """As the model's labels are written."""
    recorded: Target
    """With each [BOS], [BOC] and [STP] where the recorded assistant began and stopped, see ``targets.items_of``."""

    @property
    def ids_K(self) -> Ids:
        """The labels."""
        return self.target.ids_K

    @property
    def ticks(self) -> int:
        """How many have labels."""
        return len(self.ids_K)


def batches_of(index: Index, transform: Transform | None = None, seconds: float = 300.0, workers: int = 0) -> Any:
    """All conversations of an index once, in batches of so many seconds of audio; ``transform``: see ``with_floor``."""
    order = Order(plan_batches(index.num_samples, Batching(seconds=seconds)), seed=0, shuffle=False)
    return make_loader(Conversations(index, transform), order, workers=workers)


@torch.no_grad()
def hear(fast: Hearing, batches: Iterable[Batch], rules: Rules) -> Iterator[Heard]:
    """Encodes conversations and labels them.

    Args:
        fast: a fast path in evaluation mode, on any device.
        batches: see ``batches_of``.
        rules: how its labels were written in training (``fast.preset.rules``).
    """
    device = device_of(fast.duplex)
    for batch in batches:
        speech_BKD, _ = fast.speech(batch.samples_BN.to(device), batch.lengths_B.to(device))
        for row, speech_KD in zip(batch.rows, speech_BKD.float().cpu(), strict=True):
            yield heard_of(row, speech_KD, fast, rules)


def heard_of(row: Row, speech_KD: Tensor, fast: Hearing, rules: Rules) -> Heard:
    """A conversation with its labels; ticks of speech behind the last label are dropped."""

    def labelled(rules: Rules) -> Target:
        return target(
            items_of(row, rules), row.num_samples, lambda text: encode(fast.tokenizer, text), fast.tokens, rules
        )

    made = labelled(rules)
    recorded = labelled(rules.recorded()) if rules.steady else made
    return Heard(row, speech_KD[: len(made.ids_K)].clone(), made, recorded)


def device_of(duplex: Duplex) -> torch.device:
    """Where the language model is."""
    return duplex.embedding.weight.device


def stacked(speech: Iterable[Tensor], device: torch.device) -> Tensor:
    """Speech vectors of several conversations as one tensor, zeros behind the shorter ones."""
    return torch.nn.utils.rnn.pad_sequence(list(speech), batch_first=True).to(device)


def by_length(heard: Sequence[Heard], size: int) -> Iterator[list[int]]:
    """Places of conversations in groups of ``size``, the longest first, so that little is padded."""
    order = sorted(range(len(heard)), key=lambda place: -heard[place].ticks)
    for first in range(0, len(order), size):
        yield order[first : first + size]


Progress = Callable[[int], None]
"""Called with how many conversations are done, as they are."""
