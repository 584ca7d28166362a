"""The trainer's command line. Mistakes of the user end in one line and exit code 2, an interrupted run in 130."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from trainer import cli_runtime

app = typer.Typer(
    name="trainer",
    help="Trains the fast path of RelayS2S on a dataset that datagen has built, and runs it live.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[str, typer.Argument(metavar="DATA", help="A dataset folder or URL, as `datagen build` wrote it.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="The run's folder.")]
PresetName = Annotated[str, typer.Option(metavar="NAME", help="embedded (two CPU cores), small (a GPU), paper.")]


@app.command()
def fit(
    data: Data,
    out: Out,
    preset: PresetName = "embedded",
    seed: Annotated[int, typer.Option(help="Decides the weights and the order of the data.")] = 1,
    texts: Annotated[
        str, typer.Option(help="Read dialogues first: none, auto (more of what wrote DATA), {kind: jsonl, path: ...}")
    ] = "none",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read data.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the processor; default all.")] = None,
) -> None:
    """Stages 1 and 2: speech tower, then the whole duplex model. Killed, the same command goes on."""
    import torch

    from trainer.fit import Fit
    from trainer.fit import fit as run
    from trainer.presets import preset as named
    from trainer.texts import texts_of

    torch.set_num_threads(threads or os.cpu_count() or 1)
    path = run(Fit(data=data, preset=named(preset), seed=seed, texts=texts_of(texts, data)), out, workers=workers)
    typer.echo(f"the fast path is in {path}")


@app.command()
def kfold(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, as `fit` wrote it.")],
    folds: Annotated[int, typer.Option(min=2, help="K.")] = 3,
    share: Annotated[str, typer.Option(help="encoder: all set out from where RUN began stage 2; nothing.")] = "encoder",
    judge: Annotated[str, typer.Option(help="grammar, or {kind: gemini, model: NAME} and the like.")] = "grammar",
    fold: Annotated[int | None, typer.Option(min=0, help="This one alone: one per machine or GPU, then all.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read data.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the processor; default all.")] = None,
) -> None:
    """Stage 3: K fast paths draft what they were not trained on; a verifier learns which prefixes are good."""
    import torch

    from trainer.evaluate.grading import grader, judge_config
    from trainer.kfold import draft_fold, of_run
    from trainer.kfold import run as run_all

    torch.set_num_threads(threads or os.cpu_count() or 1)
    config, out = of_run(run, folds, share), run / "kfold"
    if fold is not None:
        draft_fold(config, out, run, fold, workers)
        typer.echo(f"fold {fold} of {folds} is drafted; after all of them run kfold without --fold")
        return
    with grader(judge_config(judge), out / "answers") as judging:
        typer.echo(f"the verifier is in {run_all(config, out, run, judging, workers)}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, as `fit` and `kfold` wrote it.")],
    data: Annotated[str, typer.Option(metavar="DATA", help="Thresholds from its validation split, figures from test.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where evaluation.json, evaluation.md and plots go.")],
    paper: Annotated[str | None, typer.Option(metavar="DATA", help="Table 3 on this test split too.")] = None,
    judge: Annotated[str, typer.Option(help="grammar, or {kind: gemini, model: NAME} and the like.")] = "grammar",
    tables: Annotated[str, typer.Option(metavar="N,N", help="Which of the paper's tables.")] = "2,3,4,5",
    limit: Annotated[int | None, typer.Option(min=1, help="Conversations of each split at most.")] = None,
    floors: Annotated[int, typer.Option(min=0, help="Conversations for the noise floors; 0 = none.")] = 150,
    timed: Annotated[int, typer.Option(min=1, help="Turns whose latency is measured.")] = 100,
    back_end: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SECONDS", help="A simulated slow path; default the paper's three.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read data.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the processor; default all.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Tables 2 to 5 of the paper with ceilings and intervals, as JSON, Markdown and plots."""
    import torch

    from trainer.evaluate.command import options_of, run_all

    asked = options_of(data, tables, back_end or (), paper=paper, limit=limit, floors=floors, timed=timed)
    torch.set_num_threads(threads or os.cpu_count() or 1)
    page = run_all(run, asked.model_copy(update={"workers": workers, "device": device}), judge, out)
    typer.echo(f"the evaluation is in {page}")


@app.command()
def check(data: Data, preset: PresetName = "embedded") -> None:
    """Whether the dataset can be trained on, and what of its text does not fit its ticks."""
    from trainer.checking import report

    for line in report(data, preset):
        typer.echo(line)


@app.command()
def status(out: Annotated[Path, typer.Argument(metavar="DIR", help="The run's folder.")]) -> None:
    """How far a run has come."""
    if not (out / "plan.json").exists():
        fail(f"{out}: no run was begun here; start one with `python -m trainer fit DATA --out {out}`")
    for stage in ("encoder", "reading", "duplex"):
        if stage != "reading" or (out / stage).is_dir():
            typer.echo(f"{stage}: {_reached(out / stage)}")
    for fold in sorted((out / "kfold").glob("fold-*")):
        typer.echo(f"{fold.name}: {_reached(fold / 'duplex')}")
    if (out / "kfold").is_dir():
        typer.echo(f"verifier: {'done' if (out / 'kfold/verifier/config.json').exists() else 'not yet'}")


for command in cli_runtime.COMMANDS:
    app.command()(command)


def _reached(stage: Path) -> str:
    if (stage / "done.json").exists():
        figures = json.loads((stage / "done.json").read_text())
        return f"done, loss {figures['train_loss']:.3f} on average, {figures['train_runtime'] / 60:.1f} minutes"
    steps = [int(p.name.rpartition("-")[2]) for p in stage.glob("checkpoint-*")]
    return f"step {max(steps)}, goes on from there" if steps else "no checkpoint yet"


def fail(message: str, code: int = 2) -> NoReturn:
    """One line on standard error, and out."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.stderr.flush()
    sys.exit(code)


def main() -> None:
    """Entry point of ``python -m trainer``."""
    from trainer.failing import Diverged

    try:
        app(prog_name="trainer")
    except KeyboardInterrupt:
        fail("stopped; the same command goes on from the last checkpoint", 130)
    except Diverged as error:
        fail(str(error), 1)
    except (ValueError, ImportError) as error:
        if os.environ.get("TRAINER_DEBUG"):
            raise
        fail(str(error))
    except OSError as error:
        fail(str(error), 1)
