"""What a recipe needs, asked one by one before an hour is spent: each kind answers for itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from datagen import kinds
from datagen.recipe import Recipe, language, voices

BYTES_PER_SECOND = 130_000
"""Work folder and dataset together: 16-bit utterances, and two FLAC channels one of which holds noise (measured)."""
SECONDS_PER_CONVERSATION = 45


@dataclass(frozen=True)
class Check:
    """One thing a recipe needs."""

    name: str
    found: str
    """What is there; empty when it is missing."""
    remedy: str = ""


def checks(recipe: Recipe) -> Iterator[Check]:
    """Everything the recipe needs, in the order a build would miss it."""
    yield _try("language", lambda: language(recipe.language).name)
    yield _try("voices", lambda: f"{len(voices(recipe))} of language {recipe.language} in {recipe.voices}")
    yield _try("source", lambda: _source(recipe))
    yield _try("tts", lambda: _engine(recipe))
    if recipe.noise is not None:
        yield _try("noise", lambda: _noise(recipe))
    yield _space(recipe)
    yield Check("workers", f"{os.cpu_count()} processors")


def _try(name: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(name, ask())
    except (ValueError, OSError, ImportError) as error:
        return Check(name, "", str(error))


def _source(recipe: Recipe) -> str:
    source: kinds.Source = kinds.make("sources", recipe.source)
    size = source.size()
    next(iter(source.read(0, 1, recipe.seed)), None)
    return f"{recipe.source.kind}, {'endless' if size is None else f'{size:,} dialogues'}"


def _engine(recipe: Recipe) -> str:
    engine: kinds.Engine = kinds.make("tts", recipe.tts)
    for voice in voices(recipe):
        engine.check_voice(voice)
    speech = engine.synthesize(language(recipe.language).backchannels[0].text, voices(recipe)[0], recipe.seed)
    return f"{recipe.tts.kind} speaks with every voice ({speech.pcm.size} samples for one word)"


def _noise(recipe: Recipe) -> str:
    assert recipe.noise is not None
    source: kinds.NoiseSource = kinds.make("noise", recipe.noise)
    return f"{recipe.noise.kind}, {len(source.clips())} clips"


def _space(recipe: Recipe) -> Check:
    needed = recipe.conversations * SECONDS_PER_CONVERSATION * BYTES_PER_SECOND
    free = shutil.disk_usage(".").free
    text = f"about {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free here"
    if free < needed:
        return Check("disk", "", f"{text}; make room or build elsewhere with --out")
    return Check("disk", text)
