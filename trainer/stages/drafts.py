"""Drafts prefixes where a fast path would begin to answer: what the verifier learns from and is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from datagen.core.types import Turn
from trainer.data.index import Index
from trainer.data.rows import Row
from trainer.evaluate.heard import Heard, batches_of, device_of, hear, stacked
from trainer.model.drafting import CONTROLS, Drafting, Onset, draft_at
from trainer.model.fastpath import FastPath
from trainer.prefix_store import write_shard, written
from trainer.prefixes import Drafted, Occasion, drafted, steps_of
from trainer.targets import Point

BATCH_SECONDS = 600.0
DRAFTING = Drafting(stop=CONTROLS, max_tokens=20)


def draft_all(
    path: FastPath, index: Index, folder: Path, shard: int, *, model: str, words: int = 5, fold: int | None = None
) -> None:
    """Drafts at the [BOS] tick of every turn that was not cut, with speech silenced, and writes one shard of records.

    Nothing is done where the shard is there already. ValueError for a model in training mode.
    """
    if shard in written(folder):
        return
    records: list[Drafted] = []
    for batch in batches_of(index, seconds=BATCH_SECONDS):
        records += drafts(path, list(hear(path, [batch], path.preset.rules)), model, words, fold)
    write_shard(folder, shard, sorted(records, key=lambda record: record.prefix.id))


def drafts(path: FastPath, heard: Sequence[Heard], model: str, words: int, fold: int | None) -> Iterator[Drafted]:
    """A prefix at every point of some conversations, drafted side by side; it ends before any control token."""
    places = [(number, point) for number, one in enumerate(heard) for point in one.target.points]
    if not places:
        return
    device = device_of(path.duplex)
    token_BK = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(one.ids_K.copy()) for one in heard], batch_first=True, padding_value=path.tokens.pad
    )
    onsets = [Onset(number, point.tick) for number, point in places]
    speech_BKD = stacked((one.speech_KD for one in heard), device)
    made = draft_at(path.duplex, speech_BKD, token_BK.to(device), onsets, DRAFTING)
    for (number, point), found in zip(places, made, strict=True):
        occasion = _occasion(heard[number].row, point, model, words, fold)
        yield drafted(occasion, path.decode(found.spoken), path.encode, steps_of(found))


def _occasion(row: Row, point: Point, model: str, words: int, fold: int | None) -> Occasion:
    return Occasion(
        id=f"{row.id}-t{point.tick}",
        conversation=row.id,
        user_voice=row.user_voice,
        assistant_voice=row.assistant_voice,
        context=tuple(Turn(speaker=said.speaker, text=said.text) for said in point.context if said.text),
        words=words,
        model=model,
        fold=fold,
    )
