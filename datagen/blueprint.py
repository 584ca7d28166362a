"""A recipe's stages: their configs, their identities, and how many shards each has.

An identity is a hash of the stage's name, version, config (paths by their contents) and the identities upstream. Equal
identity, equal bytes: that is what a run resumes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datagen import kinds
from datagen.answers import Budget
from datagen.core.language import Language
from datagen.core.types import Strict
from datagen.identity import code_version, digest
from datagen.kinds import KindConfig
from datagen.licensing import permitted
from datagen.recipe import Recipe, RecipeError, language, price_table, voices
from datagen.stages import annotate, check, ingest, module_of, noise, package, plan, render, synthesize, write

UPSTREAM: dict[str, tuple[str, ...]] = {
    "noise": (),
    "ingest": (),
    "write": ("ingest",),
    "annotate": ("write", "ingest"),
    "synthesize": ("annotate",),
    "plan": ("synthesize", "noise"),
    "render": ("plan",),
    "check": ("render",),
    "package": ("check",),
}
"""In the order they run. A recipe may do without ``noise`` and without ``write``, which ``annotate`` reads instead of
``ingest`` where it is there."""


@dataclass(frozen=True)
class Blueprint:
    """What a recipe means to the pipeline."""

    recipe: Recipe
    language: Language
    configs: dict[str, Strict]
    identities: dict[str, str]

    @property
    def identity(self) -> str:
        """Of the whole dataset."""
        return self.identities["package"]

    def upstream(self, stage: str) -> tuple[str, ...]:
        """The stages whose output a stage reads, its records' first."""
        return upstream(stage, self.configs)

    @property
    def package(self) -> package.Config:
        config = self.configs["package"]
        assert isinstance(config, package.Config)
        return config

    def num_shards(self, stage: str) -> int:
        """Shards of a record stage."""
        config = self.configs[stage if stage == "noise" else "ingest"]
        if isinstance(config, noise.Config):
            return noise.num_shards(config)
        assert isinstance(config, ingest.Config)
        return config.num_shards

    def resources(self, stage: str) -> dict[str, float]:
        """What a worker must offer to run the stage, as its engine declares (``RESOURCES``)."""
        families = {
            "write": ("llm", self.recipe.writer),
            "annotate": ("llm", self.recipe.annotator),
            "synthesize": ("tts", self.recipe.tts),
        }
        family, config = families.get(stage, ("", None))
        return dict(getattr(kinds.module(family, config.kind), "RESOURCES", {})) if config is not None else {}

    def needs(self) -> dict[str, float]:
        """The most that any stage asks of a worker, by resource."""
        most: dict[str, float] = {}
        for stage in self.configs:
            for name, amount in self.resources(stage).items():
                most[name] = max(amount, most.get(name, 0.0))
        return most


def upstream(stage: str, present: Mapping[str, object]) -> tuple[str, ...]:
    """Of a stage's inputs those that are there; of ``write`` and ``ingest`` the later one alone."""
    names = tuple(name for name in UPSTREAM[stage] if name in present)
    return names[:1] if stage == "annotate" else names


def draw_up(recipe: Recipe) -> Blueprint:
    """The blueprint of a recipe; ValueError when something it names is not there or may not be used."""
    spoken = language(recipe.language)
    permitted(recipe)
    configs = _configs(recipe, spoken)
    identities: dict[str, str] = {}
    for stage in configs:
        before = {name: identities[name] for name in upstream(stage, identities)}
        identities[stage] = digest([stage, module_of(stage).VERSION, configs[stage], before])
    return Blueprint(recipe=recipe, language=spoken, configs=configs, identities=identities)


def _configs(recipe: Recipe, spoken: Language) -> dict[str, Strict]:
    timing, seed = spoken.timing(recipe.profile), recipe.seed
    configs: dict[str, Strict] = {}
    if recipe.noise is not None:
        _clips(recipe.noise)
        configs["noise"] = noise.Config(noise=recipe.noise, seed=seed)
    configs |= {
        "ingest": ingest.Config(
            source=recipe.source,
            language=recipe.language,
            replace=spoken.spelling.replace,
            seed=seed,
            conversations=_available(recipe),
            conversations_per_shard=recipe.conversations_per_shard,
            splits=recipe.splits,
            forbid_licences=recipe.forbid_licences,
        ),
    }
    budget = _budget(recipe)
    if recipe.writer is not None:
        configs["write"] = write.Config(
            writer=recipe.writer, writing=recipe.writing, language=spoken, seed=seed, budget=budget
        )
    configs |= {
        "annotate": annotate.Config(
            annotator=recipe.annotator, phenomena=recipe.phenomena, language=spoken, seed=seed, budget=budget
        ),
        "synthesize": synthesize.Config(
            tts=recipe.tts,
            voices=voices(recipe),
            acceptance=recipe.acceptance,
            asr=recipe.asr,
            aligner=recipe.aligner,
            bank=recipe.bank,
            language=recipe.language,
            seed=seed,
        ),
        "plan": plan.Config(
            phenomena=recipe.phenomena,
            timing=timing,
            margins=recipe.margins,
            levels=recipe.levels,
            blocks=recipe.blocks,
            seed=seed,
        ),
        "render": render.Config(seed=seed),
        "check": check.Config(),
        "package": package.Config(
            profile=recipe.profile,
            provenance=package.Provenance(
                recipe=recipe.name, seed=seed, code_version=code_version(), engines=tuple(engines(recipe))
            ),
            file_mb=recipe.package.file_mb,
            row_group_mb=recipe.package.row_group_mb,
        ),
    }
    return configs


def _budget(recipe: Recipe) -> Budget | None:
    """The cap with its price table; RecipeError when a model of the recipe has no price."""
    if recipe.budget is None:
        return None
    prices = price_table(recipe.budget.prices)
    for config in (recipe.writer, recipe.annotator):
        model = getattr(config, "model", None)
        if model is not None:
            prices.of(model)
    return Budget(usd=recipe.budget.usd, prices=prices)


def _available(recipe: Recipe) -> int:
    """The conversations asked for, or all there are where the source holds fewer."""
    try:
        size: int | None = kinds.make("sources", recipe.source).size()
    except (ValueError, OSError) as error:
        raise RecipeError(f"source.{recipe.source.kind}: {error}") from None
    if size == 0:
        raise RecipeError(f"source.{recipe.source.kind}: holds no dialogue; name another one")
    return recipe.conversations if size is None else min(recipe.conversations, size)


def _clips(config: KindConfig) -> None:
    """Refuses noise that is not there, before its contents are asked for."""
    try:
        kinds.make("noise", config).clips()
    except (ValueError, OSError) as error:
        raise RecipeError(f"noise.{config.kind}: {error}") from None


def engines_of(recipe: Recipe) -> list[tuple[str, str, KindConfig]]:
    """(role, family, config) of every kind that makes the data."""
    used: list[tuple[str, str, KindConfig | None]] = [
        ("source", "sources", recipe.source),
        ("writer", "llm", recipe.writer),
        ("annotator", "llm", recipe.annotator),
        ("tts", "tts", recipe.tts),
        ("asr", "asr", recipe.asr),
        ("aligner", "asr", recipe.aligner),
        ("noise", "noise", recipe.noise),
    ]
    return [(role, family, config) for role, family, config in used if config is not None]


def engines(recipe: Recipe) -> list[tuple[str, str, str]]:
    """(role, kind, revision) of every kind that makes the data."""
    return [(role, config.kind, revision(family, config)) for role, family, config in engines_of(recipe)]


def revision(family: str, config: KindConfig) -> str:
    """The engine's own version where it states one, else this package's."""
    found: Any = getattr(kinds.module(family, config.kind), "revision", None)
    return str(found(config)) if found else code_version()
