"""Several sources in one, by weight.

    kind: mixture
    parts:
      - {weight: 3, source: {kind: topical_chat, path: data/topical_chat}}
      - {weight: 1, source: {kind: jsonl, path: calls.jsonl, language: en, licence: CC0-1.0}}

Position i belongs to one part and one position in it, computed from the weights and the sizes alone: of the first n
positions each part has its share to within as many dialogues as there are parts. Positions of a part are used in order
and at most once. When a part has run out, the others go on with their weights, so a mixture of finite parts is exactly
as large as its parts together, and one with an endless part is endless.

Ids are the parts' own. Where two parts may use the same ones (files without ids and with the same name), give one an
``id_prefix``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Literal, Self

from pydantic import Field, model_validator

from datagen import kinds
from datagen.core.types import Dialogue, Strict, Unreadable
from datagen.kinds import KindConfig, Need, Source
from datagen.sources._nested import Nested, licences_of, needs_of


class Part(Strict):
    """One source and its share."""

    source: Nested
    weight: float = Field(default=1.0, ge=0.001, le=1_000_000)
    """Dialogues of this part relative to the weights of the others."""
    id_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9.-]{0,15})?$")
    """Put before the part's ids, with a hyphen."""

    def named(self, item: Dialogue | Unreadable) -> Dialogue | Unreadable:
        """The item under its id in the mixture."""
        if not self.id_prefix:
            return item
        return type(item)(**{**dict(item), "id": f"{self.id_prefix}-{item.id}"})


class Config(KindConfig):
    """See the head of this file."""

    kind: Literal["mixture"]
    parts: tuple[Part, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _different(self) -> Self:
        seen: set[str] = set()
        for index, part in enumerate(self.parts):
            if (same := part.source.model_dump_json()) in seen:
                raise ValueError(f"parts.{index}: the same source is listed before; list it once with both weights")
            seen.add(same)
        return self


def make(config: Config) -> Mixture:
    """The mixture; ValueError when one of its parts cannot be made."""
    return Mixture(config.parts)


def needs(config: Config) -> Iterator[Need]:
    """What the parts need."""
    for part in config.parts:
        yield from needs_of(part.source)


def licences(config: Config) -> tuple[str, ...]:
    """Those of all parts, each once."""
    return tuple(dict.fromkeys(licence for part in config.parts for licence in licences_of(part.source)))


class Mixture:
    """A Source that deals its positions out to other sources."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._sources: list[Source] = [kinds.make("sources", part.source) for part in parts]
        self._deal = Deal([part.weight for part in parts], [source.size() for source in self._sources])

    def size(self) -> int | None:
        """The parts' sizes together; None when one is endless."""
        return self._deal.size

    def read(self, start: int, stop: int, seed: int) -> Iterator[Dialogue | Unreadable]:
        """Items ``start`` to ``stop``, each from its part. ValueError beyond the last position."""
        size = self.size()
        if not 0 <= start <= stop or (size is not None and stop > size):
            raise ValueError(f"positions {start} to {stop} are not within the {size} of this mixture")
        ranges = zip(self._sources, self._deal.counts(start), self._deal.counts(stop), strict=True)
        readers = [source.read(first, last, seed) for source, first, last in ranges]
        for position in range(start, stop):
            part = self._deal.part(position)
            yield self._parts[part].named(next(readers[part]))


@dataclass(frozen=True)
class _Phase:
    """A stretch of positions over which the same parts are dealt to."""

    start: int
    before: tuple[int, ...]
    """Positions of each part used before the phase."""
    weights: tuple[int, ...]
    """0 for parts that have run out."""

    def counts(self, dealt: int) -> tuple[int, ...]:
        """Positions of each part used once the phase has dealt ``dealt``: each takes its share of what is left over."""
        total, counts = sum(self.weights), []
        for weight, before in zip(self.weights, self.before, strict=True):
            share = dealt * weight // total if weight else 0
            counts.append(before + share)
            dealt, total = dealt - share, total - weight
        return tuple(counts)


class Deal:
    """Which part a position belongs to. Pure arithmetic, so any position can be asked for at once."""

    def __init__(self, weights: Sequence[float], sizes: Sequence[int | None]) -> None:
        exact = [Fraction(str(weight)) for weight in weights]
        scale = lcm(*(weight.denominator for weight in exact))
        self.size = None if None in sizes else sum(size or 0 for size in sizes)
        self._phases = list(_phases([int(weight * scale) for weight in exact], sizes))

    def counts(self, position: int) -> tuple[int, ...]:
        """How many of each part lie before a position; they add up to it."""
        phase = [p for p in self._phases if p.start <= position][-1]
        return phase.counts(position - phase.start)

    def part(self, position: int) -> int:
        """The part a position belongs to; its position in that part is ``counts(position)[part]``."""
        here, after = self.counts(position), self.counts(position + 1)
        return next(k for k, (a, b) in enumerate(zip(here, after, strict=True)) if b > a)


def _phases(weights: Sequence[int], sizes: Sequence[int | None]) -> Iterator[_Phase]:
    """A new phase begins wherever a part runs out."""
    start, used = 0, (0,) * len(weights)
    while True:
        left = tuple(
            w if size is None or used[k] < size else 0 for k, (w, size) in enumerate(zip(weights, sizes, strict=True))
        )
        phase = _Phase(start, used, left)
        yield phase
        dealt = _until_one_runs_out(phase, sizes)
        if dealt is None:
            return
        start, used = start + dealt, phase.counts(dealt)


def _until_one_runs_out(phase: _Phase, sizes: Sequence[int | None]) -> int | None:
    """How many positions the phase can deal; None when it never has to end."""
    finite = [(k, size) for k, size in enumerate(sizes) if phase.weights[k] and size is not None]
    if not finite:
        return None

    def too_many(dealt: int) -> bool:
        counts = phase.counts(dealt)
        return any(counts[k] > size for k, size in finite)

    bound = min((size + len(sizes) + 1) * sum(phase.weights) // phase.weights[k] + 1 for k, size in finite)
    return bisect_left(range(bound + 1), True, key=too_many) - 1
