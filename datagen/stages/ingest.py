"""ingest: a source's dialogues, made speakable, each with its split.

The split is a function of the words alone, so the same dialogue under two names can never stand on both sides. Parts of
one long dialogue (ids that end in ``-p0``, ``-p1``) share the split of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from pydantic import Field, SerializeAsAny

from datagen.core.rng import stream
from datagen.core.textnorm import speakable
from datagen.core.types import SPLITS, Dialogue, Ingested, Split, Strict, Turn, Unreadable, whole_of
from datagen.kinds import KindConfig, Source, make
from datagen.stages.inputs import Inputs, Put

NAME = "ingest"
VERSION = 2


class Config(Strict):
    source: SerializeAsAny[KindConfig]
    language: str
    replace: tuple[tuple[str, str], ...] = ()
    """The language's spelling of symbols."""
    seed: int
    conversations: int = Field(ge=1)
    conversations_per_shard: int = Field(ge=1)
    splits: dict[Split, float]
    forbid_licences: tuple[str, ...] = ()
    """Shell patterns; a dialogue of such a licence is refused."""

    @property
    def num_shards(self) -> int:
        return -(-self.conversations // self.conversations_per_shard)


def split_of(dialogue: Dialogue, splits: dict[Split, float], seed: int) -> Split:
    """The split a dialogue's words fall into, or that of the dialogue it is a part of."""
    whole = whole_of(dialogue.id)
    words = " ".join(t.text.casefold() for t in dialogue.turns)
    draw = stream(seed, words if whole == dialogue.id else whole, "split").random() * sum(splits.values())
    for name in SPLITS:
        draw -= splits.get(name, 0.0)
        if draw < 0:
            return name
    return "train"


def records(config: Config, shard: int, inputs: Inputs) -> Iterator[Dialogue | Unreadable]:
    """The shard's positions of the source."""
    source: Source = make("sources", config.source)
    start = shard * config.conversations_per_shard
    yield from source.read(start, min(start + config.conversations_per_shard, config.conversations), config.seed)


def process(dialogue: Dialogue, config: Config, inputs: Inputs, put: Put) -> Ingested:
    """The dialogue with its split; refuses another language (an outline may have any), a forbidden licence and what
    cannot be spoken."""
    if dialogue.use == "script" and dialogue.language.split("-")[0] != config.language.split("-")[0]:
        raise ValueError(f"language {dialogue.language!r}, the recipe asks for {config.language!r}")
    if pattern := next((p for p in config.forbid_licences if fnmatchcase(dialogue.licence, p)), None):
        raise ValueError(f"licence {dialogue.licence!r}: the recipe forbids {pattern!r}")
    turns = tuple(Turn(speaker=t.speaker, text=speakable(t.text, config.replace)) for t in dialogue.turns)
    spoken = dialogue.model_copy(update={"turns": turns})
    return Ingested(dialogue=spoken, split=split_of(spoken, config.splits, config.seed))
