"""What the tests of the speakers share: a voice, sentences, a clock of their own, and a way to say a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from trainer.runtime.speaking import espeak
from trainer.runtime.speaking._base import Chunk, Pcm, Speaker, Utterance

SENTENCES = (
    "I think that is a good idea because it saves a lot of time in the end.",
    "You could try calling the hotel and asking for a late checkout, if they are not full.",
    "The best way to get there is by train from the central station. It takes an hour.",
    "My sister told me that the museum opens at nine on weekdays, except for Monday.",
    "Well, the weather looks fine for tomorrow, so bring a light jacket and your camera.",
    "We should probably keep trying until the last of them is done and put away.",
    "It depends on how much sugar you want to put in the cake; I take about half.",
    "He lives in the big white house at the end of our street, next to the church.",
    "There are 3 things that matter when you are buying a house: price, place and size.",
    "Most people find it easier to begin with a short daily walk before they start to run.",
)
Push = tuple[float, str, bool]
"""When (seconds), what, and whether it is the last."""


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@cache
def speaker(**settings: float) -> Speaker:
    return espeak.make(espeak.Config.model_validate({"kind": "espeak", **settings}))


def voice(**params: str | int) -> Voice:
    own = {"base": "gmw/en-US", "variant": "f1", **params}
    return Voice(id="v", language="en", split="train", origin="o", licence="l", params=dict(own))


def at_once(text: str) -> list[Push]:
    return [(0.0, text, True)]


def in_pieces(text: str, cuts: Iterable[int], gap: float = 0.0) -> list[Push]:
    """The words of a text, cut before the given words, ``gap`` seconds apart."""
    words = text.split()
    edges = sorted({0, len(words), *(cut % len(words) for cut in cuts)})
    pieces = [" ".join(words[a:b]) for a, b in pairwise(edges)]
    return [(n * gap, piece, n == len(pieces) - 1) for n, piece in enumerate(pieces)]


async def _turns() -> None:
    """Lets everything that can go on do so."""
    for _ in range(12):
        await asyncio.sleep(0)


async def say(utterance: Utterance, pushes: Sequence[Push], clock: Clock, step: float = 0.01) -> list[Chunk]:
    """The chunks of an inline utterance, pieces pushed at their times on the clock."""
    chunks: list[Chunk] = []

    async def collect() -> None:
        async for chunk in utterance:
            chunks.append(chunk)

    task = asyncio.create_task(collect())
    await _turns()
    for at, text, last in pushes:
        while clock.now < at - 1e-9:
            clock.now = min(at, clock.now + step)
            utterance.wake()
            await _turns()
        utterance.push(text, last)
        await _turns()
    await asyncio.wait_for(task, 10)
    return chunks


def spoken(pushes: Sequence[Push], *, who: Voice | None = None, with_: Speaker | None = None) -> list[Chunk]:
    """The chunks of a schedule, on a clock of its own."""

    async def run() -> list[Chunk]:
        clock = Clock()
        utterance = (with_ or speaker()).begin(who or voice(), 7, clock=clock, inline=True)
        return await say(utterance, pushes, clock)

    return asyncio.run(run())


def audio(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks]) if chunks else np.zeros(0, np.int16)


def words(chunks: Sequence[Chunk]) -> list[tuple[str, int, int]]:
    return [word for chunk in chunks for word in chunk.words]


def check(chunks: Sequence[Chunk], expected: Sequence[str]) -> None:
    """The laws: all words in order, times rising, none beyond what was given out."""
    assert [word for word, _, _ in words(chunks)] == list(expected)
    total, latest = 0, 0
    for chunk in chunks:
        began, total = total, total + chunk.pcm.size
        for _, start, end in chunk.words:
            assert max(latest, began) <= start <= end <= total
            latest = end
    assert total == audio(chunks).size


def ms(samples: int) -> float:
    return 1000 * samples / SAMPLE_RATE
