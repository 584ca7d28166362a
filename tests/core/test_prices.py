from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.asking import Usage
from datagen.core.prices import Price, Prices

TABLE = Prices.model_validate(
    {
        "date": "2026-11-01",
        "models": {
            name: {"input": price, "output": price, "source": "a test"}
            for price, name in enumerate(["gemini-3.8", "gemini-3.8-flash", "gpt-5", "qwen3"], start=1)
        },
    }
)
TOKENS = st.integers(0, 10**9)
RATES = st.floats(0, 1000)


@given(RATES, RATES, RATES, st.floats(0.01, 1), TOKENS, TOKENS, TOKENS)
def test_tokens_cost_what_the_table_says(
    input_: float, output: float, cached: float, batch: float, prompt: int, known: int, said: int
) -> None:
    price = Price(input=input_, output=output, cached=cached, batch=batch, source="")
    usage = Usage(prompt_tokens=prompt + known, cached_tokens=known, output_tokens=said)
    whole = (prompt * input_ + known * cached + said * output) / 1_000_000
    assert price.usd(usage) == pytest.approx(whole)
    assert price.usd(usage, batch=True) == pytest.approx(whole * batch)
    like_new = price.model_copy(update={"cached": None}).usd(usage)
    assert like_new == pytest.approx(((prompt + known) * input_ + said * output) / 1_000_000)


def test_more_cached_than_prompt_costs_nothing_back() -> None:
    price = Price(input=10, output=1, cached=1, source="")
    assert price.usd(Usage(prompt_tokens=5, cached_tokens=1_000_000)) == 1


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gemini-3.8-flash", 2),
        ("gemini-3.8-flash-001", 2),
        ("gemini-3.8-flash (gemini-3.9)", 2),
        ("gemini-3.8-pro", 1),
        ("gpt-5@2026-01-01", 3),
        ("qwen3:8b", 4),
    ],
)
def test_a_version_costs_what_the_longest_name_of_it_does(model: str, price: float) -> None:
    assert TABLE.of(model).input == price


@pytest.mark.parametrize("model", ["gemini-3.85", "gemini", "gpt-5.1", "gpt-50", "qwen", ""])
def test_other_models_have_no_price(model: str) -> None:
    assert TABLE.find(model) is None
    with pytest.raises(ValueError, match=r"no price for model .* of 2026-11-01; add it \(there are: gemini-3.8, "):
        TABLE.of(model)
