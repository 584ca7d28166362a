"""The manifest of a dataset: identities, files with their hashes, counts, licences, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datagen.answers import Entry, totals
from datagen.blueprint import Blueprint
from datagen.core.types import SPLITS, Split
from datagen.identity import code_version
from datagen.recipe import price_table
from datagen.schema import SCHEMA_VERSION
from datagen.tally import Tally


def manifest_of(
    blueprint: Blueprint, files: Mapping[str, dict[str, Any]], tally: Tally, paid: list[Entry]
) -> dict[str, Any]:
    """The manifest, but for how long the run took."""
    budget = blueprint.recipe.budget
    prices = price_table(budget.prices) if budget is not None else None
    return {
        "schema_version": SCHEMA_VERSION,
        "version": code_version(),
        "recipe": {
            "name": blueprint.recipe.name,
            "seed": blueprint.recipe.seed,
            "language": blueprint.recipe.language,
            "profile": blueprint.recipe.profile,
            "hash": blueprint.identity,
        },
        "identities": blueprint.identities,
        "engines": [{"role": r, "name": n, "revision": v} for r, n, v in blueprint.package.provenance.engines],
        "files": files,
        "splits": splits(files),
        "licences": sorted({licence for f in files.values() for licence in f["licences"]}),
        "usage": totals(paid, prices),
        **tally.for_manifest(),
        "seconds_per_stage": {stage: round(s, 1) for stage, s in tally.seconds.items()},
        "timing": blueprint.language.timing(blueprint.recipe.profile).model_dump(mode="json"),
        "human": [r.model_dump(mode="json") for r in blueprint.language.human],
    }


def splits(files: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figures per split."""
    found: dict[Split, dict[str, Any]] = {}
    for f in files.values():
        split = found.setdefault(
            f["split"], {"conversations": 0, "hours": 0.0, "bytes": 0, "files": 0, "voices": set()}
        )
        split["conversations"] += f["rows"]
        split["hours"] += f["seconds"] / 3600
        split["bytes"] += f["bytes"]
        split["files"] += 1
        split["voices"] |= set(f["voices"])
    return {
        name: {**s, "hours": round(s["hours"], 3), "voices": len(s["voices"])}
        for name, s in sorted(found.items(), key=lambda item: SPLITS.index(item[0]))
    }
