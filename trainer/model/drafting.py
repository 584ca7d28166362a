"""Drafts: what the model would say from a tick on if it heard nothing more, and how sure it was at every step.

Shape suffixes: B batch, K ticks (160 ms), D model width, V vocabulary, L steps of a draft, P points.

A draft starts from the state right after the tick that emitted [BOS]. Each step hears a zero vector and its own last
token and takes the likeliest next one; the state it came from is not touched. Many points are drafted at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from datagen.core.types import Strict
from trainer.model.duplex import Duplex, Step, previous_tokens
from trainer.model.state import LMState

Half = npt.NDArray[np.float16]
Single = npt.NDArray[np.float32]


Role = Literal["eos", "sil", "stp", "boc", "bos", "hod", "pad"]
CONTROLS: tuple[Role, ...] = ("eos", "sil", "stp", "boc", "bos", "hod", "pad")
"""Every control token. None of them can be spoken, and what a model writes after one is no part of its answer."""


class Drafting(Strict):
    """When a draft ends and how much of it is written down."""

    stop: tuple[Role, ...] = ("eos", "sil")
    """Tokens that end it. The public code stops at these two; prefixes stop at any of ``CONTROLS``."""
    max_tokens: int = Field(default=511, gt=0)
    logged: int = Field(default=20, gt=0)
    """Steps whose numbers are kept."""
    top: int = Field(default=10, gt=1)


class Onset(NamedTuple):
    """A place to draft from: a conversation of the batch and the tick that emitted [BOS]."""

    row: int
    tick: int


@dataclass(frozen=True)
class Draft:
    """A draft and the numbers of its first steps."""

    tokens: tuple[int, ...]
    """Every step's token, the one that ended the draft included."""
    ended: bool
    """Whether the last token is one of the stop tokens; else the draft was cut at ``max_tokens``."""
    hidden_LD: Half
    """After the final norm."""
    top_ids: npt.NDArray[np.int64]
    """(steps, top), likeliest first."""
    top_logits: Half
    top_probabilities: Half
    entropy_L: Single
    """In nats, over the whole vocabulary."""
    log_probability_L: Single
    """Of the chosen token."""

    @property
    def spoken(self) -> tuple[int, ...]:
        """The tokens without the one that ended the draft."""
        return self.tokens[:-1] if self.ended else self.tokens

    @property
    def margin_L(self) -> Single:
        """Logit of the likeliest token minus that of the second, from the half-precision log."""
        top_L2 = self.top_logits[:, :2].astype(np.float32)
        return top_L2[:, 0] - top_L2[:, 1]

    @property
    def scalars_L3(self) -> Single:
        """What the verifier sees beside the hidden states: entropy, log-probability, margin."""
        return np.stack([self.entropy_L, self.log_probability_L, self.margin_L], axis=1)


def greedy(duplex: Duplex, state: LMState, token_B: Tensor) -> Iterator[tuple[Tensor, Step]]:
    """Tokens without end, each the likeliest after zeroed speech and the one before; ``token_B`` is fed first."""
    silence_BD = torch.zeros(len(token_B), duplex.width, device=token_B.device)
    state = state.fork()
    while True:
        step = duplex.step(silence_BD, token_B, state)
        state, token_B = step.state, step.logits_BV.argmax(-1)
        yield token_B, step


def draft(duplex: Duplex, state: LMState, options: Drafting | None = None) -> list[Draft]:
    """One draft per row of ``state``, which stays as it is; [BOS] is fed first.

    Rows that have ended are dropped from the batch whenever they are half of it. Raises ValueError for a model in
    training mode, whose dropout would draft something else every time.
    """
    if duplex.llm.training:
        raise ValueError("drafts need a model in evaluation mode; call eval() first")
    options = options or Drafting()
    stop = {getattr(duplex.tokens, role) for role in options.stop}
    logs = [_Log(options) for _ in range(state.batch)]
    alive = list(range(state.batch))
    token_B = torch.full((state.batch,), duplex.tokens.bos, device=duplex.embedding.weight.device)
    steps = greedy(duplex, state, token_B)
    for _ in range(options.max_tokens):
        token_B, step = next(steps)
        noted = _noted(step, token_B, options) if any(len(logs[i].tokens) < options.logged for i in alive) else None
        chosen = token_B.tolist()
        for place, row in enumerate(alive):
            if not logs[row].ended:
                logs[row].add(chosen[place], noted, place, chosen[place] in stop)
        going = [place for place, row in enumerate(alive) if not logs[row].ended]
        if not going:
            break
        if 2 * len(going) <= len(alive):
            alive = [alive[place] for place in going]
            steps = greedy(duplex, step.state.rows(going), token_B[going])
    return [log.draft() for log in logs]


def draft_at(
    duplex: Duplex,
    speech_BKD: Tensor,
    token_BK: Tensor,
    points: Sequence[Onset],
    options: Drafting | None = None,
    batch: int = 64,
) -> list[Draft]:
    """Drafts from many places of a batch of conversations, as if each had been stopped right there.

    Args:
        duplex: the model, in evaluation mode.
        speech_BKD: the conversations' speech vectors.
        token_BK: their labels; the model is fed them up to each point (teacher forcing).
        points: where to draft; results come in this order.
        options: when drafts end.
        batch: points drafted together; each takes the memory of its own past.
    """
    _, state = duplex.prefill(speech_BKD, previous_tokens(token_BK, duplex.tokens))
    order = sorted(range(len(points)), key=lambda index: points[index].tick)
    drafts: dict[int, Draft] = {}
    for first in range(0, len(order), batch):
        group = order[first : first + batch]
        branch = state.after([points[i].row for i in group], [points[i].tick for i in group])
        drafts.update(zip(group, draft(duplex, branch, options), strict=True))
    return [drafts[index] for index in range(len(points))]


class _Noted(NamedTuple):
    """A step's numbers for the whole batch, off the device."""

    hidden: Half
    top_ids: npt.NDArray[np.int64]
    top_logits: Half
    top_probabilities: Half
    entropy: Single
    log_probability: Single


def _noted(step: Step, token_B: Tensor, options: Drafting) -> _Noted:
    logits_BV = step.logits_BV.float()
    log_BV = logits_BV.log_softmax(-1)
    top = logits_BV.topk(min(options.top, logits_BV.shape[-1]))
    probability_BV = log_BV.exp()
    return _Noted(
        step.hidden_BD.half().cpu().numpy(),
        top.indices.cpu().numpy(),
        top.values.half().cpu().numpy(),
        probability_BV.gather(-1, top.indices).half().cpu().numpy(),
        torch.special.entr(probability_BV).sum(-1).cpu().numpy(),
        log_BV.gather(-1, token_B[:, None])[:, 0].cpu().numpy(),
    )


@dataclass
class _Log:
    """A draft under way."""

    options: Drafting
    tokens: list[int] = field(default_factory=list)
    steps: list[tuple[npt.NDArray[np.generic], ...]] = field(default_factory=list)
    ended: bool = False

    def add(self, token: int, noted: _Noted | None, place: int, ended: bool) -> None:
        self.tokens.append(token)
        self.ended = ended
        if noted is not None and len(self.steps) < self.options.logged:
            self.steps.append(tuple(numbers[place] for numbers in noted))

    def draft(self) -> Draft:
        columns = (np.stack(column) for column in zip(*self.steps, strict=True))
        return Draft(tuple(self.tokens), self.ended, *columns)
