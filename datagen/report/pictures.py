"""The report's plots as SVG files that stand alone: for a page that shows pictures but runs no style sheet of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from datagen.core.histogram import Histogram
from datagen.core.units import SAMPLES_PER_MS
from datagen.report import Manifest, Statistics, length_plots, offset_plot, plots, sound_plots

FOLDER = "plots"
_PAUSES = plots.Axis(0, 2000, 50, (0, 500, 1000, 1500, 2000), "ms", SAMPLES_PER_MS)
_RULE = r"\.(plot [.a-z]|(bar|expected|whisker|median|box|dot)\b)"
"""Rules of the report's style sheet for what is inside its plots; what sizes a plot on the page is left out."""


@dataclass(frozen=True)
class Picture:
    """A plot and where it goes."""

    path: str
    caption: str
    svg: str


def pictures(statistics: Statistics, manifest: Manifest) -> list[Picture]:
    """Timing of turns, lengths of turns and pauses, and noise, as far as the data has them."""
    made: list[tuple[str, str, str]] = []
    if statistics.conversations:
        for speaker in ("assistant", "user"):
            plot = offset_plot(statistics, manifest, speaker)
            made.append((f"offsets_{speaker}", f"The {speaker} takes the floor", str(plot)))
        made += [(_name(title), title, str(plot)) for title, plot in length_plots(statistics)[1:]]
        made.append(("pauses", "Pauses inside a speaker's floor", _pauses(statistics.turntaking.pauses)))
        if statistics.noise.snr:
            title, plot = sound_plots(statistics)[0]
            made.append(("noise", title, str(plot)))
    return [Picture(f"{FOLDER}/{name}.svg", title, alone(plot)) for name, title, plot in made if "<svg" in plot]


def alone(svg: str) -> str:
    """One of the report's plots with its size, its colours (the light ones) and a ground of its own.

    The ground keeps it readable on a dark page: a picture cannot know what theme the page around it has.
    """
    width, height = (float(n) for n in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    head, _, body = svg.partition(">")
    size = f' xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}">'
    ground = f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>'
    return f"{head}{size}<style>{_style()}</style>{ground}{body}\n"


def _style() -> str:
    """What of the report's style sheet its plots need: the light theme's colours, and the rules of their classes."""
    sheet = (resources.files("datagen") / "templates" / "report.css").read_text(encoding="utf-8")
    colours = sheet[sheet.index(":root") : sheet.index("}") + 1]
    rules = [
        rule.strip() for rule in re.findall(r"^\.[^{}@]+\{[^{}]*\}|(?<=\} )\.[^{}@]+\{[^{}]*\}", sheet, re.MULTILINE)
    ]
    wanted = [rule for rule in rules if re.match(_RULE, rule)]
    font = ".plot { font: 12px system-ui, 'Segoe UI', Roboto, 'Noto Sans', sans-serif; }"
    return " ".join([*colours.split(), *wanted, font])


def _pauses(lengths: Histogram) -> str:
    title = "Pauses inside a speaker's floor"
    return plots.histogram(lengths, _PAUSES, title=title, y_label="% of pauses")


def _name(title: str) -> str:
    return "_".join(title.lower().split())
