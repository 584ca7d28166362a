"""K folds of conversations for out-of-fold drafts: no dialogue and no voice stands on both sides of a fold.

    held out in fold 2   c07 c11 c30 ...        drafted by a fast path that was trained on ...
    trained on           c01 c02 c05 ...        ... these alone: they share no dialogue and no voice with c07 c11 c30
    left aside           c09                    shares one; neither drafted nor trained on in this fold

Which voices count (``voices``):

* ``heard``: the user's. The fast path is given the user's channel and the texts, never the assistant's sound, so a
  voice that only ever assists in the training part was not heard there. Nothing leaks, and every conversation is
  drafted.
* ``both``: the user's and the assistant's. Needed for a model that hears both channels. Where any voice may talk to
  any other, all conversations soon hang together: 540 of them with 64 voices are one group, and there are no folds.

What to do with conversations that hang together across folds (``crossing``):

* ``refuse``: conversations linked by a dialogue or a voice, however indirectly, stay in one fold; nothing is left
  aside. ValueError where the groups are too few or too unequal.
* ``drop``: the voices are dealt to the folds. A conversation whose voices lie in different folds is held out nowhere
  (``Folds.dropped``; with two voices about 1 - 1/K of all), one that shares a dialogue or a voice with what a fold
  holds out is left out of that fold's training.

Pure: the folds depend on the conversations' names and the seed, not on their order. They are balanced, so another
conversation may move others; draw the folds once and keep them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import heapify, heapreplace
from typing import Literal, Self

from pydantic import Field, model_validator

from datagen.core.rng import key
from datagen.core.types import Strict, whole_of

Voices = Literal["heard", "both"]
Crossing = Literal["refuse", "drop"]
Atom = tuple[str, str]
"""Something that must not stand on both sides: ``("dialogue", id)`` or ``("voice", id)``."""

_LEAST_SHARE = 0.5
"""The smallest fold must have at least this part of an even share: one giant and some crumbs are no folds."""


class Member(Strict):
    """A conversation, as far as folds care."""

    id: str = Field(min_length=1)
    user_voice: str
    assistant_voice: str

    @model_validator(mode="after")
    def _voiced(self) -> Self:
        if not (self.user_voice and self.assistant_voice):
            raise ValueError(
                f"conversation {self.id!r} names no voice of one side; without speakers give it its own id"
            )
        return self

    def heard(self, voices: Voices) -> frozenset[Atom]:
        """The voices that count."""
        both = (self.user_voice, self.assistant_voice)
        return frozenset(("voice", name) for name in (both if voices == "both" else both[:1]))

    def atoms(self, voices: Voices) -> frozenset[Atom]:
        """All that must not stand on both sides: the whole dialogue and the voices that count."""
        return self.heard(voices) | {("dialogue", whole_of(self.id))}


class FoldSize(Strict):
    """Conversations of one fold; the three add up to all there are."""

    held_out: int
    training: int
    aside: int


class Folds(Strict):
    """Which conversations every fold holds out; what it may be trained on follows."""

    num_folds: int = Field(ge=2)
    seed: int
    voices: Voices
    crossing: Crossing
    members: tuple[Member, ...]
    """In order of id."""
    fold_of: tuple[int | None, ...]
    """Of every member, in the same order; None = held out nowhere."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.fold_of) != len(self.members):
            raise ValueError(f"fold_of has {len(self.fold_of)} entries for {len(self.members)} members")
        if not {f for f in self.fold_of if f is not None} <= set(range(self.num_folds)):
            raise ValueError(f"fold_of names a fold outside 0 to {self.num_folds - 1}")
        return self

    def held_out(self, fold: int) -> tuple[Member, ...]:
        """The conversations drafted by the fast path of this fold."""
        return tuple(m for m, f in zip(self.members, self.fold_of, strict=True) if f == fold)

    def training(self, fold: int) -> tuple[Member, ...]:
        """The conversations that share nothing with what the fold holds out."""
        taken = {atom for member in self.held_out(fold) for atom in member.atoms(self.voices)}
        return tuple(m for m in self.members if not m.atoms(self.voices) & taken)

    @property
    def dropped(self) -> tuple[Member, ...]:
        """The conversations that no fold holds out."""
        return tuple(m for m, f in zip(self.members, self.fold_of, strict=True) if f is None)

    def sizes(self) -> tuple[FoldSize, ...]:
        """One entry per fold."""
        counts = [(len(self.held_out(f)), len(self.training(f))) for f in range(self.num_folds)]
        return tuple(FoldSize(held_out=h, training=t, aside=len(self.members) - h - t) for h, t in counts)


def draw_folds(
    members: Iterable[Member], num_folds: int, seed: int, voices: Voices = "heard", crossing: Crossing = "refuse"
) -> Folds:
    """Balanced folds. ValueError with numbers and remedies where the conversations do not allow that many."""
    ordered = tuple(sorted(members, key=lambda m: m.id))
    if num_folds < 2:
        raise ValueError(f"num_folds is {num_folds}; out-of-fold drafts need at least 2")
    twice = [name for name, n in Counter(m.id for m in ordered).items() if n > 1]
    if twice:
        raise ValueError(f"{len(twice)} conversation ids occur more than once, the first is {twice[0]!r}")
    deal = _by_component if crossing == "refuse" else _by_voice
    fold_of = deal(ordered, num_folds, seed, voices)
    folds = Folds(
        num_folds=num_folds, seed=seed, voices=voices, crossing=crossing, members=ordered, fold_of=tuple(fold_of)
    )
    _check(folds)
    return folds


def groups_of(members: Iterable[Member], voices: Voices) -> list[tuple[str, ...]]:
    """Ids of the conversations that hang together by dialogues and voices, largest group first."""
    by_root: dict[Atom, list[str]] = {}
    listed = list(members)
    root = _roots(m.atoms(voices) for m in listed)
    for member in listed:
        by_root.setdefault(root[("dialogue", whole_of(member.id))], []).append(member.id)
    return sorted((tuple(sorted(ids)) for ids in by_root.values()), key=lambda ids: (-len(ids), ids))


def _roots(bundles: Iterable[frozenset[Atom]]) -> dict[Atom, Atom]:
    """The representative of every atom, where the atoms of a bundle belong together (union-find)."""
    parent: dict[Atom, Atom] = {}

    def find(atom: Atom) -> Atom:
        parent.setdefault(atom, atom)
        while parent[atom] != atom:
            parent[atom] = parent[parent[atom]]
            atom = parent[atom]
        return atom

    for bundle in bundles:
        first, *others = sorted(bundle)
        for other in others:
            parent[find(other)] = find(first)
    return {atom: find(atom) for atom in list(parent)}


def _by_component(members: tuple[Member, ...], num_folds: int, seed: int, voices: Voices) -> list[int | None]:
    groups = {ids[0]: ids for ids in groups_of(members, voices)}
    dealt = _deal({name: len(ids) for name, ids in groups.items()}, num_folds, seed)
    fold_of = {conversation: dealt[name] for name, ids in groups.items() for conversation in ids}
    return [fold_of[m.id] for m in members]


def _by_voice(members: tuple[Member, ...], num_folds: int, seed: int, voices: Voices) -> list[int | None]:
    uses = Counter(name for m in members for _, name in m.heard(voices))
    dealt = _deal(uses, num_folds, seed)

    def fold_of(member: Member) -> int | None:
        folds = {dealt[name] for _, name in member.heard(voices)}
        return folds.pop() if len(folds) == 1 else None

    return [fold_of(m) for m in members]


def _deal(sizes: Mapping[str, int], num_folds: int, seed: int) -> dict[str, int]:
    """Every name to a fold, largest first into the emptiest: folds differ by at most the largest size."""
    loads = [(0, fold) for fold in range(num_folds)]
    heapify(loads)
    dealt: dict[str, int] = {}
    for name in sorted(sizes, key=lambda n: (-sizes[n], key(seed, n, "fold"), n)):
        load, dealt[name] = loads[0]
        heapreplace(loads, (load + sizes[name], dealt[name]))
    return dealt


def _check(folds: Folds) -> None:
    """ValueError unless every fold holds out its share and has something to be trained on."""
    sizes = folds.sizes()
    drafted = sum(s.held_out for s in sizes)
    even = drafted / folds.num_folds
    smallest, training = min(s.held_out for s in sizes), min(s.training for s in sizes)
    if smallest and training and smallest >= _LEAST_SHARE * even:
        return
    groups = groups_of(folds.members, folds.voices)
    raise ValueError(
        f"too few groups for {folds.num_folds} folds: {len(folds.members)} conversations with "
        f"{len({atom for m in folds.members for atom in m.heard(folds.voices)})} voices form {len(groups)} "
        f"groups that share no dialogue and no voice, the largest of {len(groups[0]) if groups else 0}; the smallest "
        f"fold would hold out {smallest} (an even share is {even:.0f}) and the smallest training part has {training}; "
        f"{_remedies(folds)}"
    )


def _remedies(folds: Folds) -> str:
    """What could help here."""
    found: list[str] = []
    if folds.voices == "both":
        found.append("voices='heard' if the model hears only the user")
    if folds.crossing == "refuse":
        kept = [f for f in _by_voice(folds.members, folds.num_folds, folds.seed, folds.voices) if f is not None]
        found.append(f"crossing='drop', which would hold out {len(kept)} of {len(folds.members)} conversations")
    if folds.num_folds > 2:
        found.append("fewer folds")
    return "use " + ", or ".join([*found, "more conversations with more voices"])
