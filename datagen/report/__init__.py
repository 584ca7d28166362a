"""The report: one self-contained HTML file with statistics, plots and conversations to listen to and see.

``collect`` goes once through the data set in constant memory; ``write_report`` turns its result and a dozen
conversations into a page that needs no network and no server. The same data set gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from math import ceil, floor
from typing import Any

from fsspec.core import url_to_fs
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from datagen.core.ceiling import EventCeiling, OnsetCeiling
from datagen.core.histogram import Histogram
from datagen.core.types import SPEAKERS, Speaker
from datagen.core.units import SAMPLE_RATE, SAMPLES_PER_MS
from datagen.files import Folder
from datagen.report import plots, tables
from datagen.report.data import MILLI, Statistics, collect
from datagen.report.listen import Exhibit, exhibits, script_json
from datagen.report.tables import Manifest, number, percent

__all__ = ["Manifest", "Statistics", "build_report", "collect", "read_manifest", "render", "write_report"]

PLAYERS = 12
_BOX = (0.1, 0.25, 0.5, 0.75, 0.9)
_OFFSETS = plots.Axis(-1000, 2000, 50, (-1000, -500, 0, 500, 1000, 1500, 2000), "ms", SAMPLES_PER_MS)


def build_report(dataset: str, out_path: str, *, players: int = PLAYERS) -> Statistics:
    """Collects the statistics of a data set and writes the report, with ``statistics.json`` beside it.

    Args:
        dataset: folder or fsspec URL that holds ``data/{split}-*.parquet`` and, if there is one, ``manifest.json``.
        out_path: where the HTML goes; local path or fsspec URL.
        players: how many conversations can be listened to, at most; each adds its FLAC bytes times 4/3.
    """
    statistics = collect(dataset)
    folder, _ = _split(out_path)
    Folder(folder).write("statistics.json", statistics.model_dump_json(indent=1) + "\n")
    write_report(dataset, out_path, statistics=statistics, players=players)
    return statistics


def write_report(
    dataset: str,
    out_path: str,
    *,
    statistics: Statistics | None = None,
    manifest: Manifest | Mapping[str, Any] | None = None,
    players: int = PLAYERS,
) -> None:
    """Writes the HTML file, whole or not at all.

    ``statistics`` and ``manifest`` are read from the data set where they are not given.
    """
    statistics = statistics or collect(dataset)
    if not isinstance(manifest, Manifest):
        manifest = read_manifest(dataset) if manifest is None else _parsed(manifest)
    shown = exhibits(dataset, statistics.exhibits[:players])
    folder, name = _split(out_path)
    Folder(folder).write(name, render(statistics, shown, manifest))


def read_manifest(dataset: str) -> Manifest:
    """``manifest.json`` of a data set; an empty manifest where there is none; ValueError where it cannot be read."""
    fs, root = url_to_fs(str(dataset))
    path = f"{root.rstrip('/')}/manifest.json"
    if not fs.exists(path):
        return Manifest()
    try:
        return _parsed(json.loads(fs.cat_file(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"manifest.json: {error}; build the data set again") from error


def _parsed(manifest: Mapping[str, Any]) -> Manifest:
    try:
        return Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"manifest.json: {where}: {first['msg']}; build the data set again") from error


def _split(path: str) -> tuple[str, str]:
    folder, _, name = str(path).rpartition("/")
    return folder or ".", name


def render(statistics: Statistics, shown: Sequence[Exhibit], manifest: Manifest) -> str:
    """The page. Pure: the same arguments give the same text."""
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=number, pct=percent)
    summary = statistics.turntaking
    onset, events = tables.ceilings(statistics)
    return environment.get_template("report.html.j2").render(
        s=statistics,
        m=manifest,
        summary=summary,
        title=manifest.recipe or "Data set",
        tiles=_tiles(statistics),
        splits=tables.split_lines(statistics),
        lines=tables.rate_lines(summary, manifest),
        ceilings=_ceiling_texts(onset, events),
        offset_plots=[(s, offset_plot(statistics, manifest, s)) for s in ("assistant", "user")],
        length_plots=length_plots(statistics),
        sound_plots=sound_plots(statistics),
        voices=tables.voice_lines(statistics),
        shared={s: statistics.shared_voices(s) for s in ("user", "assistant")},
        noise_share=statistics.noise.samples / max(summary.samples, 1),
        exhibits=[(e, Markup(e.drawing)) for e in shown],
        same=_same(statistics),
        page=Markup(script_json({"speakers": SPEAKERS})),
        css=Markup(_template("report.css")),
        js=Markup(_template("report_draw.js") + _template("report.js")),
    )


def _same(statistics: Statistics) -> set[str]:
    """Languages and profiles that every conversation has: not worth a label on each."""
    counts = [statistics.counts(name) for name in ("languages", "profiles")]
    return {name for found in counts if len(found) == 1 for name in found}


def _template(name: str) -> str:
    return (resources.files("datagen") / "templates" / name).read_text(encoding="utf-8")


def _tiles(statistics: Statistics) -> list[tuple[str, str]]:
    """Headline numbers: figure and what it counts."""
    summary = statistics.turntaking
    events = sum(summary.events.values())
    return [
        (number(statistics.conversations, 0), "conversations"),
        (number(statistics.hours, 2), "hours"),
        (number(len(statistics.voice_splits()), 0), "voices"),
        (number(len(statistics.counts("domains")), 0), "domains"),
        (number(sum(summary.words.values()), 0), "words"),
        (number(sum(summary.transfers(s).n for s in SPEAKERS), 0), "floor changes"),
        (number(events, 0), "duplex events"),
        (percent(statistics.noise.conversations / max(statistics.conversations, 1), 0), "with noise"),
    ]


def _percentiles(histogram: Histogram, unit: float) -> tuple[float, float, float, float, float]:
    a, b, c, d, e = (histogram.quantile(p) / unit for p in _BOX)
    return a, b, c, d, e


def offset_plot(statistics: Statistics, manifest: Manifest, taker: Speaker) -> Markup:
    """Finished-turn offsets to one speaker, with the profile's outline and human percentiles."""
    offsets = statistics.turntaking.offsets[taker]
    boxes = [plots.Box("this data", _percentiles(offsets, SAMPLES_PER_MS), taker)] if offsets.n else []
    for cite, reference in enumerate(manifest.human, 1):
        if reference.fto_quantiles:
            a, b, c, d, e = (tables.human_percentile(reference, p) for p in _BOX)
            boxes.append(plots.Box(f"people [{cite}]", (a, b, c, d, e), "people"))
    expected = None if manifest.timing is None else tables.expected_offsets(manifest.timing, taker)
    title = f"Floor transfer offset when the {taker} takes over"
    return Markup(
        plots.histogram(
            offsets,
            _OFFSETS,
            title=title,
            y_label="% of floor changes",
            css=taker,
            expected=expected,
            boxes=boxes,
            mark_zero=True,
        )
    )


def _seconds(histogram: Histogram) -> plots.Axis:
    """From 0 to the longest, with about 50 bars."""
    top = float(histogram.arrays()[0][-1]) / SAMPLE_RATE if histogram.n else 1.0
    ticks = tuple(plots.nice_ticks(top, 5))
    step = max(histogram.width / SAMPLE_RATE, ticks[-1] / 50)
    return plots.Axis(0.0, ticks[-1] + step / 2, step, ticks, "s", SAMPLE_RATE, 330)


def _decibels(histogram: Histogram) -> plots.Axis:
    """Whole tens of decibels around all values, 30 dB at least, so that a narrow distribution looks narrow."""
    values = histogram.arrays()[0] / MILLI if histogram.n else [0.0]
    low, high = 10 * floor(values[0] / 10), 10 * ceil(values[-1] / 10)
    low -= 10 * ceil(max(0, 30 - (high - low)) / 20)
    high += 10 * ceil(max(0, 30 - (high - low)) / 10)
    step = 10 if high - low <= 60 else 20
    return plots.Axis(low, high, 1, tuple(range(low, high + 1, step)), "dBFS", MILLI)


def length_plots(statistics: Statistics) -> list[tuple[str, Markup]]:
    """Name and plot of how long conversations and both sides' turns are."""
    durations = Histogram(width=SAMPLE_RATE)
    for split in statistics.splits.values():
        durations = durations.merge(split.durations)
    out = [("Conversations", durations, "neutral", "% of conversations")]
    out += [(f"Turns of the {s}", statistics.turntaking.turns[s], s, "% of turns") for s in ("assistant", "user")]
    return [(name, Markup(plots.histogram(h, _seconds(h), title=name, y_label=y, css=css))) for name, h, css, y in out]


def sound_plots(statistics: Statistics) -> list[tuple[str, Markup]]:
    """Name and plot of noise ratios, speech levels and the noise floor."""
    names = {
        "assistant_speech_dbfs": ("Speech level, assistant", "assistant"),
        "user_speech_dbfs": ("Speech level, user", "user"),
        "floor_dbfs": ("Noise floor", "neutral"),
    }
    found: list[tuple[str, Markup]] = []
    if statistics.noise.snr:
        title = "Signal-to-noise ratio, asked and realised"
        found.append((title, Markup(plots.scatter(statistics.noise.snr, title=title))))
    for key, (name, css) in names.items():
        levels = statistics.levels[key]
        plot = plots.histogram(levels, _decibels(levels), title=name, y_label="% of conversations", css=css)
        found.append((name, Markup(plot)))
    return found


def _ceiling_texts(onset: OnsetCeiling | None, events: dict[Speaker, EventCeiling]) -> list[tuple[str, str, str]]:
    """Name, figure, and a sentence on what it means."""
    out: list[tuple[str, str, str]] = []
    if onset is not None:
        out.append(
            (
                "Start of speech",
                f"{percent(onset.recall)} ({percent(onset.low)} … {percent(onset.high)})",
                f"An oracle that hears the exact end of the user’s turn and always waits "
                f"{number(onset.wait_ms, 0, 'ms')} starts within one tick (160 ms) of the truth this often. The rest "
                f"is the data’s own jitter: no model can be expected to score higher on {number(onset.onsets, 0)} "
                f"onsets.",
            )
        )
    for speaker, c in events.items():
        out.append(
            (
                f"Backchannels of the {speaker}",
                f"F1 {percent(c.f1)} ({percent(c.low)} … {percent(c.high)})",
                f"An oracle that knows all of the about {number(c.places, 0)} places where one fits, and how likely it "
                f"is there, reaches a precision of {percent(c.precision)} and a recall of {percent(c.recall)}, because "
                f"which places get one is drawn at random. Based on {number(c.events, 0)} events.",
            )
        )
    return out
