"""What the commands around production backends print: the estimate, the batch run's requests, the cast voices."""

from __future__ import annotations

import os

from datagen import estimate as estimating
from datagen.blueprint import draw_up
from datagen.build import Build
from datagen.files import Folder
from datagen.pipeline import cluster
from datagen.recipe import Recipe, price_table
from datagen.requests import collect
from datagen.tasks import Stop
from datagen.terminal import Bars, console, grid, say


def estimate(recipe: Recipe) -> None:
    """Money, hours and disk, as tables."""
    prices = price_table(recipe.budget.prices) if recipe.budget is not None else None
    found = estimating.estimate(recipe, prices, estimating.route_table())
    for title, header, rows in estimating.tables(found):
        say(f"\n{title}")
        if len(header) == 1:
            say("\n".join(line for (line,) in rows))
            continue
        shown = grid(*header)
        for row in rows:
            shown.add_row(*row)
        console.print(shown, markup=False)


def requests(recipe: Recipe, out: str, workers: int | None, scheduler: str | None, update: bool) -> None:
    """Writes down what a batch engine still has to make."""
    folder = getattr(recipe.tts, "path", None)
    if recipe.tts.kind != "batch" or folder is None:
        raise ValueError(f"tts.{recipe.tts.kind} speaks by itself; requests are for {{kind: batch, path: FOLDER}}")
    job = Build(draw_up(recipe), Folder(out))
    job.claim(update)
    stop = Stop(lambda: say("finishing what is running; Ctrl-C again stops at once"))
    needs = {name: amount for name, amount in job.blueprint.needs().items() if name != "GPU"}
    with (
        stop.listening(),
        cluster(workers or os.cpu_count() or 1, 0, scheduler, needs) as executor,
        stop.minding(),
        Bars() as bars,
    ):
        missing = collect(job, folder, executor, bars, stop)
    if missing:
        say(f"{missing:,} clips are still to be made: {folder}/todo-*.jsonl; run the engine on them and ask again")
    else:
        say(f"nothing is missing; `datagen build` with --out {out} goes on from here")
