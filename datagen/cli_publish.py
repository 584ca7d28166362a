"""The command ``publish``: a finished dataset goes to the Hugging Face Hub."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datagen.publishing import Preview

Where = Annotated[str, typer.Argument(metavar="DIR", help="The folder of a finished dataset.")]
Repo = Annotated[str, typer.Argument(metavar="ORG/NAME", help="The dataset repository; made where there is none.")]
Private = Annotated[bool, typer.Option("--private", help="A private repository, for what must not be public.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be uploaded, and how much; change nothing.")]
Tag = Annotated[str, typer.Option(metavar="NAME", help="A tag for this release, such as v1.")]
Revision = Annotated[str, typer.Option(metavar="BRANCH", help="The branch.")]
Message = Annotated[str, typer.Option(metavar="TEXT", help="Of the commit; default: the dataset's name and size.")]
Replace = Annotated[bool, typer.Option("--replace", help="Take over a repository that holds something else.")]
NewCard = Annotated[bool, typer.Option("--new-card", help="Write README.md again although somebody has edited it.")]


def publish(
    data: Where,
    repo: Repo,
    private: Private = False,
    dry_run: DryRun = False,
    tag: Tag = "",
    revision: Revision = "main",
    message: Message = "",
    replace: Replace = False,
    new_card: NewCard = False,
) -> None:
    """Publish a dataset on the Hugging Face Hub. Interrupted or killed, the same command goes on.

    The repository changes in one commit: it holds the old release or the new one, never a part. The token comes from
    HF_TOKEN or from `hf auth login`.
    """
    from datagen import publishing

    options = publishing.Options(
        private=private,
        revision=revision,
        tag=tag,
        message=message,
        replace=replace,
        new_card=new_card,
    )
    _quieten()
    if dry_run:
        return _preview(publishing.preview(data, repo, options), repo)
    done = publishing.publish(data, repo, options, typer.echo)
    typer.echo(f"new or changed: {_mb(done.sent)}; there already: {_mb(done.same)}")
    typer.echo(f"published and compared: {done.url} at {done.commit[:12]}{f' (tag {tag})' if tag else ''}")
    at = f', revision="{tag or revision}"' if tag or revision != "main" else ""
    typer.echo(f'load: datasets.load_dataset("{repo}"{at}, streaming=True)')
    return None


def _quieten() -> None:
    """The client's bars for a terminal alone, and of its log what is lost: its notes on each attempt hold the signed
    addresses of uploads."""
    if os.environ.get("HF_HUB_VERBOSITY") or find_spec("huggingface_hub") is None:
        return
    from huggingface_hub.utils import disable_progress_bars, logging

    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()


def _preview(found: Preview, repo: str) -> None:
    """A line per file, and the sums."""
    todo = found.changes
    kinds = (("new", todo.new), ("changed", todo.changed), ("there", todo.same))
    for kind, items in kinds:
        for item in items:
            typer.echo(f"{kind:<8} {_mb(item.size):>12}  {item.name}")
    for name in todo.gone:
        typer.echo(f"{'removed':<8} {'':>12}  {name}")
    for note in found.release.notes:
        typer.echo(f"note: {note}")
    if found.unasked:
        typer.echo(f"note: not compared with what is there: {found.unasked}")
    state = "" if found.unasked else ", which is there," if found.remote.exists else ", which would be new,"
    typer.echo(f"dry run, nothing was changed: publishing to datasets/{repo}{state} sends at most {_mb(todo.size)}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
