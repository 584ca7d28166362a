"""An estimate as tables of text: 100 columns wide at most, for any printer."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from datagen.estimate.effort import Asking, Computing, Estimate

Table = tuple[str, list[str], list[list[str]]]
"""Title, header and rows; every row is as long as the header."""

WIDTH = 96
"""Characters of a line of text: a table's frame fits beside it."""
FARMS = (1, 4, 8)
"""Numbers of devices a table divides the hours by."""


def tables(estimate: Estimate) -> list[Table]:
    """The estimate's tables, most asked for first; those that would be empty are left out."""
    found = [
        _work(estimate),
        _money(estimate),
        _routes("Synthesis", estimate.synthesis),
        _routes("Synthesis by other routes, to compare", estimate.others),
        _routes("Recognition of every utterance", estimate.hearing),
        _disk(estimate),
        ("Notes", [""], [[line] for text in _notes(estimate) for line in _lines(text)]),
    ]
    return [table for table in found if table[2]]


def duration(hours: float) -> str:
    """Hours as a person would say them.

    >>> duration(0.004), duration(0.5), duration(30), duration(72), duration(900), duration(90_000)
    ('14 s', '30 min', '30.0 h', '3.0 d', '38 d', '10 y')
    """
    sizes = (
        (1 / 60, 3600, "s", 0),
        (1, 60, "min", 0),
        (48, 1, "h", 1),
        (240, 1 / 24, "d", 1),
        (17_520, 1 / 24, "d", 0),
    )
    for below, factor, unit, digits in sizes:
        if hours < below:
            return f"{hours * factor:.{digits}f} {unit}"
    return f"{hours / 8_760:,.0f} y"


def _work(estimate: Estimate) -> Table:
    work = estimate.work
    rows = [
        ["conversations", f"{work.conversations:,}"],
        ["turns in each", f"{work.turns:.1f}"],
        ["words in each turn", f"{work.words_per_turn:.1f}"],
        ["hours of dialogue", f"{work.hours:,.1f}"],
    ]
    if work.outlines:
        rows.insert(1, ["written from an outline", f"{work.outlines:.0%}"])
    return f"Work, {work.basis.partition(' (')[0]}", ["", ""], rows


def _money(estimate: Estimate) -> Table:
    header = ["stage", "model", "answers", "Mtok in", "out", "USD", "at most"]
    rows = [_asking(asking) for asking in estimate.asking]
    if estimate.usd_most:
        rows.append(["total", "", "", "", "", _dollars(estimate.usd), _dollars(estimate.usd_most)])
    if rows and estimate.budget_usd is not None:
        rows.append(["budget", "", "", "", "", "", _dollars(estimate.budget_usd)])
    dated = f", list prices of {estimate.prices_date}" if estimate.prices_date is not None else ""
    return f"Language models{dated}", header, rows


def _asking(asking: Asking) -> list[str]:
    model = f"{_cut(asking.model, 22)} (batch)" if asking.batch else _cut(asking.model, 30)
    tokens = [_figure(count / 1e6) for count in (asking.usage.prompt_tokens, asking.usage.output_tokens)]
    money = [_dollars(asking.usd), _dollars(asking.usd_most)]
    return [asking.stage, model, f"{asking.answers:,.0f}", *tokens, *money]


def _routes(title: str, routes: tuple[Computing, ...]) -> Table:
    header = ["route", "on", "RTF", "takes", *(f"on {number}" for number in FARMS)]
    return title, header, [_route(computing) for computing in routes]


def _route(computing: Computing) -> list[str]:
    route = computing.route
    least, most = _figure(computing.hours), _figure(computing.hours_most)
    unit = "GPU h" if route.device == "GPU" else "core h"
    takes = f"{least} {unit}" if least == most else f"{least} to {most} {unit}"
    shared = [duration(computing.hours_most / number) for number in FARMS]
    return [route.name, route.hardware, f"{route.rtf:g}", takes, *shared]


def _disk(estimate: Estimate) -> Table:
    rows = [
        ["work folder and dataset", _bytes(estimate.disk_bytes)],
        ["dataset alone", _bytes(estimate.dataset_bytes)],
    ]
    return "Disk", ["", ""], rows


def _notes(estimate: Estimate) -> Iterator[str]:
    """What a reader must know: why something has no price, what the figures rest on."""
    yield from dict.fromkeys(asking.note for asking in estimate.asking if asking.note)
    if estimate.budget_usd is not None and estimate.usd > estimate.budget_usd:
        share = estimate.budget_usd / estimate.usd
        yield f"the budget of {_dollars(estimate.budget_usd)} USD would stop the run after about {share:.0%} of it"
    yield f"work: {estimate.work.basis}"
    yield from estimate.assumptions


def _lines(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 2]}.."


def _figure(value: float) -> str:
    """Three digits where they matter, in six characters.

    >>> _figure(0.00834), _figure(82.34), _figure(2_133), _figure(12_096), _figure(3_456_789)
    ('0.008', '82.3', '2,133', '12.1k', '3.46M')
    """
    for above, factor, unit in ((999_500, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= above:
            return f"{value / factor:.3g}{unit}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def _dollars(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"


def _bytes(value: float) -> str:
    return f"{value / 1e12:,.2f} TB" if value >= 1e12 else f"{value / 1e9:,.1f} GB"
