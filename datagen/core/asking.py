"""Questions to a language model and their answers, as values.

Who sends them is a kind (``llm/``); what they say belongs to the stage that needs the answer.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datagen.core.types import Strict


class Ask(Strict):
    """One question: everything that decides the answer, and who asks."""

    id: str
    """The record it is about; for logs and errors, not sent."""
    purpose: str
    """What for: write, rewrite, annotate, judge, score. Groups usage; not sent."""
    system: str
    prompt: str
    answer_schema: dict[str, Any]
    """JSON schema of the answer, from a pydantic model's ``model_json_schema()``."""
    max_output_tokens: int = Field(default=4096, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    seed: int = Field(default=0, ge=0, lt=2**31)
    said_before: tuple[tuple[str, str], ...] = ()
    """(answer, objection) of earlier attempts, oldest first: a repair asks again with what was wrong."""


class Usage(Strict):
    """What one answer cost in tokens."""

    prompt_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    """Of the prompt tokens, those the provider had cached and charges less for."""
    output_tokens: int = Field(default=0, ge=0)
    """With the tokens of the model's own thinking, which are charged as output."""


class Reply(Strict):
    """A model's answer as it came, complete or cut short."""

    text: str
    finish: str
    """``stop`` when complete, ``length`` when cut at max_output_tokens, else the provider's own word (a refusal)."""
    model: str
    """The version that answered."""
    usage: Usage
