"""The commands that hand a dataset to other tools and take theirs in; ``datagen.cli`` adds them to its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

commands = typer.Typer()

Model = TypeVar("Model")
Format = Annotated[str, typer.Option("--format", metavar="F", help="A kind of datagen/exporters: relays2s, nemo, ..")]
Source = Annotated[str, typer.Option("--format", metavar="F", help="relays2s, moshi or stereo.")]
Out = Annotated[str, typer.Option(metavar="DIR", help="An empty folder, or one that the same command has begun.")]
Set = Annotated[list[str], typer.Option("--set", metavar="A=B", help="A key of the format's settings; repeatable.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N conversations.")]
Workers = Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes; default one per core.")]
Replace = Annotated[bool, typer.Option("--replace", help="Remove what an earlier run has written there.")]


@commands.command(name="export")
def export_(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A folder or URL that `datagen build` wrote.")],
    format_: Format,
    out: Out,
    split: Annotated[str | None, typer.Option(metavar="S", help="train, validation or test; default all.")] = None,
    limit: Limit = None,
    set_: Set = [],  # noqa: B006  (typer reads it, nobody writes it)
    workers: Workers = None,
    replace: Replace = False,
) -> None:
    """Write a dataset in another trainer's or tool's format. Interrupted, the same command goes on."""
    from datagen import exporting
    from datagen.exporters._base import ExportConfig

    job = exporting.Export(dataset, _config("exporters", format_, set_, {}, ExportConfig), out, _split(split), limit)
    exported(out, _made(job, exporting.run, workers, replace))


@commands.command(name="import")
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The folder of the set.")],
    format_: Source,
    out: Out,
    limit: Limit = None,
    set_: Set = [],  # noqa: B006
    workers: Workers = None,
    replace: Replace = False,
) -> None:
    """Take in a set of another format, such as recordings with transcripts, as a dataset like those built here."""
    from datagen import importing
    from datagen.importers._base import ImportConfig

    config = _config("importers", format_, set_, {"path": source}, ImportConfig)
    job = importing.Import(config, out, limit)
    imported(out, _made(job, importing.run, workers, replace))


def exported(out: str, manifest: Mapping[str, Any]) -> None:
    """What there is now, what was left behind, and how to go on."""
    from datagen.terminal import say

    counts = manifest["counts"]
    files = f"{manifest['files']:,} files, {manifest['bytes'] / 1e6:,.0f} MB"
    say(f"{counts['out']:,} conversations, {manifest['hours']:.2f} hours as {manifest['format']} in {out}: {files}")
    say(", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in manifest["figures"].items()))
    _refused(counts, manifest["reasons"])
    for note in manifest["notes"]:
        say(f"  {note.replace('DIR', out)}")
    _lost(manifest["lost"], "the format cannot hold")


def imported(out: str, manifest: Mapping[str, Any]) -> None:
    """What there is now and what the source did not say."""
    from datagen.terminal import say

    for name, figures in manifest["splits"].items():
        say(f"{name}: {figures['conversations']:,} conversations, {figures['hours']:.2f} hours")
    _refused(manifest["counts"]["import"], list(manifest["rejected_reasons"].get("import", {})))
    for note in manifest["notes"]:
        say(f"  {note}")
    _lost(manifest["lost"], "the source does not say")
    say(f"look and listen: {out}/report.html")


def _refused(counts: Mapping[str, int], reasons: list[str]) -> None:
    from datagen.terminal import say

    if counts["rejected"]:
        say(f"{counts['in']:,} in = {counts['out']:,} out + {counts['rejected']:,} rejected; see rejected.jsonl")
        for reason in reasons[:5]:
            say(f"  {reason}")


def _lost(lost: list[str], what: str) -> None:
    from datagen.terminal import say

    if lost:
        say(f"{what}:")
        for column in lost:
            say(f"  {column}")


def _config(family: str, kind: str, overrides: list[str], given: dict[str, Any], base: type[Model]) -> Model:
    """The settings of a format; ValueError in one line."""
    from pydantic import ValidationError

    from datagen import kinds
    from datagen.layers import absolute, override
    from datagen.recipe import first_error

    raw: dict[str, Any] = {"kind": kind, **given}
    for text in overrides:
        override(raw, text)
    if kind not in kinds.names(family):
        raise ValueError(f"--format {kind}: there is no such format; there are: {', '.join(kinds.names(family))}")
    try:
        config = kinds.parse(family, absolute(raw, Path.cwd()))
    except ValidationError as error:
        raise ValueError(f"{kind}: {first_error(error, kinds.module(family, kind).Config)}") from None
    assert isinstance(config, base)
    return config


def _split(name: str | None) -> Any:
    from datagen.core.types import SPLITS

    if name is not None and name not in SPLITS:
        raise ValueError(f"--split {name}: there is no such split; there are: {', '.join(SPLITS)}")
    return name


def _made(job: Any, run: Callable[..., dict[str, Any]], workers: int | None, replace: bool) -> dict[str, Any]:
    """The manifest of an export or import; nothing is done where the folder is complete."""
    from datagen import terminal
    from datagen.tasks import Stop

    if not replace and (made := job.staging.complete()) is not None:
        terminal.say(f"{job.staging.out.url} is complete already; nothing to do.")
        return made
    stop = Stop(lambda: terminal.say("finishing what is running; Ctrl-C again stops at once"))
    with stop.listening(), terminal.Bars() as bars:
        return run(job, lambda: _executor(workers), bars, stop, replace)


def _executor(workers: int | None) -> AbstractContextManager[Any]:
    """Worker processes; with one worker this process itself, which needs no start."""
    from datagen import terminal
    from datagen.tasks import Inline

    number = workers or os.cpu_count() or 1
    return nullcontext(Inline()) if number == 1 else terminal.cluster(number, 0, None, {})
