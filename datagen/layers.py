"""A recipe file laid over its base, with ``a.b=c`` overrides on top: plain mappings, not typed yet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datagen.strict_yaml import load_yaml, parse_yaml


def layered(path: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The keys of a recipe file, its bases and the overrides; relative paths are made absolute.

    ValueError names the file, or the override, and what is wrong with it.
    """
    raw = _raw(Path(path))
    for text in overrides:
        override(raw, text)
    return absolute(raw, Path(path).resolve().parent)


def _raw(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a file, laid over its base."""
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ValueError(f"{path}: no such recipe; in {path.parent} there are: {', '.join(near) or 'none'}")
    if path.resolve() in seen:
        raise ValueError(f"{path}: base: the file stands above itself; name another base or none")
    raw = absolute(load_yaml(path), path.resolve().parent)
    base = raw.pop("base", None)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise ValueError(f"{path}: base: give the path of one recipe (given: {base!r})")
    return _laid_over(_raw(path.parent / base, (*seen, path.resolve())), raw)


def _laid_over(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key unless they name another kind; everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("kind", old.get("kind")) == old.get("kind"):
            value = _laid_over(old, value)
        merged[key] = value
    return merged


def override(raw: dict[str, Any], text: str) -> None:
    """Applies one ``a.b=c``; list items by number or by kind (``phenomena.pause.per_minute=1``)."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ValueError(f"--set {text}: write it as key=value, for example --set conversations=20")
    try:
        parsed = parse_yaml(f"value: {value}", "")["value"]
    except ValueError as error:
        raise ValueError(f"--set {text}: the value is not YAML ({str(error).partition(': ')[2]})") from None
    *parents, last = key.split(".")
    at: Any = raw
    for part in parents:
        at = _step(at, part, text)
    if isinstance(at, list):
        at[_position(at, last, text)] = parsed
    else:
        at[last] = parsed


def _step(at: Any, part: str, text: str) -> Any:
    """The mapping or list under a part of the key; a kind given as a bare word becomes a mapping on the way."""
    where: Any = _position(at, part, text) if isinstance(at, list) else part
    below = at[where] if isinstance(at, list) else at.get(part)
    if below is None:
        below = {}
    elif isinstance(at, list) and isinstance(below, str) and below == part:
        below = {"kind": below}
    elif not isinstance(below, dict | list):
        raise ValueError(f"--set {text}: {part!r} is the single value {below!r}, it has no keys")
    at[where] = below
    return below


def _position(items: list[Any], part: str, text: str) -> int:
    kinds = [str(item.get("kind")) if isinstance(item, dict) else str(item) for item in items]
    if part in kinds:
        return kinds.index(part)
    if part.isdigit() and int(part) < len(items):
        return int(part)
    raise ValueError(f"--set {text}: no item {part!r} in the list; there are: {', '.join(kinds) or 'none'}")


PATHS = frozenset({"path", "voices", "babble_voices", "prices", "home", "python"})
"""Keys whose values are paths."""
MAYBE_PATHS = frozenset({"grammar", "model"})
"""Keys whose values are names, or paths when they look like one."""


def absolute(value: Any, folder: Path) -> Any:
    """The paths of a recipe with their environment variables filled in, relative ones made absolute."""
    if isinstance(value, list):
        return [absolute(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _path(item, folder) if isinstance(item, str) and _is_path(key, item) else absolute(item, folder)
        for key, item in value.items()
    }


def _is_path(key: str, text: str) -> bool:
    if key == "grammar":
        return "/" in text
    return key in PATHS or (key in MAYBE_PATHS and text.startswith((".", "/", "~", "$")))


def _path(text: str, folder: Path) -> str:
    """A path or URL; what begins with a variable that is not set stays as it is, for the kind to say what to set."""
    filled = os.path.expandvars(text)
    if "://" in filled or filled.startswith("$"):
        return filled
    return str((folder / _home(filled)).resolve())


def _home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"path {path!r}: {error}; write it out") from None
