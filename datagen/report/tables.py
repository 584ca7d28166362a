"""The report's figures as text: headline numbers, rates beside cited human ones, ceilings, the making of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from datagen.core.ceiling import EventCeiling, OnsetCeiling, event_ceiling, onset_ceiling
from datagen.core.histogram import Histogram, distance, distance_to_points
from datagen.core.language import Reference, Timing
from datagen.core.summary import Summary
from datagen.core.types import SPEAKERS, SPLITS, Speaker
from datagen.core.units import SAMPLES_PER_MS, from_ms, to_ms, to_seconds
from datagen.report.data import Statistics

NONE = "–"
_GRID = (np.arange(400) + 0.5) / 400


class Counts(BaseModel):
    """Records that went into a stage, came out, and were rejected."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    taken: int = Field(alias="in")
    out: int
    rejected: int

    @property
    def balanced(self) -> bool:
        return self.taken == self.out + self.rejected


class Manifest(BaseModel):
    """What the build knows and the rows do not: ``manifest.json`` beside the data. Every key may be absent."""

    model_config = ConfigDict(extra="ignore")

    recipe: str = ""
    """Its name; a mapping with a ``name`` is accepted too."""
    seconds_per_stage: dict[str, float] = Field(default_factory=dict)
    counts: dict[str, Counts] = Field(default_factory=dict)
    rejected_reasons: dict[str, dict[str, int]] = Field(default_factory=dict)
    timing: Timing | None = None
    human: tuple[Reference, ...] = ()

    @field_validator("recipe", mode="before")
    @classmethod
    def _name(cls, recipe: Any) -> Any:
        return recipe.get("name") if isinstance(recipe, Mapping) else recipe


@dataclass(frozen=True)
class Cell:
    """A figure and the number of the reference it comes from (0: our own)."""

    value: str
    cite: int = 0


@dataclass(frozen=True)
class Line:
    """One row of the table of rates."""

    name: str
    assistant: str = ""
    user: str = ""
    both: str = ""
    people: tuple[Cell, ...] = ()
    note: str = ""


def number(value: float, digits: int = 1, unit: str = "") -> str:
    """A number for reading: fixed digits, a real minus sign, a thin space between thousands; a dash for nan."""
    if not isfinite(value):
        return NONE
    text = f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "−")
    return f"{text}\u00a0{unit}" if unit else text


def percent(share: float, digits: int = 1) -> str:
    """A share of one as people read it."""
    return number(share * 100, digits, "%")


def spread(histogram: Histogram) -> str:
    """Median and the range that holds the middle 80 per cent."""
    if not histogram.n:
        return NONE
    low, middle, high = (number(to_ms(1) * histogram.quantile(p), 0) for p in (0.1, 0.5, 0.9))
    return f"{middle}\u00a0ms ({low} … {high})"


def expected_offsets(timing: Timing, taker: Speaker) -> npt.NDArray[np.float64]:
    """Equally likely offsets in ms, rising, as the profile asks for; the user's include the conversation's shift."""
    dist = timing.assistant_onset if taker == "assistant" else timing.user_onset
    values = np.array([dist.quantile(float(p)) for p in _GRID])
    if taker == "user" and timing.dyad_sd_ms:
        normal = NormalDist(0, timing.dyad_sd_ms)
        shifts = np.array([normal.inv_cdf((k + 0.5) / 40) for k in range(40)])
        values = (values[:, None] + shifts).ravel()
    return np.sort(values)


def _to_profile(histogram: Histogram, timing: Timing | None, taker: Speaker) -> float:
    """Wasserstein-1 distance in ms of finished-turn offsets to the profile."""
    if timing is None or not histogram.n:
        return float("nan")
    values = expected_offsets(timing, taker)
    return to_ms(1) * distance(histogram, lambda p: float(values[int(p * len(values))]) * SAMPLES_PER_MS)


def to_people(histogram: Histogram, reference: Reference) -> float:
    """Wasserstein-1 distance in ms of offsets to published percentiles, over the range these cover."""
    if not histogram.n or len(reference.fto_quantiles) < 2:
        return float("nan")
    points = tuple((p, float(from_ms(ms))) for p, ms in reference.fto_quantiles)
    return to_ms(1) * distance_to_points(histogram, points)


def _cited(human: Iterable[Reference], name: str, show: str) -> tuple[Cell, ...]:
    found = ((k, getattr(r, name)) for k, r in enumerate(human, 1))
    return tuple(Cell(percent(v, 0) if show == "%" else number(v), k) for k, v in found if v is not None)


def human_percentile(reference: Reference, p: float) -> float:
    """A percentile of published offsets, in ms."""
    ps, values = zip(*reference.fto_quantiles, strict=True)
    return float(np.interp(p, ps, values))


def _offset_lines(summary: Summary, manifest: Manifest) -> list[Line]:
    every = {s: summary.transfers(s) for s in SPEAKERS}
    both = every["user"].merge(every["assistant"])
    measured = [(k, r) for k, r in enumerate(manifest.human, 1) if r.fto_quantiles]
    people = tuple(
        Cell("{} ({} … {})".format(*(number(human_percentile(r, p), 0) for p in (0.5, 0.1, 0.9))), k)
        for k, r in measured
    )
    lines = [
        Line(
            "Floor transfer offset",
            spread(every["assistant"]),
            spread(every["user"]),
            spread(both),
            people,
            "median (10th … 90th percentile); under the speaker who takes the floor; negative = overlap",
        )
    ]
    lines += [
        Line(
            f"Distance to people [{k}]",
            number(to_people(every["assistant"], reference), 0, "ms"),
            number(to_people(every["user"], reference), 0, "ms"),
            number(to_people(both, reference), 0, "ms"),
            note="Wasserstein-1: how far an offset has to be moved, on average, to look human",
        )
        for k, reference in measured
    ]
    if manifest.timing is not None:
        asked = {s: _to_profile(summary.offsets[s], manifest.timing, s) for s in SPEAKERS}
        lines.append(
            Line(
                "Distance to the profile",
                number(asked["assistant"], 0, "ms"),
                number(asked["user"], 0, "ms"),
                note="Wasserstein-1 between realised and asked offsets, interruptions left out",
            )
        )
    lines.append(
        Line(
            "Spread between conversations",
            number(to_ms(1) * summary.dyads["assistant"].sd(), 0, "ms"),
            number(to_ms(1) * summary.dyads["user"].sd(), 0, "ms"),
            note="standard deviation of a conversation's mean offset",
        )
    )
    return lines


def rate_lines(summary: Summary, manifest: Manifest) -> list[Line]:
    """The table of turn-taking figures. Columns are by who acts; human figures carry their citation."""
    rates, human = summary.rates(), manifest.human

    def pair(values: dict[Speaker, float], digits: int = 1, unit: str = "") -> tuple[str, str]:
        return number(values["assistant"], digits, unit), number(values["user"], digits, unit)

    def shares(values: dict[Speaker, float]) -> tuple[str, str]:
        return percent(values["assistant"]), percent(values["user"])

    median_turn: dict[Speaker, float] = {s: summary.turns[s].quantile(0.5) / SAMPLES_PER_MS / 1000 for s in SPEAKERS}
    return [
        *_offset_lines(summary, manifest),
        Line(
            "Floor changes that overlap",
            *shares(rates.overlap_share),
            percent(rates.overlap_share_all),
            _cited(human, "overlap_share", "%"),
        ),
        Line("Floor changes per minute", both=number(rates.transfers_per_minute)),
        Line(
            "Backchannels per minute",
            *pair(rates.backchannels_per_minute, 2),
            people=_cited(human, "backchannels_per_minute", ""),
            note="per listener",
        ),
        Line("… per minute of the other’s speech", *pair(rates.backchannels_per_heard_minute, 2)),
        Line("Barge-ins per minute", *pair(rates.barge_ins_per_minute, 2), note="attempts"),
        Line(
            "The other yields",
            both=percent(rates.yield_probability_all),
            people=_cited(human, "yield_probability", "%"),
            note=f"to a start inside a turn: a turn {percent(rates.yield_probability['turn'], 0)}, "
            f"a backchannel {percent(rates.yield_probability['backchannel'], 0)}",
        ),
        Line("Interrupted until silent", both=spread(summary.stops), note="from the barge-in’s start"),
        Line(
            "Where others start to speak",
            both=percent(summary.entries["turn"].quantile(0.5) / 1000, 0),
            note="of the turn was over, median; backchannels at "
            + percent(summary.entries["backchannel"].quantile(0.5) / 1000, 0),
        ),
        Line("Pauses per minute", both=number(rates.pauses_per_minute), note="200 ms or more inside a speaker’s floor"),
        Line("Length of pauses", both=spread(summary.pauses)),
        Line("Both speak at once", both=percent(rates.simultaneous_share), note="of the time"),
        Line("Share of the time speaking", *shares(rates.speech_share)),
        Line(
            "Words per minute",
            *pair(rates.words_per_speaking_minute, 0),
            number(rates.words_per_minute, 0),
            note="by speaker: of own speech; both: of conversation",
        ),
        Line("Median turn", *pair(median_turn, 1, "s")),
    ]


def ceilings(statistics: Statistics) -> tuple[OnsetCeiling | None, dict[Speaker, EventCeiling]]:
    """What an oracle could reach on start of speech, and on the backchannels of each side that has some."""
    summary = statistics.turntaking
    found: dict[Speaker, EventCeiling] = {}
    for speaker in ("assistant", "user"):
        ceiling = event_ceiling(summary.chances.get(f"backchannel/{speaker}", {}))
        if ceiling is not None:
            found[speaker] = ceiling
    return onset_ceiling(summary.offsets["assistant"]), found


def split_lines(statistics: Statistics) -> list[tuple[str, ...]]:
    """Split, conversations, hours, user voices, assistant voices, domains; a last line for all."""
    lines: list[tuple[str, ...]] = []
    for split in SPLITS:
        if split not in statistics.splits:
            continue
        part = statistics.splits[split]
        voices = [sum(split in v.conversations for v in statistics.voices[s].values()) for s in ("user", "assistant")]
        hours = number(to_seconds(part.samples) / 3600, 2)
        lines.append((split, number(part.conversations, 0), hours, *map(str, voices), str(len(part.domains))))
    every = (str(len(statistics.voices[s])) for s in ("user", "assistant"))
    domains = str(len(statistics.counts("domains")))
    return [*lines, ("all", number(statistics.conversations, 0), number(statistics.hours, 2), *every, domains)]


def voice_lines(statistics: Statistics) -> list[tuple[str, str, str, int, int]]:
    """Origin, licence, consent, user voices, assistant voices: one line per combination."""
    groups: dict[tuple[str, str, str], dict[Speaker, int]] = {}
    for speaker in SPEAKERS:
        for voice in statistics.voices[speaker].values():
            group = groups.setdefault((voice.origin, voice.licence, voice.consent), dict.fromkeys(SPEAKERS, 0))
            group[speaker] += 1
    return [(*key, counts["user"], counts["assistant"]) for key, counts in sorted(groups.items())]
