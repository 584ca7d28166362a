"""The tables an estimate rests on: they load, are dated, and every figure says where it is from."""

from __future__ import annotations

import pytest

from datagen import kinds
from datagen.core.prices import Price, Prices
from datagen.estimate import Route, route_table
from datagen.recipe import price_table
from tests.helpers import ROOT

PRICES = price_table(str(ROOT / "manifests" / "prices.yaml"))
ROUTES = route_table()
EVERY_ROUTE = [("tts", route) for route in ROUTES.tts] + [("asr", route) for route in ROUTES.asr]


def test_they_are_dated() -> None:
    assert PRICES.date >= "2026-11-10"
    assert ROUTES.date >= "2026-11-21"


@pytest.mark.parametrize("price", PRICES.models.values(), ids=PRICES.models)
def test_a_price_is_plausible_and_has_a_page(price: Price) -> None:
    assert price.source.startswith("https://")
    assert 0 < price.input < price.output
    assert price.cached is None or 0 < price.cached < price.input
    assert price.batch in (0.5, 1.0)


def test_the_models_that_recipes_name_have_prices() -> None:
    defaults = [
        getattr(kinds.module("llm", kind).Config, "model_fields", {}).get("model") for kind in kinds.names("llm")
    ]
    named = [str(field.default) for field in defaults if field is not None and not field.is_required()]
    hosted = [model for model in named if model.startswith(("gemini", "gpt"))]
    assert all(isinstance(PRICES.of(model), Price) for model in hosted)


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("gemini-2.5-flash-lite-preview-09-2025", "gemini-2.5-flash-lite"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("gpt-5-pro-2025-10-06", "gpt-5-pro"),
    ],
)
def test_a_dated_version_costs_what_its_model_does(model: str, listed: str) -> None:
    assert PRICES.of(model) is PRICES.models[listed]


def test_the_table_survives_a_trip_through_json() -> None:
    assert Prices.model_validate_json(PRICES.model_dump_json()) == PRICES


@pytest.mark.parametrize(("family", "route"), EVERY_ROUTE, ids=lambda value: getattr(value, "name", value))
def test_a_route_says_where_its_speed_is_from_and_names_real_kinds(family: str, route: Route) -> None:
    assert "https://" in route.source or route.source.startswith("measured 20")
    assert 0.0001 < route.rtf < 1
    assert set(route.kinds) <= set(kinds.names(family))


def test_routes_have_names_of_their_own() -> None:
    for family in (ROUTES.tts, ROUTES.asr):
        assert len({route.name for route in family}) == len(family)
