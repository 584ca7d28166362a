"""What a recipe needs, asked one by one before an hour is spent: each kind answers for itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from datagen import kinds
from datagen.core.types import Dialogue
from datagen.core.units import to_seconds
from datagen.recipe import Recipe, language, voices

BYTES_PER_SECOND = 90_000
"""Work folder and dataset together: 16-bit utterances, and two FLAC channels, held twice until
the build is done. 22,860 s of recipes/assistant.yaml: 30 + 2 x 28 kB per second."""
SECONDS_PER_CONVERSATION = 45
"""36 in recipes/assistant.yaml; some room above it."""


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
        return Check(name, "", " ".join(str(error).split()))


def _source(recipe: Recipe) -> str:
    source: kinds.Source = kinds.make("sources", recipe.source)
    size = source.size()
    first = next(iter(source.read(0, 1, recipe.seed)), None)
    if isinstance(first, Dialogue) and first.language.split("-")[0] != recipe.language.split("-")[0]:
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
