"""Licences that a recipe forbids are found before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from datagen import kinds
from datagen.recipe import Recipe, RecipeError, voices


def permitted(recipe: Recipe) -> None:
    """RecipeError when a text, voice or noise of the recipe is under a licence that it forbids."""
    if not recipe.forbid_licences:
        return
    for what, licence in carried(recipe):
        for part in licence.split(" AND "):
            pattern = next((p for p in recipe.forbid_licences if fnmatchcase(part, p)), None)
            if pattern is not None:
                raise RecipeError(
                    f"forbid_licences: {what} has the licence {part!r}, which {pattern!r} forbids; "
                    "replace it, or allow the licence"
                )


def carried(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(what, licence) of everything that the rows of the recipe's dataset can carry."""
    of_source = getattr(kinds.module("sources", recipe.source.kind), "licences", None)
    for licence in of_source(recipe.source) if of_source else ():
        yield f"source.{recipe.source.kind}", licence
    if recipe.writer is not None:
        yield "writing", recipe.writing.licence
    for voice in voices(recipe):
        yield f"voice {voice.id}", voice.licence
    if recipe.noise is not None:
        for clip in kinds.make("noise", recipe.noise).clips():
            yield f"noise clip {clip.id}", clip.licence
