"""Conversations drawn with matplotlib: two lanes on one clock, with what happened between them.

Only ``Figure`` objects are made, never pyplot's global state, so drawing is safe in any process and thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from datagen.codec import decode_flac
from datagen.core.audio import Signal, from_pcm16, peak
from datagen.core.turntaking import from_row, transfers
from datagen.core.types import SPEAKERS, Speaker
from datagen.core.units import SAMPLE_RATE, to_ms, to_seconds
from datagen.show import SILENT_EVENTS, unsaid_words

# Okabe and Ito's colours: told apart with any colour vision and in grey.
COLOURS = {"user": "#0072B2", "assistant": "#D55E00", "backchannel": "#009E73"}
EVENT_COLOURS = {"backchannel": "#009E73", "barge_in": "#C0392B", "pause": "#7A5195", "invitation": "#8A8A8A"}
_INK, _FAINT = "#222222", "#8A8A8A"

WIDTH_INCHES = 15.0
STRIP_SECONDS = 16.0
"""Longest stretch drawn on one line: at 170 words per minute each word still has its place."""
MAX_STRIPS = 15
"""Longer conversations get longer strips, with words only where they fit."""
_LEFT, _RIGHT = 0.06, 0.99
_WORD_POINTS = 8.0
_LEVELS = 3
"""Words that would touch go one line up; after so many lines a word is left out."""
_SHIFT = 0.15
"""Seconds a word may stand to the right of its onset to stay on a line."""
_EVENT_LINES = 4
_BOTTOM, _LINE = -1.75, 0.6
"""A lane reaches from its noise label over the waveform (-1..1) to the lines of words above."""
_FFT, _HOP, _BANDS = 512, 160, 64
_RANGE_DB = 70.0


def draw_timeline(row: Mapping[str, Any], start: float | None = None, end: float | None = None) -> Figure:
    """One labelled line without spectrograms: the figure for a page that explains what the data is.

    ``start`` and ``end`` in seconds choose a stretch (default: the first 16 s). ValueError for an empty one.
    """
    first = 0.0 if start is None else start
    last = min(row["duration"], first + STRIP_SECONDS) if end is None else end
    if not 0 <= first < last <= row["duration"]:
        raise ValueError(f"stretch {first}..{last} s is not inside the {row['duration']} s of {row['id']}")
    figure = Figure(figsize=(WIDTH_INCHES, 4.4))
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=0.99, bottom=0.11, hspace=0.03)
    heights = {"user": 3.2, "events": 1.9, "assistant": 3.2}
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights.values()))
    _strip(row, dict(zip(heights, axes, strict=True)), first, last)
    axes[-1].set_xlabel("seconds")
    return figure


def draw_conversation(row: Mapping[str, Any]) -> Figure:
    """The whole conversation, line by line, each lane with its spectrogram."""
    count = min(max(1, round(row["duration"] / STRIP_SECONDS)), MAX_STRIPS)
    length = row["duration"] / count
    heights = {"user": 3.2, "user spectrum": 1.6, "events": 1.9, "assistant": 3.2, "assistant spectrum": 1.6, "": 1.0}
    inches = 0.55 * sum(heights.values()) * count + 0.5
    figure = Figure(figsize=(WIDTH_INCHES, inches))
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=1 - 0.5 / inches, bottom=0, hspace=0.03)
    figure.suptitle(_title(row), fontsize=11, color=_INK, y=1 - 0.2 / inches)
    axes = figure.subplots(len(heights) * count, 1, height_ratios=list(heights.values()) * count)
    spectra = {speaker: spectrogram(_signal(row, speaker)) for speaker in SPEAKERS}
    for index in range(count):
        strip = dict(zip(heights, axes[index * len(heights) :], strict=False))
        strip.pop("").set_axis_off()
        _strip(row, strip, index * length, (index + 1) * length)
        for speaker in SPEAKERS:
            _spectrum(strip[f"{speaker} spectrum"], spectra[speaker])
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure (PNG, SVG, PDF by the ending); the same figure gives the same bytes."""
    undated = {"Date": None} if Path(path).suffix == ".svg" else None
    with mpl.rc_context({"svg.hashsalt": "datagen"}):
        figure.savefig(path, dpi=110, metadata=undated)


def spectrogram(x: Signal) -> tuple[np.ndarray, str]:
    """Level in dB below the loudest (bands x frames, 10 ms apart, floor -70 dB), and the name of the frequency axis.

    64 mel bands where librosa is installed, else the linear bands of a plain Fourier transform.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, _FFT // 2), _FFT)[::_HOP]
    energy = np.abs(np.fft.rfft(frames * np.hanning(_FFT).astype(np.float32), axis=1).T) ** 2
    name = "0-8 kHz"
    try:
        from librosa.filters import mel
    except ImportError:
        pass
    else:
        energy, name = mel(sr=SAMPLE_RATE, n_fft=_FFT, n_mels=_BANDS) @ energy, "mel"
    level = 10 * np.log10(np.maximum(energy, 1e-12))
    return np.maximum(level - level.max(), -_RANGE_DB).astype(np.float32), name


def _title(row: Mapping[str, Any]) -> str:
    voices = ", ".join(f"{speaker} {row['voices'][speaker]['id']}" for speaker in SPEAKERS)
    return f"{row['id']}   {row['language']}, {row['domain']}, profile {row['profile']}   voices: {voices}"


def _signal(row: Mapping[str, Any], speaker: Speaker) -> Signal:
    return from_pcm16(decode_flac(row[f"{speaker}_audio"]["bytes"]))


def _strip(row: Mapping[str, Any], axes: Mapping[str, Axes], start: float, end: float) -> None:
    for ax in axes.values():
        ax.set_xlim(start, end)
        ax.set_yticks([])
        ax.tick_params(bottom=False, labelbottom=False)
        ax.spines[:].set_visible(False)
    for speaker in SPEAKERS:
        _lane(axes[speaker], row, speaker, start, end)
    _events(axes["events"], row, start, end)
    for event in row["events"]:
        for ax in axes.values():
            for at in (event["start"], event["end"]):
                if start <= at <= end:
                    ax.axvline(at, color=EVENT_COLOURS.get(event["type"], _FAINT), lw=0.6, ls=":", alpha=0.7, zorder=0)
    list(axes.values())[-1].tick_params(bottom=True, labelbottom=True, color=_FAINT, labelcolor=_INK)


# A lane: words above, the waveform in boxes below


def _lane(ax: Axes, row: Mapping[str, Any], speaker: Speaker, start: float, end: float) -> None:
    ax.set_ylim(_BOTTOM, 1.15 + _LINE * _LEVELS)
    ax.text(
        -0.008,
        0.0,
        speaker,
        transform=ax.get_yaxis_transform(),
        ha="right",
        va="center",
        weight="bold",
        color=COLOURS[speaker],
    )
    if speaker == "user":
        _noise(ax, row, start, end)
    segments = [s for s in row["segments"] if s["speaker"] == speaker]
    taken: list[float] = [start] * _LEVELS
    for index, segment in enumerate(segments):
        following = segments[index + 1]["start"] if index + 1 < len(segments) else row["duration"]
        if segment["end"] < start or segment["start"] > end:
            continue
        colour = COLOURS["backchannel" if segment["kind"] == "backchannel" else speaker]
        _box(ax, segment["start"], segment["end"], color=colour, alpha=0.15, lw=0)
        for word in segment["words"]:
            _word(ax, word["word"], word["start"], taken, colour)
        if unsaid := unsaid_words(segment):
            _ghost(ax, segment, unsaid, following)
    _wave(ax, _signal(row, speaker), COLOURS[speaker], start, end)


def _box(ax: Axes, start: float, end: float, **style: Any) -> None:
    """A rectangle behind the waveform."""
    ax.add_patch(Rectangle((start, -1.05), end - start, 2.1, **style))


def _wave(ax: Axes, x: Signal, colour: str, start: float, end: float) -> None:
    """The envelope of the lane, scaled to its own peak."""
    loudest = peak(x) or 1.0
    first, last = int(start * SAMPLE_RATE), min(int(end * SAMPLE_RATE), x.size)
    edges = np.linspace(first, last, 1400, dtype=int)[:-1]
    if last - first < edges.size:
        return
    low, high = (ufunc.reduceat(x[:last], edges) / loudest for ufunc in (np.minimum, np.maximum))
    ax.fill_between(edges / SAMPLE_RATE, low, high, color=colour, lw=0.3)


def _seconds_wide(ax: Axes, text: str, points: float) -> float:
    """How long a stretch of the time axis a text covers."""
    low, high = ax.get_xlim()
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    inches = figure.get_size_inches()[0] * (_RIGHT - _LEFT)
    return TextPath((0, 0), text, size=points).get_extents().width / 72 / inches * (high - low)


def _word(ax: Axes, text: str, at: float, taken: list[float], colour: str) -> None:
    low, high = ax.get_xlim()
    width = _seconds_wide(ax, text, _WORD_POINTS)
    if not low <= at or at + width > high:
        return
    level = next((n for n, free in enumerate(taken) if free <= at + _SHIFT), None)
    if level is None:
        return
    left, height = max(at, taken[level]), 1.15 + _LINE * level
    ax.plot([at, at, left], [1.05, 1.15, height + 0.1], color=colour, lw=0.5, alpha=0.6)
    ax.text(left + 0.02, height, text, fontsize=_WORD_POINTS, color=_INK, va="bottom", ha="left")
    taken[level] = left + width + 0.08


def _ghost(ax: Axes, segment: Mapping[str, Any], unsaid: Sequence[str], following: float) -> None:
    """What would have been said: a dashed box after the cut, as long as the words would have taken, and the words."""
    begin = segment["end"]
    said = max(len(segment["words"]), 1)
    length = min(len(unsaid) * (begin - segment["start"]) / said, following - begin - 0.1, ax.get_xlim()[1] - begin)
    if length < _seconds_wide(ax, "(not said)  ", _WORD_POINTS):
        return
    _box(ax, begin, begin + length, fill=False, ec=_FAINT, ls=(0, (4, 3)), lw=0.9)
    shown = list(unsaid)
    while shown and _seconds_wide(ax, " ".join(shown) + " ...", _WORD_POINTS) > length - 0.1:
        shown.pop()
    text = " ".join(shown) + (" ..." if len(shown) < len(unsaid) else "")
    style = {"fontsize": _WORD_POINTS, "color": _FAINT, "style": "italic", "va": "center"}
    ax.text(begin + 0.06, 0.3, text, **style)
    ax.text(begin + 0.06, -0.4, "(not said)", **style)


def _noise(ax: Axes, row: Mapping[str, Any], start: float, end: float) -> None:
    for block in row["noise"]:
        if block["end"] < start or block["start"] > end:
            continue
        _box(ax, block["start"], block["end"], fc="#EFEFEF", ec="#D4D4D4", hatch="////", lw=0, zorder=-1)
        label = f"noise: {block['scene'] or block['clip']}, {block['snr_db']:.0f} dB SNR"
        at = max(block["start"], start) + 0.05
        if at + _seconds_wide(ax, label, 7.5) < end:
            ax.text(at, -1.15, label, fontsize=7.5, color="#555555", va="top")


# Between the lanes


def _events(ax: Axes, row: Mapping[str, Any], start: float, end: float) -> None:
    """Brackets with labels: what happened, and the floor transfer offsets."""
    ax.set_ylim(0, _EVENT_LINES)
    marks = [(e["start"], e["end"], _label(e), EVENT_COLOURS.get(e["type"], _INK)) for e in row["events"]]
    for change in transfers(from_row(row).spans):
        if not change.cut:
            low, high = sorted((to_seconds(change.before.end), to_seconds(change.after.start)))
            name = "overlap" if change.offset < 0 else "gap"
            marks.append((low, high, f"{name} {to_ms(change.offset):+.0f} ms", _INK))
    taken = [start] * _EVENT_LINES
    for begin, stop, text, colour in sorted(marks):
        if begin < start or begin > end:
            continue
        width = _seconds_wide(ax, text, _WORD_POINTS)
        left = min(begin, end - width)
        level = next((n for n, free in enumerate(taken) if free <= left), int(np.argmin(taken)))
        height = _EVENT_LINES - 0.4 - level
        ax.plot([begin, max(stop, begin + 0.03)], [height, height], color=colour, lw=3, solid_capstyle="butt")
        ax.text(left, height - 0.18, text, fontsize=_WORD_POINTS, color=colour, va="top", ha="left")
        taken[level] = max(left + width, stop) + 0.15


def _label(event: Mapping[str, Any]) -> str:
    length = f"{(event['end'] - event['start']) * 1000:.0f} ms"
    if event["type"] in SILENT_EVENTS:
        return f"{event['type']} {length}, {event['outcome']}"
    if event["type"] == "barge_in":
        return f"barge-in by the {event['actor']}: both heard {length}, {event['outcome']}"
    return f"{event['type'].replace('_', '-')} by the {event['actor']}"


def _spectrum(ax: Axes, levels: tuple[np.ndarray, str]) -> None:
    values, name = levels
    low, high = ax.get_xlim()
    first, last = int(low * SAMPLE_RATE / _HOP), int(high * SAMPLE_RATE / _HOP)
    excerpt = values[:, first : last + 1]
    stop = low + excerpt.shape[1] * _HOP / SAMPLE_RATE
    if excerpt.size:
        extent = (low, stop, 0, 1)
        ax.imshow(excerpt, aspect="auto", origin="lower", extent=extent, cmap="gray_r", vmin=-_RANGE_DB, vmax=0)
    ax.set_xlim(low, high)
    ax.text(-0.008, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=7.5, color=_FAINT)
