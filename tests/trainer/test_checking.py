"""Whether a dataset can be trained on is asked with the rules and the tokens that training would use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tiny import Tiny, built
from tests.trainer.tiny_preset import tiny
from trainer import checking
from trainer.data.audio import Reader
from trainer.data.index import open_index
from trainer.targets import Overflow, Rules, items_of, target
from trainer.tokens import ControlTokens, add_control_tokens, encode, train_tokenizer

__all__ = ["built"]


def reported(built: Tiny, patch: pytest.MonkeyPatch, **changes: Any) -> list[str]:
    patch.setattr(checking, "named", lambda _: tiny(**changes))
    return list(checking.report(str(built.out), "tiny"))


def overflow(built: Tiny, rules: Rules) -> Overflow:
    """Of the labels of all conversations of the training split."""
    index = open_index(str(built.out), "train")
    reader = Reader(index.folder)
    rows = [reader.row(index[number]) for number in range(len(index))]
    tokenizer = train_tokenizer((s.text_full for row in rows for s in row.segments), 300)
    tokens: ControlTokens = add_control_tokens(tokenizer)
    made = (target(items_of(row), row.num_samples, lambda t: encode(tokenizer, t), tokens, rules) for row in rows)
    return sum((one.overflow for one in made), Overflow())


@pytest.mark.parametrize("rules", [Rules(), Rules(mode="relays2s")])
def test_overflow_is_that_of_the_presets_rules(built: Tiny, monkeypatch: pytest.MonkeyPatch, rules: Rules) -> None:
    lines = reported(built, monkeypatch, rules=rules)
    assert [line.split(":")[0] for line in lines] == ["train", "labels of a tokenizer of 300", "validation", "test"]
    assert lines[1] == f"labels of a tokenizer of 300: {overflow(built, rules)}"
    assert overflow(built, rules) != overflow(built, Rules(mode="clean" if rules.mode == "relays2s" else "relays2s"))


def test_the_presets_end_of_text_must_be_a_token(built: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"eos: the tokenizer has no token '<\|end\|>'"):
        reported(built, monkeypatch, eos="<|end|>")
