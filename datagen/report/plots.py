"""The report's plots as SVG text: small, the same bytes for the same numbers, coloured by the page's style sheet.

They are written directly because they follow the reader's light or dark theme, and because importing a plotting
library would cost more than all the rest of the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt

from datagen.core.histogram import Histogram

WIDTH, HEIGHT = 560, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 16, 40
_ROW = 20


@dataclass(frozen=True)
class Axis:
    """A stretch of a quantity: ``unit`` counted units make one shown unit."""

    low: float
    high: float
    step: float
    """Width of a bar."""
    ticks: tuple[float, ...]
    label: str
    unit: float = 1.0
    width: int = WIDTH
    """Of the whole plot, in pixels."""


@dataclass(frozen=True)
class Box:
    """Percentiles drawn below a histogram: 10, 25, 50, 75 and 90, in shown units."""

    label: str
    marks: tuple[float, float, float, float, float]
    css: str


@dataclass
class _Canvas:
    width: int = WIDTH
    height: int = HEIGHT
    parts: list[str] = field(default_factory=list)

    def add(self, element: str) -> None:
        self.parts.append(element)

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        self.add(f'<line class="{css}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>')

    def text(self, x: float, y: float, text: str, css: str = "tick", anchor: str = "middle") -> None:
        self.add(f'<text class="{css}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(text)}</text>')

    def rect(self, x: float, y: float, width: float, height: float, css: str, title: str = "") -> None:
        tip = f"<title>{escape(title)}</title>" if title else ""
        size = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self.add(f'<rect class="{css}" {size}>{tip}</rect>' if tip else f'<rect class="{css}" {size}/>')

    def svg(self, title: str) -> str:
        head = f'<svg class="plot" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}">'
        return head + "".join(self.parts) + "</svg>"


def _n(x: float) -> str:
    """Coordinates with one decimal, no negative zero."""
    return f"{round(x, 1) + 0.0:g}"


def _x(axis: Axis, value: float) -> float:
    inner = axis.width - _LEFT - _RIGHT
    return _LEFT + inner * (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)


def nice_ticks(top: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to at least ``top``, at most ``most`` + 1 steps.

    >>> nice_ticks(17)
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    if top <= 0:
        return [0.0, 1.0]
    raw = top / most
    scale = 10.0 ** np.floor(np.log10(raw))
    step = next(float(m * scale) for m in (1, 2, 2.5, 5, 10) if m * scale >= raw * (1 - 1e-9))
    return [round(k * step, 10) for k in range(int(np.ceil(top / step - 1e-9)) + 1)]


def _binned(axis: Axis, values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Per cent per bar; bars are centred on multiples of the step, and what lies outside counts but is not drawn."""
    edges = np.arange(axis.low - axis.step / 2, axis.high + axis.step, axis.step)
    return np.histogram(values, bins=edges, weights=weights)[0] * 100 / weights.sum()


def _frame(canvas: _Canvas, axis: Axis, top: float, y_label: str) -> float:
    """Draws both axes; returns how many pixels one per cent is high."""
    floor, ticks = HEIGHT - _BOTTOM, nice_ticks(top)
    scale = (floor - _TOP) / ticks[-1]
    for tick in ticks:
        canvas.line(_LEFT, floor - tick * scale, axis.width - _RIGHT, floor - tick * scale, "grid")
        canvas.text(_LEFT - 6, floor - tick * scale + 4, f"{tick:g}", anchor="end")
    for tick in axis.ticks:
        canvas.line(_x(axis, tick), floor, _x(axis, tick), floor + 4, "axis")
        canvas.text(_x(axis, tick), floor + 16, f"{tick:g}".replace("-", "−"))
    canvas.line(_LEFT, floor, axis.width - _RIGHT, floor, "axis")
    canvas.text(axis.width - _RIGHT, floor + 32, axis.label, "label", "end")
    canvas.text(_LEFT, floor + 32, y_label, "label", "start")
    return scale


def histogram(
    counts: Histogram,
    axis: Axis,
    *,
    title: str,
    y_label: str,
    css: str = "neutral",
    expected: npt.NDArray[np.float64] | None = None,
    boxes: Sequence[Box] = (),
    mark_zero: bool = False,
) -> str:
    """Bars in per cent, with an outline of an expected distribution (samples of it, in shown units) and percentiles."""
    if not counts.n:
        return f'<p class="empty">{escape(title)}: nothing to count.</p>'
    values, weights = counts.arrays()
    shares = _binned(axis, values / axis.unit, weights.astype(np.float64))
    outline = None if expected is None else _binned(axis, expected, np.ones(len(expected)))
    canvas = _Canvas(axis.width, HEIGHT + _ROW * len(boxes) + (6 if boxes else 0))
    top = max(float(shares.max()), 0.0 if outline is None else float(outline.max()))
    scale = _frame(canvas, axis, top, y_label)
    floor, width = HEIGHT - _BOTTOM, _x(axis, axis.low + axis.step) - _LEFT
    if mark_zero:
        canvas.line(_x(axis, 0), _TOP - 8, _x(axis, 0), floor, "zero")
        canvas.text(_x(axis, 0) - 6, _TOP, "overlap", "hint", "end")
        canvas.text(_x(axis, 0) + 6, _TOP, "gap", "hint", "start")
    for k, share in enumerate(shares):
        centre = axis.low + k * axis.step
        if share > 0:
            left = max(_x(axis, centre) - width / 2, _LEFT)
            right = _x(axis, centre) + width / 2
            tip = f"{centre:g} {axis.label}: {share:.1f} %"
            canvas.rect(left + 0.5, floor - share * scale, right - left - 1, share * scale, f"bar {css}", tip)
    if outline is not None:
        canvas.add(_steps(axis, outline, scale, width))
    for row, box in enumerate(boxes):
        _draw_box(canvas, axis, box, HEIGHT + 6 + _ROW * row)
    return canvas.svg(title)


def _steps(axis: Axis, shares: npt.NDArray[np.float64], scale: float, width: float) -> str:
    """A stepped outline over the bars, from the first to the last bar it has."""
    filled = np.flatnonzero(shares)
    if not len(filled):
        return ""
    floor, points = HEIGHT - _BOTTOM, []
    for k in range(int(filled[0]), int(filled[-1]) + 1):
        centre, y = _x(axis, axis.low + k * axis.step), floor - float(shares[k]) * scale
        points += [(max(centre - width / 2, _LEFT), y), (min(centre + width / 2, axis.width - _RIGHT), y)]
    points = [(points[0][0], floor), *points, (points[-1][0], floor)]
    return '<path class="expected" d="M' + "L".join(f"{_n(x)} {_n(y)}" for x, y in points) + '"/>'


def _draw_box(canvas: _Canvas, axis: Axis, box: Box, y: float) -> None:
    p10, p25, p50, p75, p90 = (_x(axis, m) for m in box.marks)
    canvas.line(p10, y, p90, y, f"whisker {box.css}")
    canvas.rect(p25, y - 5, max(p75 - p25, 1), 10, f"box {box.css}")
    canvas.line(p50, y - 7, p50, y + 7, f"median {box.css}")
    # The label goes where there is room: right of the whisker, or left of it.
    if axis.width - _RIGHT - p90 > 6.2 * len(box.label) + 10:
        canvas.text(p90 + 8, y + 4, box.label, "tick", "start")
    else:
        canvas.text(p10 - 8, y + 4, box.label, "tick", "end")


def scatter(asked: dict[int, Histogram], *, title: str) -> str:
    """Realised over asked signal-to-noise ratio; a dot's area is the number of blocks (half-decibel bins)."""
    points = [(x / 2, y / 1000, n) for x, h in sorted(asked.items()) for y, n in zip(*h.arrays(), strict=True)]
    if not points:
        return f'<p class="empty">{escape(title)}: no noise blocks.</p>'
    low = 5 * np.floor(min(min(x, y) for x, y, _ in points) / 5)
    high = max(5 * np.ceil(max(max(x, y) for x, y, _ in points) / 5), low + 5)
    step = 5 if high - low <= 30 else 10
    ticks = tuple(np.arange(low, high + 0.1, step).tolist())
    low, high = low - 1.0, high + 1.0
    axis = Axis(low, high, 0.5, ticks, "asked (dB)")
    canvas, floor = _Canvas(), HEIGHT - _BOTTOM

    def y_of(value: float) -> float:
        return floor - (floor - _TOP) * (value - low) / (high - low)

    for tick in axis.ticks:
        canvas.line(_LEFT, y_of(tick), axis.width - _RIGHT, y_of(tick), "grid")
        canvas.text(_LEFT - 6, y_of(tick) + 4, f"{tick:g}".replace("-", "−"), anchor="end")
        canvas.text(_x(axis, tick), floor + 16, f"{tick:g}".replace("-", "−"))
    canvas.line(_x(axis, low), y_of(low), _x(axis, high), y_of(high), "expected")
    canvas.line(_LEFT, floor, axis.width - _RIGHT, floor, "axis")
    most = max(max(n for _, _, n in points), 2)
    for x, y, n in points:
        radius = 3 + 5 * float(np.sqrt((n - 1) / (most - 1)))
        tip = f"<title>asked {x:g} dB, realised {y:g} dB: {n}</title>"
        canvas.add(f'<circle class="dot" cx="{_n(_x(axis, x))}" cy="{_n(y_of(y))}" r="{_n(radius)}">{tip}</circle>')
    canvas.text(axis.width - _RIGHT, floor + 32, axis.label, "label", "end")
    canvas.text(_LEFT, floor + 32, "realised (dB), upwards", "label", "start")
    return canvas.svg(title)
