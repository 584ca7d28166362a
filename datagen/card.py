"""The dataset card: README.md of a finished dataset, as the Hub and ``datasets.load_dataset`` read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from pydantic import BaseModel, Field, ValidationError

from datagen._card_columns import column_lines
from datagen._card_timing import timing_lines
from datagen.core.language import Reference, Timing
from datagen.core.types import SPEAKERS, SPLITS, Split
from datagen.report.data import Statistics
from datagen.report.tables import Line, Manifest, number, rate_lines, voice_lines
from datagen.schema import SCHEMA_VERSION, features

TASKS = ("audio-to-audio", "automatic-speech-recognition", "voice-activity-detection")
"""Of the Hub's list of tasks, those the columns serve without further labels."""
TAGS = ("full-duplex", "turn-taking", "spoken-dialogue", "backchannel", "barge-in", "two-channel", "synthetic")

HUB_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-3.0": "cc-by-3.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "CC-BY-ND-4.0": "cc-by-nd-4.0",
    "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0",
    "CDLA-Permissive-2.0": "cdla-permissive-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "GPL-3.0-or-later": "gpl-3.0",
    "MIT": "mit",
    "ODC-By-1.0": "odc-by",
    "PDDL-1.0": "pddl",
}
"""SPDX id -> the Hub's id; anything else is ``other`` there."""


class Recipe(BaseModel):
    """The recipe as the manifest names it."""

    name: str
    seed: int
    language: str
    profile: str
    hash: str


class EngineName(BaseModel):
    """Something that made the data, and its version."""

    role: str
    name: str
    revision: str


class SplitFigures(BaseModel):
    """The size of one split."""

    conversations: int
    hours: float
    bytes: int
    files: int
    voices: int


class Facts(BaseModel):
    """What the card needs of ``manifest.json``; further keys are ignored."""

    recipe: Recipe
    version: str
    engines: tuple[EngineName, ...]
    licences: tuple[str, ...] = Field(min_length=1)
    splits: dict[Split, SplitFigures] = Field(min_length=1)
    timing: Timing | None = None
    """Absent where nothing was placed by a profile, as in an imported set."""
    human: tuple[Reference, ...] = ()
    counts: dict[str, dict[str, int]] = {}
    languages: tuple[str, ...] = ()
    """Of the rows, where they have several."""
    lost: tuple[str, ...] = ()
    """What an imported set does not tell."""

    @property
    def imported(self) -> str:
        """The format that the conversations came in; empty where they were made here."""
        return next((engine.name for engine in self.engines if engine.role == "import"), "")

    @property
    def ordered(self) -> dict[Split, SplitFigures]:
        """The splits there are: train, validation, test."""
        return {name: self.splits[name] for name in SPLITS if name in self.splits}


@dataclass(frozen=True)
class Place:
    """Where a dataset is published, and what lies beside its card there."""

    repo: str
    """``organisation/name`` on the Hub."""
    url: str
    plots: tuple[tuple[str, str], ...] = ()
    """(path, caption) of pictures."""
    parts: tuple[tuple[str, str, int], ...] = ()
    """(what brings a licence in, licence, conversations)."""


def write_card(
    manifest: Mapping[str, Any],
    statistics: Mapping[str, Any],
    splits: Mapping[str, Any] | None = None,
    place: Place | None = None,
) -> str:
    """The card's text: YAML front matter and Markdown.

    ``statistics`` is the dump of ``report.Statistics`` (or empty: no table of measurements), ``splits`` stands in
    for the manifest's own, ``place`` is known once the dataset is published. ValueError names a key of the manifest
    that is missing or wrong.
    """
    facts = read_facts(manifest if splits is None else {**manifest, "splits": splits})
    measured = Statistics.model_validate(statistics)
    return _template().render(
        front_matter=yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True),
        facts=facts,
        splits=facts.ordered,
        columns=column_lines(bool(facts.imported)),
        timing=timing_lines(facts.timing) if facts.timing else [],
        rates=_rates(measured, facts),
        events=_events(measured),
        voices=voice_lines(measured),
        place=place,
        plots=_pairs(place.plots) if place else [],
        shared=sorted({v for s in SPEAKERS for v in measured.shared_voices(s)}) if measured.conversations else None,
        rejected=sum(count.get("rejected", 0) for count in facts.counts.values()),
        schema_version=SCHEMA_VERSION,
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    env = Environment(
        loader=PackageLoader("datagen"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    env.filters["cell"] = _cell
    return env.get_template("card.md.j2")


def read_facts(manifest: Mapping[str, Any]) -> Facts:
    """The manifest's keys that the card needs; ValueError for the first one that is missing or wrong."""
    try:
        return Facts.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"manifest.json: {place}: {first['msg']}; build the dataset again") from error


def front_matter(facts: Facts) -> dict[str, Any]:
    """The metadata the Hub shows and ``load_dataset`` obeys."""
    size = sum(split.bytes for split in facts.ordered.values())
    rows = sum(split.conversations for split in facts.ordered.values())
    infos = [
        {"name": name, "num_bytes": split.bytes, "num_examples": split.conversations}
        for name, split in facts.ordered.items()
    ]
    info = {"features": yaml_features(features()), "splits": infos, "download_size": size, "dataset_size": size}
    files = [{"split": name, "path": f"data/{name}-*.parquet"} for name in facts.ordered]
    return {
        **licence_metadata(facts.licences),
        "language": list(facts.languages or (facts.recipe.language,)),
        "pretty_name": f"{facts.recipe.name}: two-channel dialogue speech ({facts.recipe.language})",
        "task_categories": list(TASKS),
        "size_categories": [size_category(rows)],
        "tags": [tag for tag in TAGS if tag != "synthetic" or not facts.imported],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"config_name": "default", **info},
    }


def licence_metadata(licences: tuple[str, ...]) -> dict[str, str]:
    """One licence the Hub knows by its id there; else ``other`` with a name; the card lists them."""
    if len(licences) == 1 and licences[0] in HUB_LICENCES:
        return {"license": HUB_LICENCES[licences[0]]}
    name = re.sub(r"[^a-z0-9.]+", "-", licences[0].lower()).strip("-") if len(licences) == 1 else "several"
    return {"license": "other", "license_name": name}


def size_category(rows: int) -> str:
    """The Hub's bracket for a number of rows.

    >>> size_category(999), size_category(1000), size_category(250_000)
    ('n<1K', '1K<n<10K', '100K<n<1M')
    """
    borders = [(10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M"), (10**8, "100M")]
    low = ""
    for border, name in borders:
        if rows < border:
            return f"{low}<n<{name}" if low else f"n<{name}"
        low = name
    return f"n>{low}"


def yaml_features(feature: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A struct of Hugging Face features in the form a card's YAML has them."""
    return [{"name": name, **_yaml_feature(inner)} for name, inner in feature.items()]


def _yaml_feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    kind = feature.get("_type")
    rest = {key: value for key, value in feature.items() if key != "_type"}
    if kind == "Value":
        return rest
    if kind == "Audio":
        return {"dtype": {"audio": rest}}
    if kind == "List":
        inner = _yaml_feature(feature["feature"])
        return {"list": inner.get("struct") or inner.get("dtype") or inner}
    return {"struct": yaml_features(feature)}


def _rates(measured: Statistics, facts: Facts) -> list[Line]:
    if not measured.conversations:
        return []
    lines = rate_lines(measured.turntaking, Manifest(timing=facts.timing, human=facts.human))
    return [line for line in lines if line.assistant or line.user or line.both]


def _events(measured: Statistics) -> list[tuple[str, str, str, str, str]]:
    """Event, by whom, outcome, how many, and how many per hour of conversation."""
    found = []
    for name, count in sorted(measured.turntaking.events.items()):
        event, actor, outcome = (*name.split("/"), "", "")[:3]
        found.append((event.replace("_", "-"), actor, outcome, number(count, 0), number(count / measured.hours, 0)))
    return found


def _pairs(plots: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]]]:
    """Two to a row."""
    return [plots[k : k + 2] for k in range(0, len(plots), 2)]


def _cell(text: object) -> str:
    """Text that stays inside its cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
