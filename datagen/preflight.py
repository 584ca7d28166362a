"""What a recipe needs, asked one by one before an hour is spent: each kind answers for itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from datagen import kinds
from datagen.blueprint import engines_of
from datagen.core.types import Dialogue
from datagen.core.units import to_seconds
from datagen.estimate import BYTES_PER_SECOND, work_of
from datagen.kinds import KindConfig, Need
from datagen.licensing import permitted
from datagen.recipe import Recipe, language, price_table, voices


def checks(recipe: Recipe) -> Iterator[Need]:
    """Everything the recipe needs, in the order a build would miss it."""
    yield _try("language", lambda: language(recipe.language).name)
    seen: list[KindConfig] = []
    for role, family, config in engines_of(recipe):
        if config not in seen:
            yield from _kind(role, family, config, recipe)
        seen.append(config)
        if role == "tts":
            yield from _voices(recipe)
    yield _try("licences", lambda: _licences(recipe))
    if recipe.budget is not None:
        yield _try("budget", lambda: _budget(recipe))
    yield _space(recipe)
    yield from _workers(recipe)


def _try(name: str, ask: Callable[[], str]) -> Need:
    try:
        return Need(name, ask())
    except (ValueError, OSError, ImportError) as error:
        return Need(name, "", " ".join(str(error).split()))


def _kind(role: str, family: str, config: KindConfig, recipe: Recipe) -> Iterator[Need]:
    """What a kind says it needs; when all of it is here, a try of the thing itself."""
    found = [Need(f"{role}: {n.name}", n.found, n.remedy) for n in kinds.needs(family, config)]
    yield from found
    if role in TRIED and all(need.found for need in found) and not _elsewhere(family, config):
        yield _try(role, lambda: TRIED[role](recipe))


def _elsewhere(family: str, config: KindConfig) -> bool:
    """Whether the kind runs on workers that offer something this process may not have."""
    return bool(getattr(kinds.module(family, config.kind), "RESOURCES", {}))


def _source(recipe: Recipe) -> str:
    source: kinds.Source = kinds.make("sources", recipe.source)
    size = source.size()
    first = next(iter(source.read(0, 1, recipe.seed)), None)
    if isinstance(first, Dialogue):
        if first.use == "outline" and recipe.writer is None:
            raise ValueError("the source gives outlines; give the recipe a `writer`, such as {kind: gemini}")
        if first.use == "script" and first.language.split("-")[0] != recipe.language.split("-")[0]:
            raise ValueError(f"the texts are of language {first.language!r}, the recipe asks for {recipe.language!r}")
    return f"{recipe.source.kind}, {'endless' if size is None else f'{size:,} dialogues'}"


def _engine(recipe: Recipe) -> str:
    engine: kinds.Engine = kinds.make("tts", recipe.tts)
    check_voices(recipe)
    word, voice = language(recipe.language).backchannels[0].text, voices(recipe)[0]
    speech = engine.synthesize(word, voice, recipe.seed)
    return f"{recipe.tts.kind} has every voice; {voice.id} says {word!r} in {to_seconds(speech.pcm.size):.2f} s"


def check_voices(recipe: Recipe) -> None:
    """ValueError when the engine cannot speak with one of the voices."""
    engine: kinds.Engine = kinds.make("tts", recipe.tts)
    for voice in voices(recipe):
        engine.check_voice(voice)


def _voices(recipe: Recipe) -> Iterator[Need]:
    """The manifest, and the recordings it names."""
    listed = _try("voices", lambda: f"{len(voices(recipe))} of language {recipe.language} in {recipe.voices}")
    if not listed.found:
        collect = f"make one with `datagen voices KIND FOLDER --out {recipe.voices}`, see `datagen voices --help`"
        yield Need(listed.name, "", f"{listed.remedy}; {collect}")
        return
    yield listed
    prompts = [prompt for voice in voices(recipe) for prompt in voice.prompts]
    absent = [prompt.path for prompt in prompts if not Path(prompt.path).is_file()]
    if prompts:
        found = "" if absent else f"all {len(prompts)} recordings"
        yield Need("voices: prompts", found, f"{len(absent)} of {len(prompts)} are missing; make the manifest again")


def _noise(recipe: Recipe) -> str:
    assert recipe.noise is not None
    source: kinds.NoiseSource = kinds.make("noise", recipe.noise)
    return f"{recipe.noise.kind}, {len(source.clips())} clips"


def _licences(recipe: Recipe) -> str:
    permitted(recipe)
    forbidden = ", ".join(recipe.forbid_licences)
    return f"none of {forbidden}" if forbidden else "none is forbidden"


def _budget(recipe: Recipe) -> str:
    assert recipe.budget is not None
    return f"at most ${recipe.budget.usd:,.2f}, prices of {price_table(recipe.budget.prices).date}"


def _space(recipe: Recipe) -> Need:
    needed = work_of(recipe).hours * 3600 * BYTES_PER_SECOND
    free = shutil.disk_usage(".").free
    text = f"about {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free here"
    if free < needed:
        return Need("disk", "", f"{text}; make room or build elsewhere with --out")
    return Need("disk", text)


def _workers(recipe: Recipe) -> Iterator[Need]:
    yield Need("workers", f"{os.cpu_count()} processors here")
    modules = [kinds.module(family, config.kind) for _, family, config in engines_of(recipe)]
    special = sorted(set(chain.from_iterable(getattr(m, "RESOURCES", {}) for m in modules)))
    if "GPU" in special:
        start = "--gpus N on a machine with GPUs, or `dask worker ADDRESS --nthreads 1 --resources GPU=1` per GPU"
        yield Need("workers: GPU", f"to be offered when the run starts: {start}")


TRIED: Mapping[str, Callable[[Recipe], str]] = {"source": _source, "tts": _engine, "noise": _noise}
"""Roles that are tried once everything they need is here."""
