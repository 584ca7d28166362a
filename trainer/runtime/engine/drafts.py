"""Drafts under way: what the fast path would say from a fork of the main stream on, hearing nothing more.

Token for token what ``trainer.model.drafting.draft`` gives with ``stop=CONTROLS``: each step hears a zero vector and
takes the likeliest of all tokens; any control token ends the draft, as for the prefixes that the verifier learned from.

Shape suffixes: B drafts, L steps, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from trainer.model.fastpath import FastPath
from trainer.model.verifier import MAX_STEPS
from trainer.prefixes import Steps

Opener = Literal["bos", "boc"]
MOST = 256
"""Tokens of a draft at most, 41 s of speech."""
TOKENS_PER_WORD = 8
"""A draft of so many words ends at this many tokens each, and not before LOGGED: a model that writes no spaces would
never end."""
LOGGED = 20
"""Steps whose numbers are kept; the verifier looks at 15 and learned from drafts of 20."""


@dataclass(frozen=True)
class Drafting:
    """A draft so far."""

    text: str
    """Whole words alone, single spaces between: a word whose end is not certain yet is left out."""
    last: bool
    """Nothing follows."""
    ended: bool
    """The answer is whole: the model ended it itself. Never before the last."""
    tokens: tuple[int, ...]
    """Every step's, the one that ended it included; those of ``text`` and perhaps the next word's first."""
    steps: Steps
    """Of the first 20 tokens: what the verifier is asked about."""
    words: int | None
    """How many were asked for; None: the whole answer."""
    fork_ms: float = 0.0
    """What the fork took."""


@dataclass
class Draft:
    """One draft on its own row."""

    row: int
    token: int
    """Fed next."""
    words: int | None
    tell: Callable[[Drafting | BaseException], None]
    dropped: bool = False
    """Nobody waits for it any more."""
    fork_ms: float = 0.0
    tokens: list[int] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    scalars: list[Tensor] = field(default_factory=list)
    told: int = 0
    """Words."""

    def add(self, token: int, hidden_D: Tensor, scalars_3: Tensor, fast: FastPath) -> bool:
        """A step's outcome; tells what is new. Whether that was the last step."""
        self.token = token
        self.tokens.append(token)
        if len(self.hidden) < LOGGED:
            self.hidden.append(hidden_D)
            self.scalars.append(scalars_3)
        ended = token in fast.tokens.ids
        found = fast.decode(self.tokens[:-1] if ended else self.tokens).split()
        limit = MOST if self.words is None else max(LOGGED, self.words * TOKENS_PER_WORD)
        last = ended or len(self.tokens) >= limit
        # A word is certain once the next has begun.
        whole = found if ended else found[:-1]
        if self.words is not None:
            ended = ended and len(whole) <= self.words
            text = " ".join(whole[: self.words])
            last = last or (len(whole) >= self.words and self._seen(text, fast))
        else:
            text = " ".join(whole)
        if last or len(whole) > self.told:
            self.told = len(whole)
            self.tell(self._drafting(text, last, ended))
        return last

    def _seen(self, text: str, fast: FastPath) -> bool:
        """Whether there are as many steps as the verifier is asked about: it counts tokens of the prefix tokenised
        again, which now and then are more than the model took for it."""
        return len(self.tokens) >= min(len(fast.encode(text)), MAX_STEPS)

    def _drafting(self, text: str, last: bool, ended: bool) -> Drafting:
        steps = Steps(torch.stack(self.hidden), torch.stack(self.scalars))
        return Drafting(text, last, ended, tuple(self.tokens), steps, self.words, self.fork_ms)


def scalars(logits_BV: Tensor, token_B: Tensor) -> Tensor:
    """Entropy (nats), log-probability of the chosen token and margin of the two likeliest (B x 3, float32)."""
    log_BV = logits_BV.log_softmax(-1)
    entropy_B = torch.special.entr(log_BV.exp()).sum(-1)
    top_B2 = logits_BV.topk(2).values.half().float()
    return torch.stack([entropy_B, log_BV.gather(-1, token_B[:, None])[:, 0], top_B2[:, 0] - top_B2[:, 1]], dim=1)
