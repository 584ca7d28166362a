"""A drafted prefix: the first words of what the fast path would say, and what its steps looked like from inside.

    draft      "Sure, I can help you with that today."    each step: hidden state, entropy, log-probability, margin
    prefix     "Sure, I can help you"                     the first 5 whitespace words; re-tokenised they are n tokens
    features   the first min(n, steps logged, 15) steps

Training and the live decision both take their features through ``steps_of``, ``prefix_of`` and ``cut``, so that the
verifier is asked about what it was trained on: hidden states are in fp16 in either.

Shapes: B drafts, L steps of a draft, D hidden size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from datagen.core.types import Strict, Turn, whole_of
from trainer.model.verifier import MAX_STEPS, NUM_SCALARS

if TYPE_CHECKING:
    # Drafting loads transformers; reading what was drafted does not need it.
    from trainer.model.drafting import Draft

WORDS = 5
"""Whitespace words of a prefix (RelayS2S section 2.3; table 5 also has 3 and 7)."""


@dataclass(frozen=True)
class Steps:
    """What is kept of a draft's steps."""

    hidden_LD: Tensor
    """fp16, last layer, after the final norm."""
    scalars_L3: Tensor
    """float32: entropy (nats, full vocabulary), log-probability of the chosen token, margin of the two top logits."""

    def __post_init__(self) -> None:
        """ValueError where the two do not belong together."""
        length = len(self.hidden_LD)
        if self.hidden_LD.ndim != 2 or self.scalars_L3.shape != (length, NUM_SCALARS):
            shapes = f"{tuple(self.hidden_LD.shape)} and {tuple(self.scalars_L3.shape)}"
            raise ValueError(
                f"hidden states and scalars of shapes {shapes}; they must be (L, D) and (L, {NUM_SCALARS})"
            )

    @property
    def digest(self) -> str:
        """Of the numbers; the same on any device."""
        found = hashlib.blake2b(digest_size=16)
        for tensor in (self.hidden_LD.to("cpu", torch.float16), self.scalars_L3.to("cpu", torch.float32)):
            found.update(tensor.contiguous().numpy().tobytes())
        return found.hexdigest()


class Batch(NamedTuple):
    """Drafts side by side, padded with zeros at the end."""

    hidden_BLD: Tensor
    scalars_BL3: Tensor
    mask_BL: Tensor
    """True where there is a step."""


class Occasion(Strict):
    """Where and by whom a prefix is drafted."""

    id: str = Field(min_length=1)
    """Of the draft: the conversation and where in it."""
    conversation: str = Field(min_length=1)
    user_voice: str
    assistant_voice: str
    context: tuple[Turn, ...]
    """What was said before, oldest first."""
    words: int = Field(default=WORDS, ge=1)
    """How many the prefix may have; a short draft has fewer."""
    model: str = ""
    """The fast path that drafts."""
    fold: int | None = Field(default=None, ge=0)
    """The fold that holds the conversation out; None = the fast path was trained on the whole training split."""

    @property
    def dialogue(self) -> str:
        """The whole dialogue: what intervals are resampled by."""
        return whole_of(self.conversation)


class Prefix(Occasion):
    """One drafted prefix, without its tensors."""

    text: str
    """Whitespace words with single spaces between; empty when the draft is."""
    num_tokens: int = Field(ge=0)
    """Of the text, re-tokenised."""
    steps: int = Field(ge=0, le=MAX_STEPS)
    """How many are stored."""
    features: str
    """Digest of the stored steps."""
    label: Literal[0, 1] | None = None
    """1 = good, 0 = bad, None = not judged."""
    judge: str = ""
    """Who said so."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.text.split()) > self.words:
            raise ValueError(f"prefix {self.id!r} has {len(self.text.split())} words, {self.words} were asked for")
        if self.steps > self.num_tokens:
            raise ValueError(f"prefix {self.id!r} has {self.steps} steps for {self.num_tokens} tokens; cut them")
        if (self.label is None) != (not self.judge):
            raise ValueError(f"prefix {self.id!r}: label {self.label} and judge {self.judge!r} belong together")
        return self


@dataclass(frozen=True)
class Drafted:
    """A prefix with its steps."""

    prefix: Prefix
    steps: Steps


def steps_of(draft: Draft) -> Steps:
    """All logged steps of a draft."""
    return Steps(torch.from_numpy(draft.hidden_LD), torch.from_numpy(draft.scalars_L3))


def prefix_of(response: str, encode: Callable[[str], Sequence[int]], words: int = WORDS) -> tuple[str, int]:
    """The first words of a decoded draft, joined with single spaces, and how many tokens they are.

    ``encode`` is the fast path's tokenizer and adds no control tokens.
    """
    text = " ".join(response.split()[:words])
    return text, len(encode(text)) if text else 0


def cut(steps: Steps, num_tokens: int) -> Steps:
    """The steps that belong to a prefix of so many tokens: at most those logged, and at most 15."""
    length = min(num_tokens, MAX_STEPS)
    return Steps(steps.hidden_LD[:length], steps.scalars_L3[:length])


def padded(steps: Steps) -> Batch:
    """A batch of this one draft in float32, 15 long. Without steps it has one of zeros, as the released code does."""
    length, dim = steps.hidden_LD.shape
    device = steps.hidden_LD.device
    hidden_LD = torch.zeros(MAX_STEPS, dim, device=device)
    scalars_L3 = torch.zeros(MAX_STEPS, NUM_SCALARS, device=device)
    hidden_LD[:length], scalars_L3[:length] = steps.hidden_LD.float(), steps.scalars_L3.float()
    mask_L = torch.arange(MAX_STEPS, device=device) < max(length, 1)
    return Batch(hidden_LD.unsqueeze(0), scalars_L3.unsqueeze(0), mask_L.unsqueeze(0))


def drafted(occasion: Occasion, response: str, encode: Callable[[str], Sequence[int]], steps: Steps) -> Drafted:
    """A decoded draft as a record that can be judged and stored.

    ValueError when a number is not finite in fp16: a model that has diverged has nothing to teach.
    """
    text, num_tokens = prefix_of(response, encode, occasion.words)
    kept = cut(steps, num_tokens)
    if not (torch.isfinite(kept.hidden_LD).all() and torch.isfinite(kept.scalars_L3).all()):
        raise ValueError(f"draft {occasion.id!r} has features that are no numbers in fp16; the model has diverged")
    found = {"text": text, "num_tokens": num_tokens, "steps": len(kept.hidden_LD), "features": kept.digest}
    return Drafted(Prefix.model_validate(occasion.model_dump() | found), kept)
