"""What of a dataset folder is published, checked against its manifest.

    data/*.parquet  report.html  statistics.json     as the build left them
    README.md       the card, with the repository's name, pictures and the licences by what brings them in
    plots/*.svg     its pictures
    recipe.yaml     without folders and private servers; an imported set has none
    manifest.json   without what the run has cost

Never the work folder, and never ``rejected.jsonl``: what was refused is no part of the dataset, and nobody has looked
at its terms.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datagen.card import Place, read_facts, write_card
from datagen.importers._base import ImportConfig
from datagen.publishing.origins import parts
from datagen.publishing.private import papers, portable
from datagen.report import Manifest, Statistics, collect
from datagen.report.pictures import pictures
from datagen.report.tables import voice_lines
from datagen.schema import SCHEMA_VERSION

MANIFEST = "manifest.json"
CARD = "README.md"
RECIPE = "recipe.yaml"
_AS_THEY_ARE = ("report.html", "statistics.json")


@dataclass(frozen=True)
class Item:
    """One file of the release: a path on this machine, or its bytes where it was made for the release."""

    name: str
    source: Path | bytes
    size: int
    sha256: str = ""
    """As the manifest has it; only of data files."""

    def content(self) -> bytes:
        """All its bytes; not for data files, which may be large."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()

    def git_oid(self) -> str:
        """The name git gives to the content."""
        content = self.content()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    def digest(self) -> str:
        """SHA-256 of the content; the manifest's where it has one."""
        return self.sha256 or hashlib.sha256(self.content()).hexdigest()


@dataclass(frozen=True)
class Release:
    """A complete dataset, ready to be published."""

    folder: str
    manifest: dict[str, Any]
    items: tuple[Item, ...]
    notes: tuple[str, ...]
    forbidden: tuple[str, ...]
    """``forbid_licences`` of its recipe."""

    @property
    def name(self) -> str:
        return str(self.manifest["recipe"]["name"])

    @property
    def licences(self) -> tuple[str, ...]:
        return tuple(self.manifest["licences"])

    @property
    def size(self) -> int:
        """Bytes of everything."""
        return sum(item.size for item in self.items)


def read_release(folder: str, repo: str, url: str, new_card: bool = False) -> Release:
    """The release of a dataset folder; ValueError with the remedy where it is not complete or not known.

    Args:
        folder: on this machine.
        repo: ``organisation/name``, which the card mentions.
        url: the address of its page, which the card mentions.
        new_card: write the card again even where README.md is not as the build left it.
    """
    if "://" in folder:
        raise ValueError(f"{folder}: publishing reads a folder of this machine; copy the dataset here first")
    root = Path(folder)
    manifest = read_manifest(root)
    data = tuple(_data(root, manifest))
    written = _text(root / RECIPE)
    recipe = yaml.safe_load(written) or {}
    statistics = _statistics(root)
    card, notes = _card(root, manifest, statistics, recipe, Place(repo, url), new_card)
    made = [*card, Item(MANIFEST, *_sized(papers(manifest)))]
    if written:
        made.append(Item(RECIPE, *_sized(portable(written))))
    kept = [Item(name, root / name, (root / name).stat().st_size) for name in _AS_THEY_ARE if (root / name).is_file()]
    items = tuple(sorted((*data, *made, *kept), key=lambda item: item.name))
    notes = (*notes, *_unasked(statistics))
    return Release(folder, manifest, items, notes, tuple(recipe.get("forbid_licences") or ()))


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a complete dataset of a schema this program knows."""
    path = root / MANIFEST
    if not path.is_file():
        if (root / ".work").is_dir():
            raise ValueError(f"{root}: the dataset is not finished (no {MANIFEST}); run its build again")
        raise ValueError(f"{root}: there is no {MANIFEST}, so no dataset; give the folder that `datagen build` wrote")
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}; build the dataset again") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path}: schema_version {version!r} is not known here (this program knows {SCHEMA_VERSION}); "
            "publish with the version of duplexkit that made the dataset"
        )
    read_facts(manifest)
    return manifest


def _data(root: Path, manifest: dict[str, Any]) -> Iterator[Item]:
    """The data files the manifest names, each of the size it states."""
    for name, figures in manifest.get("files", {}).items():
        path = root / name
        size = path.stat().st_size if path.is_file() else None
        if size != figures["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes, not the manifest's {figures['bytes']}"
            raise ValueError(f"{path} {found}; remove {MANIFEST} and run the build again")
        yield Item(name, path, figures["bytes"], figures["sha256"])


def _statistics(root: Path) -> Statistics:
    path = root / "statistics.json"
    return Statistics.model_validate_json(path.read_bytes()) if path.is_file() else collect(str(root))


def _unasked(measured: Statistics) -> Iterator[str]:
    """Whose consent nobody has stated: an import does not ask for it, but those who publish should know."""
    unknown = ImportConfig.model_fields["consent"].default
    for origin, _, consent, *_ in voice_lines(measured):
        if consent == unknown:
            yield f"voices {origin!r}: what their speakers agreed to is not known; import with --set consent=.."


def _card(
    root: Path, manifest: dict[str, Any], measured: Statistics, recipe: dict[str, Any], place: Place, new: bool
) -> tuple[list[Item], tuple[str, ...]]:
    """The card with its pictures. A README.md that the build did not leave stays as it is: people add to theirs."""
    statistics = measured.model_dump(mode="json")
    readme = _text(root / CARD)
    if readme and not new and readme != write_card(manifest, statistics):
        note = f"{CARD} is not as the build left it (edited, or of another version): it is published as it is; "
        return [Item(CARD, *_sized(readme))], (note + "--new-card writes it again",)
    shown = pictures(measured, Manifest.model_validate(manifest))
    rolled = parts(str(root), _licences_of(recipe.get("noise")))
    place = Place(
        place.repo,
        place.url,
        tuple((p.path, p.caption) for p in shown),
        tuple((p.what, p.licence, p.conversations) for p in rolled),
    )
    card = Item(CARD, *_sized(write_card(manifest, statistics, place=place)))
    return [card, *(Item(p.path, *_sized(p.svg)) for p in shown)], ()


def _licences_of(value: Any) -> frozenset[str]:
    """Every licence stated anywhere in a part of a recipe."""
    if isinstance(value, dict):
        own = str(value.get("licence") or "").split(" AND ")
        return frozenset(filter(None, own)).union(*(_licences_of(v) for v in value.values()))
    return frozenset().union(*(_licences_of(v) for v in value)) if isinstance(value, list) else frozenset()


def _sized(text: str) -> tuple[bytes, int]:
    content = text.encode()
    return content, len(content)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
