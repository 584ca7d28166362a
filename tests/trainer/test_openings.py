"""Valid prefixes: drafted at the recorded and at the model's own [BOS], judged by anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from datagen.core.types import Turn
from tests.trainer.talks import RULES, Path, Said, heard, row, tokenizer, tokens
from trainer.data.rows import Row
from trainer.evaluate import openings as opening_module
from trainer.evaluate._agent import Own
from trainer.evaluate.freerun import Run, free_run
from trainer.evaluate.heard import Heard
from trainer.evaluate.openings import Opening, markdown, openings, references, validity
from trainer.model.drafting import Drafting, Onset, draft_at
from trainer.model.duplex import Duplex, RandomLlm, build_llm
from trainer.tokens import decode, encode

T = tokens()


@cache
def path() -> Path:
    """A random model that hardly ever says a control token."""
    llm = build_llm(RandomLlm(hidden=16, layers=2, heads=2, kv_heads=1, ffn=32), T, 5)
    with torch.no_grad():
        for weight in llm.parameters():
            weight.mul_(8 if weight.ndim > 1 else 1)
        llm.get_input_embeddings().weight[list(T.ids)] *= 0.01  # pyright: ignore[reportIndexIssue, reportArgumentType]
    return Path(Duplex(llm, T).eval(), tokenizer())


def talks() -> list[Heard]:
    """Three turns that are not cut, one that is, and a backchannel."""
    draw = torch.Generator().manual_seed(4)
    first = row(
        Said("user", 0, 9, "wait for me"),
        Said("assistant", 3, 5, "now", "backchannel"),
        Said("assistant", 10, 18, "go left at the bridge and wait"),
        Said("user", 19, 24, "please"),
        Said("assistant", 25, 33, "now", full="now go there"),
        ticks=36,
        id="a",
    )
    second = row(
        Said("user", 0, 4), Said("assistant", 5, 9, "there"), Said("assistant", 12, 17, "go"), ticks=20, id="b"
    )
    return [replace(heard(r), speech_KD=torch.randn(heard(r).ticks, 16, generator=draw)) for r in (first, second)]


def yes(row: Row, context: Sequence[Turn], prefix: str) -> bool | None:
    return True


def recorded_run(conversation: Heard) -> Run:
    """The run of a model that did what the recording has."""
    points = conversation.target.points
    own = tuple(Own("turn", point.tick, n, (), point.tick + 2, False) for n, point in enumerate(points))
    recorded = free_run(path(), [conversation], RULES)[0].recorded
    turns = [r for r in recorded if r.kind == "turn" and r.stop is None]
    return Run(conversation.ids_K, own, tuple(turns))


def test_prefixes_are_the_first_words_of_drafts_at_the_recorded_start() -> None:
    conversations = talks()
    found = openings(path(), conversations, yes, words=3)
    assert [(o.conversation, o.tick) for o in sorted(found, key=lambda o: (o.conversation, o.tick))] == [
        ("a", 10),
        ("b", 5),
        ("b", 12),
    ]
    for one in found:
        conversation = next(h for h in conversations if h.row.id == one.conversation)
        label_BK = torch.from_numpy(conversation.ids_K.copy())[None]
        options = Drafting(stop=(), max_tokens=24)
        (draft,) = draft_at(path().duplex, conversation.speech_KD[None], label_BK, [Onset(0, one.tick)], options)
        end = next((n for n, token in enumerate(draft.tokens) if token in T.ids), len(draft.tokens))
        assert one.prefix == " ".join(decode(tokenizer(), draft.tokens[:end]).split()[:3])
    assert any(one.prefix for one in found)


def test_the_judge_sees_the_recorded_past() -> None:
    seen: list[tuple[str, list[str], str]] = []

    def judge(row: Row, context: Sequence[Turn], prefix: str) -> bool | None:
        seen.append((row.id, [f"{t.speaker[0]}: {t.text}" for t in context], prefix))
        return False

    found = openings(path(), talks()[1:], judge)
    assert [context for _, context, _ in seen] == [["u: go left"], ["u: go left", "a: there"]]
    assert [one.reference for one in found] == ["there", "go"]
    assert [one.valid for one in found] == [False, False]


def test_own_starts_with_the_recorded_history_give_the_recorded_prefixes() -> None:
    conversations = talks()
    runs = [recorded_run(conversation) for conversation in conversations]
    own, recorded = openings(path(), conversations, yes, runs), openings(path(), conversations, yes)
    assert [one.model_copy(update={"at": "recorded"}) for one in own] == recorded
    assert {one.at for one in own} == {"own"}


def test_own_prefixes_follow_the_models_own_history() -> None:
    (conversation,) = talks()[1:]
    run = recorded_run(conversation)
    silent_K = np.where(np.arange(conversation.ticks) < 11, T.sil, conversation.ids_K)
    alone = Own("turn", 13, 1, (), 15, False)
    astray = Own("turn", 2, None, (), 4, False)
    found = openings(path(), [conversation], yes, [Run(silent_K, (astray, alone), run.recorded)])
    assert [(one.tick, one.reference) for one in found] == [(13, "go")], "a false start is nobody's answer"
    label_BK = torch.from_numpy(silent_K)[None]
    options = Drafting(stop=(), max_tokens=40)
    (draft,) = draft_at(path().duplex, conversation.speech_KD[None], label_BK, [Onset(0, 13)], options)
    end = next((n for n, token in enumerate(draft.tokens) if token in T.ids), len(draft.tokens))
    assert found[0].prefix == " ".join(decode(tokenizer(), draft.tokens[:end]).split()[:5])
    told = openings(path(), [conversation], yes, [Run(conversation.ids_K, (alone,), run.recorded)])
    assert told[0].prefix != found[0].prefix


def test_a_draft_ends_with_the_first_control_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """[HOD] cannot be spoken, and what a model says after it is no part of its answer."""
    (conversation,) = talks()[1:]
    go, there = encode(tokenizer(), "go there")
    real = opening_module.draft_at(
        path().duplex, conversation.speech_KD[None], torch.from_numpy(conversation.ids_K.copy())[None], [Onset(0, 5)]
    )[0]
    made = replace(real, tokens=(go, T.hod, there))
    monkeypatch.setattr(opening_module, "draft_at", lambda *_: [made, made])
    assert [one.prefix for one in openings(path(), [conversation], yes)] == ["go", "go"]


def test_the_recorded_words_are_the_ceiling() -> None:
    found = references(talks(), lambda row, context, prefix: prefix == "go left at the bridge")
    assert [(one.prefix, one.valid) for one in found] == [
        ("go left at the bridge", True),
        ("there", False),
        ("go", False),
    ]


@pytest.mark.parametrize("batch", [1, 16])
def test_the_batch_changes_nothing(batch: int) -> None:
    key = lambda one: (one.conversation, one.tick)  # noqa: E731
    assert sorted(openings(path(), talks(), yes, batch=batch), key=key) == sorted(
        openings(path(), talks(), yes, batch=2), key=key
    )


def test_validity_counts_what_was_judged() -> None:
    def one(conversation: str, prefix: str, valid: bool | None) -> Opening:
        place = {"at": "own", "tick": 1, "context": (), "reference": "go"}
        return Opening.model_validate({**place, "conversation": conversation, "prefix": prefix, "valid": valid})

    found = validity("own", [one("a", "go", True), one("a", "", False), one("b", "go", True), one("c", "go", None)])
    assert (found.judged, found.unjudged, found.empty) == (3, 1, 1)
    assert found.valid is not None
    assert found.valid.value == pytest.approx(2 / 3)
    assert found.valid.low < 2 / 3 < found.valid.high
    assert "| own | 66.7" in markdown([found])
    assert validity("own", []).valid is None
    assert "| own | - | 0 |" in markdown([validity("own", [])])
