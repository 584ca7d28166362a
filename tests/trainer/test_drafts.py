"""Prefixes that a fast path drafts over a dataset: they end where the model stops speaking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.tiny import Tiny, built
from tests.trainer.tiny_preset import tiny
from trainer.data.index import Index, open_index
from trainer.evaluate.heard import batches_of, hear
from trainer.model import drafting
from trainer.model.drafting import CONTROLS, Role
from trainer.model.duplex import Duplex, Step
from trainer.model.fastpath import FastPath
from trainer.model.state import LMState
from trainer.prefix_store import read, written
from trainer.stages.drafts import draft_all, drafts
from trainer.targets import target
from trainer.tokens import NAMES

__all__ = ["built"]


@pytest.fixture(scope="module")
def index(built: Tiny) -> Index:
    return open_index(str(built.out), "train")


@pytest.fixture(scope="module")
def path() -> FastPath:
    """Untrained."""
    return FastPath.begin(tiny(), ["Go left at the bridge, and wait there for me."]).eval()


def saying(tokens: list[int], patch: pytest.MonkeyPatch) -> None:
    """Every draft says these tokens, whatever the model would; its numbers stay the model's."""
    real = drafting.greedy

    def greedy(duplex: Duplex, state: LMState, token_B: Tensor) -> Iterator[tuple[Tensor, Step]]:
        for said, (made_B, step) in zip(tokens, real(duplex, state, token_B), strict=False):
            yield torch.full_like(made_B, said), step

    patch.setattr(drafting, "greedy", greedy)


def test_every_control_token_ends_a_draft() -> None:
    assert sorted(CONTROLS) == sorted([*NAMES, "eos"])


@pytest.mark.parametrize("role", CONTROLS)
def test_text_after_a_control_token_is_not_glued_to_a_prefix(
    index: Index, path: FastPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    before, after = path.encode("Go left"), path.encode(" there for me")
    saying([*before, getattr(path.tokens, role), *after, path.tokens.eos], monkeypatch)
    draft_all(path, index, tmp_path, 0, model="tiny")
    found = list(read(tmp_path))
    assert found
    for one in found:
        assert (one.prefix.text, one.prefix.num_tokens, one.prefix.steps) == ("Go left", len(before), len(before))


def test_a_prefix_for_every_turn_that_was_not_cut_drafted_once(index: Index, path: FastPath, tmp_path: Path) -> None:
    draft_all(path, index, tmp_path, 3, model="tiny", words=3, fold=1)
    heard = list(hear(path, batches_of(index), path.preset.rules))
    ids = sorted(f"{one.row.id}-t{point.tick}" for one in heard for point in one.target.points)
    found = [one.prefix for one in read(tmp_path)]
    assert [prefix.id for prefix in found] == ids
    assert {(prefix.model, prefix.words, prefix.fold) for prefix in found} == {("tiny", 3, 1)}
    assert all(prefix.context[-1].speaker == "user" for prefix in found)
    before = (tmp_path / "prefixes-00003.jsonl").stat().st_mtime_ns
    draft_all(path, index, tmp_path, 3, model="another")
    assert written(tmp_path) == [3]
    assert (tmp_path / "prefixes-00003.jsonl").stat().st_mtime_ns == before


def test_conversations_beside_each_other_change_no_draft(index: Index, path: FastPath) -> None:
    heard = list(hear(path, batches_of(index), path.preset.rules))
    assert len(heard) > 1
    together = {one.prefix.id: one.prefix.text for one in drafts(path, heard, "tiny", 5, None)}
    alone = {one.prefix.id: one.prefix.text for h in heard for one in drafts(path, [h], "tiny", 5, None)}
    assert alone == together


def test_conversations_without_a_turn_of_the_assistant_give_nothing(index: Index, path: FastPath) -> None:
    (first, *_) = hear(path, batches_of(index), path.preset.rules)
    silent = target([], first.row.num_samples, path.encode, path.tokens)
    assert not list(drafts(path, [replace(first, target=silent)], "tiny", 5, None))
