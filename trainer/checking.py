"""Whether a dataset can be trained on: its splits, its audio, and what of its text does not fit its ticks."""

from __future__ import annotations

from collections.abc import Iterator

from datagen.core.types import SPLITS
from trainer.data.audio import Reader
from trainer.data.index import Index, open_index
from trainer.presets import Preset
from trainer.presets import preset as named
from trainer.targets import Overflow, items_of, target
from trainer.tokens import add_control_tokens, encode, train_tokenizer

SAMPLE = 500
"""Rows whose labels are written."""


def report(data: str, preset_name: str) -> Iterator[str]:
    """Lines for people. ValueError when the dataset cannot be used."""
    preset = named(preset_name)
    for split in SPLITS:
        try:
            index = open_index(data, split)
        except ValueError as error:
            if split == "train":
                raise
            yield f"{split}: {error}"
            continue
        yield f"{split}: {len(index):,} conversations, {index.hours:.2f} hours"
        if split == "train" and preset.vocabulary is not None:
            yield f"labels of a tokenizer of {preset.vocabulary}: {_overflow(index, preset, preset.vocabulary)}"


def _overflow(index: Index, preset: Preset, vocabulary: int) -> Overflow:
    rules = preset.rules
    reader = Reader(index.folder)
    rows = [reader.row(index[number]) for number in range(0, len(index), max(1, len(index) // SAMPLE))]
    tokenizer = train_tokenizer((s.text_full for row in rows for s in row.segments), vocabulary)
    tokens = add_control_tokens(tokenizer, eos=preset.eos)
    found = (
        target(items_of(row, rules), row.num_samples, lambda t: encode(tokenizer, t), tokens, rules) for row in rows
    )
    return sum((made.overflow for made in found), Overflow())
