"""What is kept of a draft, and what is read back: the words, the steps that belong to them, the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from datagen.core.types import Turn
from tests.trainer.drafts import SIZE, drafts, stored
from tests.trainer.references import references
from trainer.model.drafting import Draft
from trainer.model.verifier import MAX_STEPS
from trainer.prefix_store import PrefixSet, read, read_prefixes, write_labels, write_shard, written
from trainer.prefixes import Occasion, Steps, cut, drafted, padded, prefix_of, steps_of

LIGHT = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def letters(text: str) -> list[int]:
    """A tokenizer: every character is a token."""
    return [ord(character) for character in text]


def some_steps(length: int, size: int = 4, seed: int = 0) -> Steps:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(length, size, generator=generator).half()
    return Steps(hidden, torch.randn(length, 3, generator=generator))


def occasion(**fields: object) -> Occasion:
    context = (Turn(speaker="user", text="Hello."),)
    given = {"id": "c1-t20", "conversation": "c1-p0", "user_voice": "u", "assistant_voice": "a", "context": context}
    return Occasion.model_validate(given | fields)


@given(st.text(max_size=60), st.integers(1, 8))
def test_a_prefix_is_the_first_words_with_single_spaces(response, words):
    text, num_tokens = prefix_of(response, letters, words)
    assert text.split() == response.split()[:words]
    assert "  " not in text
    assert num_tokens == len(text)


def test_the_tokens_are_those_of_the_prefix_not_of_the_draft():
    asked: list[str] = []

    def encode(text: str) -> list[int]:
        asked.append(text)
        return letters(text)

    assert prefix_of(" Sure,  I can\nhelp you with that", encode) == ("Sure, I can help you", 20)
    assert asked == ["Sure, I can help you"]
    assert prefix_of("  ", encode) == ("", 0)


@pytest.mark.parametrize("n", [0, 3, 7, 18])
def test_features_equal_the_reference(n):
    found = load_file(references() / "verifier_prepare_sample.safetensors")
    logged = Steps(found["hs_18"].half(), found["sc_18"])
    hidden_BLD, scalars_BL3, mask_BL = padded(cut(logged, n))
    assert torch.equal(hidden_BLD[0], found[f"hs_{n}"])
    assert torch.equal(scalars_BL3[0], found[f"sc_{n}"])
    assert torch.equal(mask_BL[0], found[f"mask_{n}"].bool())


@given(tokens=st.integers(0, 30), logged=st.integers(0, 20))
def test_steps_are_cut_to_the_prefix_the_log_and_fifteen(tokens, logged):
    steps = some_steps(logged)
    kept = cut(steps, tokens)
    length = min(tokens, logged, MAX_STEPS)
    assert kept.hidden_LD.shape == (length, 4)
    assert torch.equal(kept.scalars_L3, steps.scalars_L3[:length])


def test_a_draft_keeps_its_numbers():
    log = {"hidden_LD": np.ones((4, 6), np.float16), "top_ids": np.zeros((4, 2), np.int64)}
    top = np.array([[3.0, 1.0]] * 4, np.float16)
    entropy, chosen = np.full(4, 0.3, np.float32), np.full(4, -0.2, np.float32)
    steps = steps_of(Draft((1, 2, 3, 4), False, log["hidden_LD"], log["top_ids"], top, top, entropy, chosen))
    assert steps.hidden_LD.dtype == torch.float16
    torch.testing.assert_close(steps.scalars_L3, torch.tensor([[0.3, -0.2, 2.0]] * 4))


def test_a_draft_becomes_a_record():
    record = drafted(occasion(words=3, fold=2), "I can see it", letters, some_steps(20))
    assert (record.prefix.text, record.prefix.num_tokens, record.prefix.steps) == ("I can see", 9, 9)
    assert (record.prefix.fold, record.prefix.label, record.prefix.dialogue) == (2, None, "c1")
    assert record.prefix.features == record.steps.digest
    empty = drafted(occasion(), "", letters, some_steps(1))
    assert (empty.prefix.text, empty.prefix.steps) == ("", 0)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_model_that_has_diverged_is_refused(wrong):
    steps = some_steps(5)
    steps.hidden_LD[2, 1] = wrong
    with pytest.raises(ValueError, match="'c1-t20' has features that are no numbers"):
        drafted(occasion(), "yes, of course", letters, steps)
    assert drafted(occasion(), "ye", letters, steps).prefix.steps == 2, "what is cut off does not matter"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "one two three four five six"}, "6 words, 5 were asked"),
        ({"steps": 9, "num_tokens": 3}, "9 steps for 3 tokens"),
        ({"label": 1, "judge": ""}, "belong together"),
        ({"steps": 16, "num_tokens": 16}, "less than or equal to 15"),
    ],
)
def test_impossible_records_are_refused(change, said):
    prefix = drafted(occasion(), "yes", letters, some_steps(3)).prefix
    with pytest.raises(ValueError, match=said):
        type(prefix).model_validate(prefix.model_dump() | change)


def test_steps_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must be \(L, D\)"):
        Steps(torch.zeros(3, 4), torch.zeros(2, 3))


@LIGHT
@given(count=st.integers(1, 30), shard_size=st.integers(1, 12), seed=st.integers(0, 5))
def test_what_is_written_is_read(tmp_path_factory, count, shard_size, seed):
    folder = tmp_path_factory.mktemp("prefixes")
    records, _ = drafts(count, "c", seed=seed)
    for shard, start in enumerate(range(0, count, shard_size)):
        write_shard(folder, shard, records[start : start + shard_size])
    found = list(read(folder))
    assert [r.prefix for r in found] == [r.prefix for r in records]
    for one, other in zip(found, records, strict=True):
        assert torch.equal(one.steps.hidden_LD, other.steps.hidden_LD)
        assert torch.equal(one.steps.scalars_L3, other.steps.scalars_L3)


@LIGHT
@given(data=st.data(), shard_size=st.integers(3, 40))
def test_a_batch_is_the_records_it_asks_for(tmp_path_factory, data, shard_size):
    records, _ = drafts(40, "c")
    prefixes = stored(tmp_path_factory.mktemp("batch"), records, shard_size)
    chosen = data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=10))
    batch = prefixes.batch(chosen)
    assert batch.hidden_BLD.shape == (len(chosen), max(records[i].prefix.steps for i in chosen), SIZE)
    for row, index in enumerate(chosen):
        steps = records[index].steps
        assert torch.equal(batch.hidden_BLD[row][batch.mask_BL[row]], steps.hidden_LD)
        assert torch.equal(batch.scalars_BL3[row][batch.mask_BL[row]], steps.scalars_L3)
        assert batch.hidden_BLD[row][~batch.mask_BL[row]].abs().sum() == 0
        assert prefixes.labels[index] == bool(records[index].prefix.label)
        assert prefixes.ids[index] == records[index].prefix.id


def unlabelled(record_id: str, response: str):
    return drafted(occasion(id=record_id), response, letters, some_steps(12, SIZE))


def test_labels_are_added_and_the_rest_is_left_out_and_counted(tmp_path: Path):
    write_shard(
        tmp_path, 0, [unlabelled("a", "yes"), unlabelled("b", ""), unlabelled("c", "no"), unlabelled("d", "so")]
    )
    with pytest.raises(ValueError, match="4 have no label and 0 no steps"):
        PrefixSet([tmp_path])
    assert write_labels(tmp_path, 0, {"a": True, "b": False}, "one") == 2
    assert write_labels(tmp_path, 0, {"c": False}, "two") == 3
    assert [(p.label, p.judge) for p in read_prefixes(tmp_path, 0)] == [(1, "one"), (0, "one"), (0, "two"), (None, "")]
    prefixes = PrefixSet([tmp_path])
    assert (prefixes.ids, prefixes.labels.tolist()) == (["a", "c"], [True, False])
    assert (prefixes.unlabelled, prefixes.empty, prefixes.judges) == (1, 1, {"one", "two"})
    assert PrefixSet([tmp_path], lambda p: p.judge == "two").ids == ["c"]
    assert torch.equal(prefixes.batch([1]).hidden_BLD[0], unlabelled("c", "no").steps.hidden_LD), "b takes no place"


def test_a_shard_without_its_lines_does_not_count(tmp_path: Path):
    records, _ = drafts(20, "c")
    stored(tmp_path, records, 10)
    assert written(tmp_path) == [0, 1]
    (tmp_path / "prefixes-00001.jsonl").unlink()
    assert written(tmp_path) == [0]
    assert len(list(read(tmp_path))) == 10


def test_old_lines_do_not_meet_new_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    records, _ = drafts(20, "c")
    write_shard(tmp_path, 0, records[:10])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.prefix_store._write_lines", killed)
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 0, records[10:])
    assert written(tmp_path) == []


def test_tensors_that_changed_are_found(tmp_path: Path):
    records, _ = drafts(6, "c")
    other, _ = drafts(6, "c", seed=1)
    write_shard(tmp_path / "one", 0, records)
    write_shard(tmp_path / "two", 0, other)
    tensors = tmp_path / "two" / "prefixes-00000.safetensors"
    tensors.replace(tmp_path / "one" / "prefixes-00000.safetensors")
    with pytest.raises(ValueError, match="'c00000' in shard 0 changed"):
        list(read(tmp_path / "one"))


def test_the_fingerprint_follows_what_training_depends_on(tmp_path: Path):
    records, _ = drafts(20, "c")
    one, same = stored(tmp_path / "one", records, 7).fingerprint, stored(tmp_path / "two", records, 20).fingerprint
    assert one == same, "shards are no part of it"
    assert stored(tmp_path / "three", records[:19]).fingerprint != one
    flipped = not records[0].prefix.label
    write_labels(tmp_path / "one", 0, {records[0].prefix.id: flipped}, "other")
    assert PrefixSet([tmp_path / "one"]).fingerprint != one


def test_hidden_sizes_are_not_mixed(tmp_path: Path):
    small = drafted(occasion(id="s"), "yes", letters, some_steps(3, 4))
    large = drafted(occasion(id="l"), "yes", letters, some_steps(3, 5))
    with pytest.raises(ValueError, match=r"hidden sizes \[4, 5\]"):
        write_shard(tmp_path, 0, [small, large])
    for shard, record in enumerate([small, large]):
        write_shard(tmp_path, shard, [record])
        write_labels(tmp_path, shard, {record.prefix.id: True}, "judge")
    with pytest.raises(ValueError, match="hidden size 5 in shard 1, 4 before"):
        PrefixSet([tmp_path])


def test_a_line_that_is_none_is_named(tmp_path: Path):
    stored(tmp_path, drafts(3, "c")[0])
    with (tmp_path / "prefixes-00000.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match=r"prefixes-00000\.jsonl, line 4"):
        PrefixSet([tmp_path])
