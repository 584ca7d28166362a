"""The command line. Mistakes of the user end in one line and exit code 2, an interrupted run in 130."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from datagen.cli_export import commands
from datagen.cli_publish import publish
from datagen.faults import told
from datagen.recipe import Recipe, first_error, load

app = typer.Typer(
    name="datagen",
    help="Turns text dialogues into two-channel full-duplex conversations, and packs them as a dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(commands)
app.command()(publish)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of one in recipes/.")]
Set = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Change one key of the recipe; repeatable.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N conversations.")]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Folder or fsspec URL; default data/<recipe name>.")]
Data = Annotated[str, typer.Option(metavar="DIR", help="The dataset folder.")]
Where = Annotated[str, typer.Argument(metavar="DIR", help="The dataset folder.")]


Workers = Annotated[int | None, typer.Option(min=1, metavar="N", help="Local worker processes.")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="tcp://..|FILE", help="A running Dask scheduler instead of local workers.")
]
Update = Annotated[
    bool, typer.Option("--update", help="Take over a folder begun with another plan, reusing what fits.")
]
ReportFile = Annotated[str | None, typer.Option(metavar="FILE", help="Default DIR/report.html.")]


@app.command()
def build(
    recipe: RecipeName,
    out: Out = None,
    set_: Set = [],  # noqa: B006  (typer reads it, nobody writes it)
    workers: Workers = None,
    gpus: Annotated[int, typer.Option(min=0, metavar="N", help="GPUs of this machine: a process for each.")] = 0,
    scheduler: Scheduler = None,
    limit: Limit = None,
    update: Update = False,
) -> None:
    """Build the dataset. Interrupted or killed, the same command goes on where it stopped."""
    from datagen import terminal

    chosen = _recipe(recipe, set_, limit)
    terminal.build(chosen, _folder(out, recipe, set_, limit), workers, gpus, scheduler, update)


@app.command()
def plan(recipe: RecipeName, set_: Set = [], limit: Limit = None) -> None:  # noqa: B006
    """Timelines and their statistics at the language's speaking rate: no audio, no files, a few seconds."""
    from datagen import terminal

    terminal.plan(_recipe(recipe, set_, limit))


@app.command()
def check(recipe: RecipeName, set_: Set = []) -> None:  # noqa: B006
    """What the recipe needs, whether it is here, and how to get what is not."""
    from datagen import preflight, terminal

    if not terminal.checks(preflight.checks(_recipe(recipe, set_, None))):
        raise typer.Exit(2)


@app.command()
def estimate(recipe: RecipeName, set_: Set = [], limit: Limit = None) -> None:  # noqa: B006
    """What a run would take: tokens and money, GPU hours by route, hours of audio, disk. Nothing is paid or made."""
    from datagen import providing

    providing.estimate(_recipe(recipe, set_, limit))


@app.command()
def voices(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A kind of datagen/voices: voxceleb or folder.")],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The collection.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="The voice manifest; its recordings go beside it.")],
    asr_model: Annotated[
        str | None, typer.Option(metavar="DIR", help="A faster-whisper model, for recordings without a transcript.")
    ] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="A=B", help="A key of the kind's config, such as licence=CC-BY-4.0.")
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(help="Decides who is in which split.")] = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Make a voice manifest of a collection of recordings: prompts to clone from, splits without a common speaker."""
    from datagen import providing

    providing.voices(kind, folder, out, asr_model, set_, seed, workers, scheduler)


@app.command()
def requests(
    recipe: RecipeName,
    out: Out = None,
    set_: Set = [],  # noqa: B006
    workers: Workers = None,
    scheduler: Scheduler = None,
    limit: Limit = None,
    update: Update = False,
) -> None:
    """For the speech engine `batch`: write down the clips that are still to be made elsewhere."""
    from datagen import providing

    folder = _folder(out, recipe, set_, limit)
    providing.requests(_recipe(recipe, set_, limit), folder, workers, scheduler, update)


@app.command()
def explain(recipe: RecipeName, out: Out = None, set_: Set = [], limit: Limit = None) -> None:  # noqa: B006
    """The resolved recipe, its stages and identities, and what a build would run."""
    from datagen import terminal

    terminal.explain(_recipe(recipe, set_, limit), _folder(out, recipe, set_, limit))


@app.command()
def status(data: Where) -> None:
    """How far a build has come."""
    from datagen import terminal

    terminal.status(data)


@app.command()
def report(data: Where, out: ReportFile = None) -> None:
    """Write report.html of a dataset again."""
    from datagen.report import build_report

    target = out or f"{data.rstrip('/')}/report.html"
    build_report(data, target)
    typer.echo(f"wrote {target}")


@app.command()
def show(
    conversation: Annotated[str, typer.Argument(metavar="ID", help="A conversation's id.")],
    data: Data = "data/assistant",
    to: Annotated[str, typer.Option(metavar="DIR", help="Where the picture and the wav go.")] = ".",
) -> None:
    """One conversation: its timeline as text, as a picture, and as a stereo wav."""
    from datagen import terminal

    terminal.show(conversation, data, Path(to))


def _recipe(name: str, overrides: list[str], limit: int | None) -> Recipe:
    """The recipe of a path or a bare name."""
    path = Path(name)
    if not path.suffix and not path.is_file():
        path = Path("recipes") / f"{name}.yaml"
    recipe = load(str(path), overrides)
    return recipe if limit is None else recipe.model_copy(update={"conversations": min(limit, recipe.conversations)})


def _folder(out: str | None, name: str, overrides: list[str], limit: int | None) -> str:
    return out or f"data/{_recipe(name, overrides, limit).name}"


def fail(message: str, code: int = 2) -> NoReturn:
    """One line on standard error, and out."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.stderr.flush()
    sys.exit(code)


def main() -> None:
    """Entry point of ``datagen`` and ``python -m datagen``."""
    from datagen.build import BuildError, Interrupted, Taken

    try:
        app(prog_name="datagen")
    except (Interrupted, KeyboardInterrupt) as error:
        fail(str(error) or "stopped", 130)
    except BuildError as error:
        fail(str(error), 2 if isinstance(error, Taken) else 1)
    except (ValueError, ImportError) as error:
        if os.environ.get("DATAGEN_DEBUG"):
            raise
        fail(first_error(error) if isinstance(error, ValidationError) else str(error))
    except OSError as error:
        fail(told(error), 1)
