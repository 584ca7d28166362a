"""What a language model's tokens cost: a dated table, because prices change."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from datagen.core.asking import Usage
from datagen.core.types import Strict

MILLION = 1_000_000
Day = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}-\d\d-\d\d$")]
"""A date such as 2026-11-20."""
BOUNDARIES = "-:@ "
"""What may follow a model's name in the name of one of its versions: gpt-5.4-2026-03-05, qwen3:8b, gemini@001."""


class Price(Strict):
    """One model's list price in US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)
    """Of prompt tokens the provider had cached; None = like ``input``."""
    batch: float = Field(default=1.0, gt=0, le=1)
    """What the provider's batch service multiplies them with."""
    source: str
    """Where the price was read."""

    def usd(self, usage: Usage, batch: bool = False) -> float:
        """What an answer costs."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        total = fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output
        return total * (self.batch if batch else 1.0) / MILLION


class Prices(Strict):
    """A price table (``manifests/prices.yaml``)."""

    date: Day
    """When the prices were read."""
    models: dict[str, Price]

    def find(self, model: str) -> Price | None:
        """A model's price: its own, or that of the longest name that it is a version of."""
        names = [n for n in self.models if model == n or (model.startswith(n) and model[len(n)] in BOUNDARIES)]
        return self.models[max(names, key=len)] if names else None

    def of(self, model: str) -> Price:
        """See ``find``; ValueError with the remedy when there is none."""
        price = self.find(model)
        if price is None:
            known = ", ".join(sorted(self.models))
            raise ValueError(f"no price for model {model!r} in the table of {self.date}; add it (there are: {known})")
        return price
