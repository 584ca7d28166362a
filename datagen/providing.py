"""What the commands around production backends print: the estimate, the batch run's requests, the cast voices."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from datagen import casting, kinds
from datagen import estimate as estimating
from datagen.blueprint import draw_up
from datagen.build import Build
from datagen.files import Folder
from datagen.kinds import KindConfig
from datagen.layers import absolute, override
from datagen.pipeline import cluster
from datagen.recipe import Recipe, first_error, price_table
from datagen.requests import collect
from datagen.stages import prompts
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


def voices(
    kind: str,
    folder: str,
    out: str,
    asr_model: str | None,
    overrides: list[str],
    seed: int,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Casts a collection and says who was refused."""
    raw: dict[str, Any] = {"kind": kind, "path": folder}
    for text in overrides:
        override(raw, text)
    config = prompts.Config(collection=_kind("voices", absolute(raw, Path.cwd())), asr=_recogniser(asr_model))
    wanted = kinds.needs("voices", config.collection) + (kinds.needs("asr", config.asr) if config.asr else ())
    if missing := next((need for need in wanted if not need.found), None):
        raise ValueError(f"{missing.name}: {missing.remedy}")
    stop = Stop(lambda: say("finishing what is running; Ctrl-C again stops at once"))
    with (
        stop.listening(),
        cluster(workers or os.cpu_count() or 1, 0, scheduler, casting.resources(config)) as executor,
        stop.minding(),
        Bars() as bars,
    ):
        made = casting.cast(config, out, executor, seed=seed, progress=bars, stop=stop)
    counts = ", ".join(f"{number} {split}" for split, number in made.counts().items())
    say(f"{len(made.voices)} voices in {out} ({counts}), {len(made.rejected)} people refused")
    for reason, number in Counter(re.sub(r"\d+([.,]\d+)?", "N", r["reason"]) for r in made.rejected).most_common(5):
        say(f"  {number:>6} x {reason}")


def _recogniser(model: str | None) -> KindConfig | None:
    if model is None:
        return None
    folder = Path(model).resolve()
    return _kind("asr", {"kind": "faster_whisper", "model": str(folder), "model_revision": folder.name})


def _kind(family: str, raw: dict[str, Any]) -> KindConfig:
    """A kind's config from the command line; ValueError in one line."""
    try:
        return kinds.parse(family, raw)
    except ValidationError as error:
        raise ValueError(f"{raw['kind']}: {first_error(error, kinds.module(family, raw['kind']).Config)}") from None


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
