"""Every recipe that is published loads, means something, and survives being written out."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from datagen import kinds
from datagen.blueprint import draw_up, engines_of
from datagen.core.types import Dialogue, Unreadable
from datagen.estimate import estimate, route_table, tables
from datagen.preflight import checks
from datagen.preview import plans
from datagen.recipe import Recipe, dump, language, load, price_table, voices
from tests.helpers import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    """Every recipe file in turn."""
    return request.param


@pytest.fixture
def recipe(path: Path) -> Recipe:
    return load(str(path))


@pytest.fixture
def laptop(recipe: Recipe) -> Recipe:
    """The recipes that need no key, no corpus and no GPU."""
    if needs_backends(recipe):
        pytest.skip("needs production backends")
    return recipe


@pytest.fixture
def backends(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The others, on a machine that has nothing of what they need."""
    if not needs_backends(recipe):
        pytest.skip("needs no production backend")
    for name in [n for n in os.environ if n.endswith(("_HOME", "_MODEL", "_KEY")) and n != "HOME"]:
        monkeypatch.delenv(name)
    return recipe


def needs_backends(recipe: Recipe) -> bool:
    return any(hasattr(kinds.module(family, config.kind), "RESOURCES") for _, family, config in engines_of(recipe))


def test_there_are_recipes() -> None:
    assert {"assistant", "assistant_es", "assistant_full", "house", "relays2s"} <= {path.stem for path in RECIPES}


def test_it_is_named_like_its_file_and_fits_a_screen(path: Path, recipe: Recipe) -> None:
    assert recipe.name == path.stem
    assert len(path.read_text().splitlines()) <= 40


def test_its_resolved_copy_is_the_same_recipe(recipe: Recipe, tmp_path: Path) -> None:
    copied = tmp_path / "copy.yaml"
    copied.write_text(dump(recipe))
    assert load(str(copied)) == recipe


def test_its_kinds_read_back_what_they_are(recipe: Recipe) -> None:
    named = [(family, config) for _, family, config in engines_of(recipe)]
    for family, config in [*named, *(("phenomena", phenomenon) for phenomenon in recipe.phenomena)]:
        assert kinds.parse(family, config.model_dump(mode="json")) == config


def test_it_can_be_drawn_up_and_every_voice_speaks(laptop: Recipe) -> None:
    recipe = laptop
    blueprint = draw_up(recipe)
    assert blueprint.num_shards("ingest") >= 1
    engine: kinds.Engine = kinds.make("tts", recipe.tts)
    for voice in voices(recipe):
        engine.check_voice(voice)


def test_its_texts_are_of_its_language_and_become_plans(laptop: Recipe) -> None:
    recipe = laptop
    source: kinds.Source = kinds.make("sources", recipe.source)
    for item in source.read(0, 3, recipe.seed):
        assert isinstance(item, Dialogue), item
        assert item.language == recipe.language
    planned = list(plans(draw_up(recipe.model_copy(update={"conversations": 3}))))
    assert [item for item in planned if isinstance(item, Unreadable)] == []
    assert len(planned) == 3


def test_on_a_bare_machine_everything_it_lacks_is_listed_with_a_remedy(backends: Recipe) -> None:
    found = list(checks(backends))
    missing = {need.name: need.remedy for need in found if not need.found}
    wanted = ["writer: key GEMINI_API_KEY", "tts: CosyVoice checkout", "tts: CosyVoice2 weights", "voices"]
    assert set(wanted) <= set(missing)
    assert any(name.startswith("asr: model") for name in missing)
    homes = set(re.findall(r"\$(\w+)", dump(backends)))
    assert homes
    assert all(any(f"set {name} to" in remedy for remedy in missing.values()) for name in homes)
    assert all(remedy and "\n" not in remedy for remedy in missing.values())


def test_on_a_bare_machine_it_is_estimated(backends: Recipe) -> None:
    assert backends.budget is not None
    prices = price_table(backends.budget.prices)
    found = estimate(backends, prices, route_table())
    assert found.work.conversations == backends.conversations
    assert 0 < found.usd < backends.budget.usd
    titles = [title.split(",")[0] for title, _, _ in tables(found)]
    assert titles[:3] == ["Work", "Language models", "Synthesis"]


def test_the_papers_recipe_has_the_papers_numbers() -> None:
    recipe = load(str(ROOT / "recipes" / "relays2s.yaml"))
    assert (recipe.conversations, recipe.profile) == (104_478, "paper")
    assert (recipe.margins.min_s, recipe.margins.max_s) == (3, 180)
    assert (recipe.blocks.block_s, recipe.blocks.coverage, recipe.blocks.snr_db) == ((5, 10), (0.5, 1), (0, 20))
    assert recipe.tts.kind == "cosyvoice2"
    assert getattr(recipe.annotator, "model", "").startswith("gemini-3")
    timing = language("en").timing(recipe.profile)
    assert (timing.barge_in_cut, timing.sources["barge_in_overlap"][:8]) == ((0.2, 0.6), "RelayS2S")
