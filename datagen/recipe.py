"""Recipes: sparse YAML read into types, and the stages they mean.

A recipe may name a ``base`` recipe whose keys it changes. Paths in a recipe are relative to its file. The resolved
copy, every default written out, is saved with the output.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from datagen import kinds
from datagen.core.language import Language, ProfileName
from datagen.core.mixing import Blocks, Levels
from datagen.core.types import Split, Strict, Voice
from datagen.kinds import KindConfig
from datagen.stages.plan import Margins
from datagen.store import fingerprint
from datagen.strict_yaml import load_yaml

FAMILY_OF_KEY = {"source": "sources", "annotator": "llm", "tts": "tts", "noise": "noise", "phenomena": "phenomena"}
LANGUAGES = Path(__file__).parent / "lang"


class RecipeError(ValueError):
    """A mistake in a recipe or its arguments: one line with the remedy."""


class Package(Strict):
    """How the published files are cut."""

    file_mb: int = Field(default=256, ge=1)
    row_group_mb: int = Field(default=32, ge=1, le=100)


class Recipe(Strict):
    """Everything that decides the bytes of a dataset."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    seed: int = 1
    language: str
    profile: ProfileName = "polite"
    conversations: int = Field(default=600, ge=1)
    conversations_per_shard: int = Field(default=20, ge=1, le=1000)
    splits: dict[Split, float] = Field(default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1})
    """Shares; they are scaled to 1."""
    source: SerializeAsAny[KindConfig]
    annotator: SerializeAsAny[KindConfig]
    tts: SerializeAsAny[KindConfig]
    voices: str
    """A voice manifest: a YAML file with a list ``voices``."""
    phenomena: tuple[SerializeAsAny[KindConfig], ...] = ()
    noise: SerializeAsAny[KindConfig] | None = None
    blocks: Blocks = Blocks()
    levels: Levels = Levels()
    margins: Margins = Margins()
    package: Package = Package()

    @field_validator("splits")
    @classmethod
    def _shares(cls, splits: dict[Split, float]) -> dict[Split, float]:
        if not splits or any(share < 0 for share in splits.values()) or not sum(splits.values()):
            raise ValueError(f"splits {splits}: give at least one share above 0, none below")
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
        raw = _raw(Path(path))
        for override in overrides:
            _override(raw, override)
        raw = _absolute(raw, Path(path).resolve().parent)
        return Recipe.model_validate(_with_kinds(raw))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error)}") from None
    except (ValueError, OSError) as error:
        text = str(error)
        raise RecipeError(text if text.startswith(path) else f"{path}: {text}") from None


def first_error(error: ValidationError) -> str:
    """The first of pydantic's messages as one line: field, what is wrong, what was given."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such key; remove it or correct its spelling"
    if first["type"] == "missing":
        return f"{field}: this key is missing"
    given = repr(first["input"])
    return f"{field}: {message}" + (f" (given: {given})" if len(given) < 80 else "") if field else message


def _raw(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a file, laid over its base."""
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ValueError(f"no such recipe; in {path.parent} there are: {', '.join(near) or 'none'}")
    if path.resolve() in seen:
        raise ValueError(f"base: {path} stands above itself")
    raw = _absolute(load_yaml(path), path.resolve().parent)
    base = raw.pop("base", None)
    return _laid_over(_raw(path.parent / str(base), (*seen, path.resolve())), raw) if base else raw


def _laid_over(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key unless they name another kind; everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("kind", old.get("kind")) == old.get("kind"):
            value = _laid_over(old, value)
        merged[key] = value
    return merged


def _override(raw: dict[str, Any], text: str) -> None:
    """Applies one ``a.b=c``; list items by number or by kind (``phenomena.pause.per_minute=1``)."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--set {text}: write it as key=value, for example --set conversations=20")
    *parents, last = key.split(".")
    at: Any = raw
    for part in parents:
        at = _step(at, part, text)
    parsed = yaml.safe_load(value)
    if isinstance(at, list):
        at[_position(at, last, text)] = parsed
    else:
        at[last] = parsed


def _step(at: Any, part: str, text: str) -> Any:
    if isinstance(at, list):
        return at[_position(at, part, text)]
    if not isinstance(at.get(part, {}), dict | list):
        raise ValueError(f"--set {text}: {part!r} is a single value, it has no keys")
    return at.setdefault(part, {})


def _position(items: list[Any], part: str, text: str) -> int:
    named = [i for i, item in enumerate(items) if isinstance(item, dict) and item.get("kind") == part]
    if named:
        return named[0]
    if part.isdigit() and int(part) < len(items):
        return int(part)
    known = ", ".join(str(item.get("kind")) if isinstance(item, dict) else str(item) for item in items)
    raise ValueError(f"--set {text}: no item {part!r} in the list; there are: {known}")


def _absolute(value: Any, folder: Path) -> Any:
    """Relative paths of a recipe, made absolute: the keys ``path`` and ``..voices``, and grammars given as a path."""
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        is_path = key in ("path", "voices", "babble_voices") or (key == "grammar" and "/" in str(item))
        if is_path and isinstance(item, str) and "://" not in item:
            result[key] = str((folder / Path(item).expanduser()).resolve())
        else:
            result[key] = _absolute(item, folder)
    return result


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
        raise ValueError(f"{key}.{raw.get('kind')}: {first_error(error)}") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def language(code: str) -> Language:
    """A language file; RecipeError lists the languages there are."""
    path = LANGUAGES / f"{code}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in LANGUAGES.glob("*.yaml")))
        raise RecipeError(f"language {code!r} is unknown; there are: {known}. A new one is one file in datagen/lang")
    try:
        return Language.model_validate(load_yaml(path))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error)}") from None


def voice_manifest(path: str) -> tuple[Voice, ...]:
    """The voices a manifest lists."""
    if not Path(path).is_file():
        raise RecipeError(f"voices: there is no file {path}; name a voice manifest, see manifests/")
    try:
        return tuple(Voice.model_validate(item) for item in load_yaml(path).get("voices") or ())
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error)}") from None


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


def identity_of(value: Any) -> Any:
    """What of a config counts for the identity of a result: everything but paths, which count with their contents."""
    if isinstance(value, KindConfig):
        module = sys.modules[type(value).__module__]
        fields = {n: identity_of(getattr(value, n)) for n in type(value).model_fields if n != "path"}
        if hasattr(module, "fingerprint"):
            fields["contents"] = module.fingerprint(value)
        elif getattr(value, "path", None):
            fields["contents"] = fingerprint(str(getattr(value, "path")))  # noqa: B009
        return fields
    if isinstance(value, BaseModel):
        return {name: identity_of(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list | tuple):
        return [identity_of(item) for item in value]
    if isinstance(value, dict):
        return {str(key): identity_of(item) for key, item in value.items()}
    return value


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(identity_of(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def code_version() -> str:
    """The installed version of this package."""
    try:
        return version("duplexkit")
    except PackageNotFoundError:
        return "0+unknown"


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML that ``load`` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
