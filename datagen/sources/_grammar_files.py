"""What a grammar folder holds, typed: ``shared.yaml`` and one YAML file per domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from datagen.core.types import Strict
from datagen.strict_yaml import load_yaml

SHARED = "shared.yaml"
_NAME = r"^[a-z][a-z0-9_]*$"
Name = Annotated[str, Field(pattern=_NAME)]


def _several(value: Any) -> Any:
    """A template may be written alone or as a list of alternatives."""
    return (value,) if isinstance(value, str) else value


Template = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]


class SlotFile(Strict):
    """A table of values: one row per value, columns divided by ``|`` and named by ``fields``."""

    fields: tuple[Name, ...] = ("say",)
    values: tuple[str, ...] = ()
    like: Name | None = None
    """Instead of values: the table of another slot, never holding the same row as it."""

    @model_validator(mode="after")
    def _filled(self) -> Self:
        if (self.like is None) == (not self.values):
            raise ValueError("a slot needs either values or like")
        for row in self.values:
            if len(row.split("|")) != len(self.fields):
                raise ValueError(f"row {row!r} has {len(row.split('|'))} columns, fields name {len(self.fields)}")
        return self

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(cell.strip() for cell in row.split("|")) for row in self.values)


def _slot(value: Any) -> Any:
    return {"values": value} if isinstance(value, (list, tuple)) else value


class BranchFile(Strict):
    """Steps with a weight."""

    weight: float = Field(default=1.0, gt=0)
    steps: tuple[StepFile, ...]


def _branch(value: Any) -> Any:
    return {"steps": value} if isinstance(value, (list, tuple)) else value


Branch = Annotated[BranchFile, BeforeValidator(_branch)]
_COMPANIONS: Mapping[str, frozenset[str]] = {
    "user": frozenset(),
    "assistant": frozenset(),
    "maybe": frozenset({"steps"}),
    "choose": frozenset(),
    "if": frozenset({"steps", "else"}),
    "unless": frozenset({"steps", "else"}),
    "set": frozenset(),
    "flow": frozenset(),
    "topic": frozenset(),
    "stop": frozenset(),
}


class StepFile(Strict):
    """One step of a flow: exactly one of the keys of ``_COMPANIONS`` and what belongs to it."""

    user: Template | None = None
    assistant: Template | None = None
    maybe: float | None = Field(default=None, gt=0, lt=1)
    choose: tuple[Branch, ...] | None = Field(default=None, min_length=2)
    if_: Name | None = Field(default=None, alias="if")
    unless: Name | None = None
    set: dict[Name, Name] | None = None
    """Moves: ``set: {day: new_day}`` gives ``day`` the value of ``new_day`` and leaves ``new_day`` without one."""
    flow: Name | None = None
    topic: Literal["any", "same"] | None = None
    stop: float | None = Field(default=None, gt=0, le=1)
    steps: tuple[StepFile, ...] = ()
    else_: tuple[StepFile, ...] = Field(default=(), alias="else")

    @model_validator(mode="before")
    @classmethod
    def _one_thing(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise ValueError("a step is a mapping such as 'user: text'")
        heads = [key for key in raw if key in _COMPANIONS]
        if len(heads) != 1:
            raise ValueError(f"a step has exactly one of {', '.join(_COMPANIONS)}; here: {', '.join(heads) or 'none'}")
        if extra := sorted(set(map(str, raw)) - {heads[0]} - _COMPANIONS[heads[0]]):
            raise ValueError(f"{', '.join(extra)} cannot stand beside {heads[0]}")
        if "steps" in _COMPANIONS[heads[0]] and not raw.get("steps"):
            raise ValueError(f"{heads[0]} needs steps")
        return raw


class _ContentFile(Strict):
    """What a shared and a domain file have in common."""

    slots: dict[Name, Annotated[SlotFile, BeforeValidator(_slot)]] = Field(default={})
    phrases: dict[Name, Template] = Field(default={})
    flows: dict[Name, tuple[StepFile, ...]] = Field(default={})


class SharedFile(_ContentFile):
    """``shared.yaml``: what all domains may use, and the flow ``start`` every dialogue begins with."""

    language: str = Field(min_length=2)
    licence: str = Field(min_length=1)
    """SPDX name of the licence of the generated text."""
    silent: tuple[str, ...] = ()
    """Hesitations that count as nothing when a spoken text is compared with the grammar."""


class DomainFile(_ContentFile):
    """A domain: its topics are the flows a dialogue can be about."""

    weight: float = Field(default=1.0, gt=0)
    topics: dict[Name, Branch] = Field(min_length=1)


class Folder(Strict):
    """A whole grammar as written. ``name`` is the folder's, a domain's name its file's."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")
    shared: SharedFile
    domains: dict[Name, DomainFile] = Field(min_length=1)


_Model = TypeVar("_Model", bound=Strict)


def _typed(model: type[_Model], raw: dict[str, Any], where: str) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_one_line(error, where)) from None


def _one_line(error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}"


def read_folder(path: Path) -> Folder:
    """The files of a grammar folder.

    Raises ValueError ``file: key: what is wrong`` for a missing shared file, no domain, or anything mistyped.
    """
    if not (path / SHARED).is_file():
        raise ValueError(f"{path} holds no {SHARED}; a grammar is a folder with {SHARED} and one YAML file per domain")
    shared = _typed(SharedFile, load_yaml(path / SHARED), f"{path.name}/{SHARED}")
    files = sorted(file for file in path.glob("*.yaml") if file.name != SHARED)
    domains = {file.stem: _typed(DomainFile, load_yaml(file), f"{path.name}/{file.name}") for file in files}
    return _typed(Folder, {"name": path.name, "shared": shared, "domains": domains}, str(path))
