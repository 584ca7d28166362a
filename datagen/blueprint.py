"""A recipe's stages: their configs, their identities, and how many shards each has.

An identity is a hash of the stage's name, version, config (paths by their contents) and the identities upstream. Equal
identity, equal bytes: that is what a run resumes by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datagen import kinds
from datagen.core.language import Language
from datagen.core.types import Strict
from datagen.kinds import KindConfig
from datagen.recipe import Recipe, RecipeError, code_version, digest, language, voices
from datagen.stages import annotate, check, ingest, module_of, noise, package, plan, render, synthesize

UPSTREAM: dict[str, tuple[str, ...]] = {
    "noise": (),
    "ingest": (),
    "annotate": ("ingest",),
    "synthesize": ("annotate",),
    "plan": ("synthesize", "noise"),
    "render": ("plan",),
    "check": ("render",),
    "package": ("check",),
}
"""In the order they run."""


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
        families = {"annotate": ("llm", self.recipe.annotator), "synthesize": ("tts", self.recipe.tts)}
        if stage not in families:
            return {}
        family, config = families[stage]
        return dict(getattr(kinds.module(family, config.kind), "RESOURCES", {}))

    def needs(self) -> dict[str, float]:
        """The most that any stage asks of a worker, by resource."""
        most: dict[str, float] = {}
        for stage in self.configs:
            for name, amount in self.resources(stage).items():
                most[name] = max(amount, most.get(name, 0.0))
        return most


def draw_up(recipe: Recipe) -> Blueprint:
    """The blueprint of a recipe; ValueError when something it names is not there."""
    spoken = language(recipe.language)
    configs = _configs(recipe, spoken)
    identities: dict[str, str] = {}
    for stage in configs:
        upstream = {name: identities[name] for name in UPSTREAM[stage] if name in identities}
        config = configs[stage]
        identities[stage] = digest([stage, module_of(stage).VERSION, config, upstream])
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
        ),
        "annotate": annotate.Config(annotator=recipe.annotator, phenomena=recipe.phenomena, language=spoken, seed=seed),
        "synthesize": synthesize.Config(tts=recipe.tts, voices=voices(recipe), seed=seed),
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


def engines(recipe: Recipe) -> list[tuple[str, str, str]]:
    """(role, kind, revision) of everything that made the data."""
    used: list[tuple[str, str, KindConfig | None]] = [
        ("source", "sources", recipe.source),
        ("annotator", "llm", recipe.annotator),
        ("tts", "tts", recipe.tts),
        ("noise", "noise", recipe.noise),
    ]
    return [(role, c.kind, revision(family, c)) for role, family, c in used if c is not None]


def revision(family: str, config: KindConfig) -> str:
    """The engine's own version where it states one, else this package's."""
    found: Any = getattr(kinds.module(family, config.kind), "revision", None)
    return str(found(config)) if found else code_version()
