"""Every recipe that is published loads, means something, and survives being written out."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen import kinds
from datagen.blueprint import draw_up
from datagen.core.types import Dialogue, Unreadable
from datagen.preview import plans
from datagen.recipe import Recipe, dump, load, voices
from tests.helpers import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    """Every recipe file in turn."""
    return request.param


@pytest.fixture
def recipe(path: Path) -> Recipe:
    return load(str(path))


def test_there_are_recipes() -> None:
    assert "assistant" in [path.stem for path in RECIPES]


def test_it_is_named_like_its_file_and_fits_a_screen(path: Path, recipe: Recipe) -> None:
    assert recipe.name == path.stem
    assert len(path.read_text().splitlines()) <= 40


def test_its_resolved_copy_is_the_same_recipe(recipe: Recipe, tmp_path: Path) -> None:
    copied = tmp_path / "copy.yaml"
    copied.write_text(dump(recipe))
    assert load(str(copied)) == recipe


def test_its_kinds_read_back_what_they_are(recipe: Recipe) -> None:
    named = [("sources", recipe.source), ("llm", recipe.annotator), ("tts", recipe.tts)]
    named += [("phenomena", phenomenon) for phenomenon in recipe.phenomena]
    named += [("noise", recipe.noise)] if recipe.noise is not None else []
    for family, config in named:
        assert kinds.parse(family, config.model_dump(mode="json")) == config


def test_it_can_be_drawn_up_and_every_voice_speaks(recipe: Recipe) -> None:
    blueprint = draw_up(recipe)
    assert blueprint.num_shards("ingest") >= 1
    engine: kinds.Engine = kinds.make("tts", recipe.tts)
    for voice in voices(recipe):
        engine.check_voice(voice)


def test_its_texts_are_of_its_language_and_become_plans(recipe: Recipe) -> None:
    source: kinds.Source = kinds.make("sources", recipe.source)
    for item in source.read(0, 3, recipe.seed):
        assert isinstance(item, Dialogue), item
        assert item.language == recipe.language
    planned = list(plans(draw_up(recipe.model_copy(update={"conversations": 3}))))
    assert [item for item in planned if isinstance(item, Unreadable)] == []
    assert len(planned) == 3
