"""Recipes: sparse YAML read into types, and the stages they mean.

A recipe may name a ``base`` recipe whose keys it changes. Paths in a recipe are relative to its file. The resolved
copy, every default written out, is saved with the output.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from datagen import kinds
from datagen.core.acceptance import Acceptance
from datagen.core.language import Language, ProfileName
from datagen.core.mixing import Blocks, Levels
from datagen.core.prices import Prices
from datagen.core.types import Split, Strict, Voice
from datagen.kinds import KindConfig
from datagen.layers import layered
from datagen.stages.plan import Margins
from datagen.stages.synthesize import Bank
from datagen.stages.write import Writing
from datagen.strict_yaml import dump_yaml, load_yaml

FAMILY_OF_KEY = {
    "source": "sources",
    "writer": "llm",
    "annotator": "llm",
    "tts": "tts",
    "asr": "asr",
    "aligner": "asr",
    "noise": "noise",
    "phenomena": "phenomena",
}
LANGUAGES = Path(__file__).parent / "lang"


class RecipeError(ValueError):
    """A mistake in a recipe or its arguments: one line with the remedy."""


class Package(Strict):
    """How the published files are cut."""

    file_mb: int = Field(default=256, ge=1)
    row_group_mb: int = Field(default=16, ge=1, le=100)


class Spending(Strict):
    """The most a run may pay for the answers of language models. It stops there and goes on with a higher cap."""

    usd: float = Field(gt=0)
    prices: str
    """A price table (``manifests/prices.yaml``)."""


class Recipe(Strict):
    """Everything that decides the bytes of a dataset."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    seed: int = Field(default=1, ge=0, lt=2**63)
    language: str
    profile: ProfileName = "polite"
    conversations: int = Field(default=600, ge=1)
    conversations_per_shard: int = Field(default=20, ge=1, le=1000)
    splits: dict[Split, float] = Field(default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1})
    """Shares; they are scaled to 1."""
    source: SerializeAsAny[KindConfig]
    writer: SerializeAsAny[KindConfig] | None = None
    """A language model that turns outlines into conversations; None where the source has none."""
    writing: Writing = Writing()
    annotator: SerializeAsAny[KindConfig]
    """``rules``, or a language model."""
    budget: Spending | None = None
    tts: SerializeAsAny[KindConfig]
    voices: str
    """A voice manifest: a YAML file with a list ``voices``."""
    acceptance: Acceptance = Acceptance()
    """What a synthesised clip must be like."""
    asr: SerializeAsAny[KindConfig] | None = None
    """A recogniser that hears every clip; None = clips are judged by their signal alone."""
    aligner: SerializeAsAny[KindConfig] | None = None
    """Finds word times where the engine gives none; None = the recogniser's, else estimated and marked."""
    bank: Bank | None = None
    """A bank of verified clips per voice for short texts; None = every backchannel is synthesised anew."""
    forbid_licences: tuple[str, ...] = ()
    """Shell patterns of licences that must not get into the dataset (``*NC*``): the run refuses to start with them."""
    phenomena: tuple[SerializeAsAny[KindConfig], ...] = ()
    noise: SerializeAsAny[KindConfig] | None = None
    blocks: Blocks = Blocks()
    levels: Levels = Levels()
    margins: Margins = Margins()
    package: Package = Package()

    @field_validator("splits")
    @classmethod
    def _shares(cls, splits: dict[Split, float]) -> dict[Split, float]:
        if not splits or not all(0 <= share < inf for share in splits.values()) or not sum(splits.values()):
            raise ValueError("give at least one share above 0, none below")
        return splits

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        names = [p.kind for p in self.phenomena]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"phenomena: {', '.join(twice)} stands twice; give each kind once")
        return self


def load(path: str, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe from a YAML file and ``a.b=c`` overrides.

    RecipeError with file, field, value and remedy for anything that is wrong with it.
    """
    try:
        return Recipe.model_validate(_with_kinds(layered(path, overrides)))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error, Recipe)}") from None
    except (ValueError, OSError) as error:
        text = str(error)
        raise RecipeError(text if text.startswith((path, str(Path(path)), "--set")) else f"{path}: {text}") from None


def first_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first of pydantic's messages as one line: field, what is wrong, what was given.

    With the model that refused, an unknown key is answered with the keys there are.
    """
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such key; {_near(first['loc'], model)}"
    if first["type"] == "missing":
        return f"{field}: this key is missing"
    given = repr(first["input"])
    return f"{field}: {message}" + (f" (given: {given})" if len(given) < 80 else "") if field else message


def _near(location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    """What may have been meant by an unknown key."""
    at: Any = model
    for part in location[:-1]:
        field = getattr(at, "model_fields", {}).get(part)
        at = getattr(field, "annotation", None)
    known = sorted(getattr(at, "model_fields", {}))
    if near := get_close_matches(str(location[-1]), known, n=3):
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(known)}" if known else "remove it or correct its spelling"


def _with_kinds(raw: dict[str, Any]) -> dict[str, Any]:
    """The mapping with typed configs where it names kinds."""
    typed = {"annotator": {"kind": "rules"}} | raw
    for key, family in FAMILY_OF_KEY.items():
        value = typed.get(key)
        if isinstance(value, list):
            typed[key] = tuple(_kind(key, family, item) for item in value)
        elif value is not None:
            typed[key] = _kind(key, family, value)
    return typed


def _kind(key: str, family: str, raw: Any) -> KindConfig:
    if isinstance(raw, str):
        raw = {"kind": raw}
    if not isinstance(raw, dict):
        raise ValueError(f"{key}: give a mapping with a key 'kind' (given: {raw!r})")
    try:
        if isinstance(raw.get("babble_voices"), str):
            raw = raw | {"babble_voices": voice_manifest(raw["babble_voices"])}
        return kinds.parse(family, raw)
    except ValidationError as error:
        kind = str(raw.get("kind"))
        raise ValueError(f"{key}.{kind}: {first_error(error, kinds.module(family, kind).Config)}") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def language(code: str) -> Language:
    """A language file; RecipeError lists the languages there are."""
    known = {path.stem: path for path in sorted(LANGUAGES.glob("*.yaml"))}
    if code not in known:
        there_are = ", ".join(known)
        raise RecipeError(
            f"language {code!r} is unknown; there are: {there_are}; a new one is one file in datagen/lang"
        )
    path = known[code]
    try:
        return Language.model_validate(load_yaml(path))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error, Language)}") from None


def price_table(path: str) -> Prices:
    """A price table; RecipeError when it is not there or not one."""
    if not Path(path).is_file():
        raise RecipeError(f"budget.prices: there is no file {path}; see manifests/prices.yaml")
    try:
        return Prices.model_validate(load_yaml(Path(path)))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error, Prices)}") from None


class _Voices(BaseModel):
    """What is read of a voice manifest."""

    voices: tuple[Voice, ...] = ()


def voice_manifest(path: str) -> tuple[Voice, ...]:
    """The voices a manifest lists."""
    if not Path(path).is_file():
        raise RecipeError(f"voices: there is no file {path}; name a voice manifest, see manifests/")
    try:
        found = _Voices.model_validate(load_yaml(path)).voices
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error)}") from None
    found = tuple(_beside(voice, Path(path).parent) for voice in found)
    ids = [voice.id for voice in found]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise RecipeError(f"{path}: voices: {', '.join(twice)} stands twice; a voice belongs to one split")
    return found


def _beside(voice: Voice, folder: Path) -> Voice:
    """The voice with the paths of its prompts, which a manifest gives relative to itself, made absolute."""
    if not voice.prompts:
        return voice
    prompts = tuple(p.model_copy(update={"path": str(folder / p.path)}) for p in voice.prompts)
    return voice.model_copy(update={"prompts": prompts})


def voices(recipe: Recipe) -> tuple[Voice, ...]:
    """The recipe's voices of its language; RecipeError when a split has fewer than two."""
    path = recipe.voices
    own = tuple(v for v in voice_manifest(path) if v.language.split("-")[0] == recipe.language.split("-")[0])
    for split in (s for s, share in recipe.splits.items() if share > 0):
        if sum(v.split == split for v in own) < 2:
            raise RecipeError(
                f"voices: {path} has fewer than two {recipe.language} voices for the {split} split; add some"
            )
    return own


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML that ``load`` reads back."""
    return dump_yaml(recipe.model_dump(mode="json"))
