"""K fast paths, each trained without a part of the data, draft that part: prefixes with mistakes a verifier will meet.

    OUT/folds.json          who is held out where; drawn once and kept
        fold-0/ fold-1/ ..  a run of ``fit`` each
        prefixes/train/     out-of-fold drafts, one shard per fold
        prefixes/validation, test   drafts of the fast path that was trained on everything
        verifier/           the verifier, its threshold chosen on validation

RelayS2S section 2.4. The paper does not say its K.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from datagen.core.types import Split, Turn
from trainer.data.index import Index, open_index
from trainer.fit import Fit, fit
from trainer.folds import Folds, Member, draw_folds
from trainer.model.fastpath import FastPath
from trainer.prefix_store import PrefixSet, read_prefixes, write_labels, written
from trainer.stages import verifier
from trainer.stages.drafts import draft_all

Judge = Callable[[str, Sequence[Turn], str], bool | None]
"""(conversation id, what was said, the prefix) -> whether it makes sense; None = cannot say, the prefix is left out."""


def run(config: Fit, num_folds: int, out: Path, full: Path, judge: Judge, judge_name: str) -> Path:
    """Everything from folds to a trained verifier; what is done is not done again. Returns the verifier's folder.

    Args:
        config: data, preset and seed, as for ``fit``.
        num_folds: K.
        out: the run's folder.
        full: the fast path that was trained on all of the training split.
        judge: says which prefixes make sense.
        judge_name: who that is; it is written to every label.
    """
    index = open_index(config.data, config.split)
    folds = drawn(index, num_folds, config.seed, out / "folds.json")
    for fold in range(num_folds):
        path = fit(config, out / f"fold-{fold}", rows=_rows(index, folds.training(fold)))
        held = index.select(_rows(index, folds.held_out(fold)))
        draft_all(FastPath.load(path), held, out / "prefixes/train", fold, model=f"fold-{fold}", fold=fold)
    others: tuple[Split, ...] = ("validation", "test")
    for split in others:
        draft_all(FastPath.load(full), open_index(config.data, split), out / "prefixes" / split, 0, model="full")
    for split in (config.split, *others):
        judged(out / "prefixes" / split, judge, judge_name)
    train, validation = (PrefixSet([out / "prefixes" / split]) for split in ("train", "validation"))
    verifier.fit(train, validation, verifier.VerifierTraining(seed=config.seed), out / "verifier")
    return out / "verifier"


def drawn(index: Index, num_folds: int, seed: int, file: Path) -> Folds:
    """The folds, drawn once: with the data they would change."""
    if file.exists():
        return Folds.model_validate_json(file.read_text())
    voices = zip(index.ids, index.voices("user"), index.voices("assistant"), strict=True)
    folds = draw_folds((Member(id=i, user_voice=u, assistant_voice=a) for i, u, a in voices), num_folds, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(folds.model_dump_json())
    return folds


def judged(folder: Path, judge: Judge, name: str) -> None:
    """Labels every prefix that has none and that the judge can judge."""
    for shard in written(folder):
        found = {
            p.id: judge(p.conversation, p.context, p.text) for p in read_prefixes(folder, shard) if p.label is None
        }
        labels = {id_: good for id_, good in found.items() if good is not None}
        if labels:
            write_labels(folder, shard, labels, name)


def _rows(index: Index, members: Sequence[Member]) -> list[int]:
    place = {name: number for number, name in enumerate(index.ids)}
    return sorted(place[member.id] for member in members)
