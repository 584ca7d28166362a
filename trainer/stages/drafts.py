"""Drafts prefixes where a fast path would begin to answer: what the verifier learns from and is tested on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from datagen.core.types import Turn
from trainer.data.batching import Batching, plan_batches
from trainer.data.index import Index
from trainer.data.loader import Batch, Conversations, Order, make_loader
from trainer.data.rows import Row
from trainer.model.drafting import Drafting, Onset, draft_at
from trainer.model.fastpath import FastPath
from trainer.prefix_store import write_shard, written
from trainer.prefixes import Drafted, Occasion, drafted, steps_of
from trainer.stages.objectives import items_of
from trainer.targets import Point, pad_to, target

BATCH_SECONDS = 600.0


def draft_all(
    path: FastPath, index: Index, folder: Path, shard: int, *, model: str, words: int = 5, fold: int | None = None
) -> None:
    """Drafts at the [BOS] tick of every turn that was not cut, with speech silenced, and writes one shard of records.

    Nothing is done where the shard is there already. ValueError for a model in training mode.
    """
    if shard in written(folder):
        return
    plan = plan_batches(index.num_samples, Batching(seconds=BATCH_SECONDS), 1)
    loader = make_loader(Conversations(index), Order(plan, 0, shuffle=False))
    records = [record for batch in loader for record in _drafted(path, batch, model, words, fold)]
    write_shard(folder, shard, sorted(records, key=lambda record: record.prefix.id))


@torch.no_grad()
def _drafted(path: FastPath, batch: Batch, model: str, words: int, fold: int | None) -> Iterator[Drafted]:
    speech_BKD, _ = path.speech(batch.samples_BN, batch.lengths_B)
    targets = [
        target(items_of(row), row.num_samples, path.encode, path.tokens, path.preset.rules) for row in batch.rows
    ]
    ids = [pad_to(t.ids_K, speech_BKD.shape[1], path.tokens) for t in targets]
    token_BK: Tensor = torch.stack([torch.from_numpy(ids_K.copy()) for ids_K in ids])
    places = [(number, point) for number, found in enumerate(targets) for point in found.points]
    if not places:
        return
    onsets = [Onset(number, point.tick) for number, point in places]
    drafts = draft_at(path.duplex, speech_BKD, token_BK, onsets, Drafting(max_tokens=20))
    for (number, point), found in zip(places, drafts, strict=True):
        occasion = _occasion(batch.rows[number], point, model, words, fold)
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
