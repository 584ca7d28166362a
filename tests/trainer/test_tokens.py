"""Control tokens in real tokenizers."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tests.helpers import samples
from trainer.tokens import NAMES, ControlTokens, add_control_tokens, decode, encode, train_tokenizer

TEXTS = (
    "Sure, I have found a quiet table by the window at half past seven.",
    "Could you book a table for two at the little place near the harbour?",
    "Your playlist starts with Northern Window. What would you like to call it?",
)


def small(size: int = 400) -> PreTrainedTokenizerBase:
    return train_tokenizer(TEXTS, size)


def qwen() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(samples() / "tokenizer" / "qwen2")


@cache
def equipped() -> tuple[PreTrainedTokenizerBase, ControlTokens]:
    tokenizer = small()
    return tokenizer, add_control_tokens(tokenizer)


def test_qwen2_gets_the_ids_of_the_released_checkpoint():
    tokenizer = qwen()
    found = add_control_tokens(tokenizer, eos="<|endoftext|>")
    assert found.added == (151665, 151666, 151667, 151668, 151669, 151670)
    assert (found.eos, found.vocabulary) == (151643, 151671)
    assert tokenizer.convert_ids_to_tokens(list(found.added)) == ["[PAD]", "[BOS]", "[SIL]", "[BOC]", "[HOD]", "[STP]"]


def test_end_of_text_is_the_tokenizers_own_unless_another_is_named():
    assert add_control_tokens(qwen()).eos == 151645  # this copy calls <|im_end|> its eos


@pytest.mark.slow
def test_a_saved_tokenizer_is_found_again_with_its_end_of_text(tmp_path: Path):
    tokenizer = qwen()
    found = add_control_tokens(tokenizer, eos="<|endoftext|>")
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert add_control_tokens(again) == found
    assert len(again) == found.vocabulary


def test_a_second_call_adds_nothing():
    tokenizer = small()
    assert add_control_tokens(tokenizer) == add_control_tokens(tokenizer)


def test_tokens_added_later_do_not_hide_ours():
    tokenizer = small()
    found = add_control_tokens(tokenizer)
    tokenizer.add_tokens(["[LATER]"])
    again = add_control_tokens(tokenizer)
    assert again.ids == found.ids
    assert again.vocabulary == found.vocabulary + 1


@pytest.mark.parametrize("special", [True, False])
def test_a_tokenizer_that_owns_a_name_is_refused_with_the_remedy(special: bool):
    tokenizer = small()
    tokenizer.add_tokens(["[PAD]"], special_tokens=special)
    with pytest.raises(ValueError, match=r"already owns \[PAD\].*another name.*\[DUPLEX PAD\]"):
        add_control_tokens(tokenizer)
    found = add_control_tokens(tokenizer, names={**NAMES, "pad": "[DUPLEX PAD]"})
    assert tokenizer.convert_ids_to_tokens(found.pad) == "[DUPLEX PAD]"


def test_all_names_as_ordinary_tokens_are_not_ours():
    tokenizer = small()
    tokenizer.add_tokens(list(NAMES.values()), special_tokens=False)
    with pytest.raises(ValueError, match="already owns"):
        add_control_tokens(tokenizer)


def test_all_names_in_another_order_are_not_ours():
    tokenizer = small()
    tokenizer.add_tokens(sorted(NAMES.values(), reverse=True), special_tokens=True)
    with pytest.raises(ValueError, match="already owns"):
        add_control_tokens(tokenizer)


def test_no_end_of_text_is_refused_with_the_remedy():
    tokenizer = small()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match=r"no eos token.*eos="):
        add_control_tokens(tokenizer)
    with pytest.raises(ValueError, match="no token '<nowhere>'"):
        add_control_tokens(tokenizer, eos="<nowhere>")


@pytest.mark.parametrize("names", [{"pad": "[PAD]"}, {**NAMES, "pad": "[SIL]"}])
def test_incomplete_or_shared_names_are_refused(names: dict[str, str]):
    with pytest.raises(ValueError, match="names: need one token each"):
        add_control_tokens(small(), names=names)


PIECES = st.one_of(st.sampled_from([*NAMES.values(), "<|endoftext|>", " ", "table"]), st.text(max_size=5))


@given(st.lists(PIECES, max_size=6).map("".join))
def test_no_text_becomes_a_control_token_and_every_text_comes_back(text: str):
    tokenizer, tokens = equipped()
    ids = encode(tokenizer, text)
    assert not set(ids) & set(tokens.ids)
    assert decode(tokenizer, ids) == unicodedata.normalize("NFC", text)


def test_decoding_leaves_control_tokens_out():
    tokenizer, tokens = equipped()
    ids = encode(tokenizer, "a table")
    assert decode(tokenizer, [tokens.bos, *ids, tokens.eos, tokens.sil]) == "a table"


def test_training_does_not_depend_on_the_order_of_the_texts():
    assert train_tokenizer(TEXTS[::-1], 400).get_vocab() == small().get_vocab()


def test_more_tokens_make_shorter_labels():
    lengths = [sum(len(encode(small(size), text)) for text in TEXTS) for size in (260, 300, 350)]
    assert lengths[0] > lengths[1] > lengths[2]
    assert len(small(300)) == 300


def test_a_size_without_merges_and_empty_texts_are_refused():
    with pytest.raises(ValueError, match=r"size: 257 .* take 512"):
        train_tokenizer(TEXTS, 257)
    with pytest.raises(ValueError, match="nothing to train a tokenizer on"):
        train_tokenizer(["", " "], 400)


def test_ids_must_be_apart_and_inside_the_vocabulary():
    ids = {"pad": 0, "bos": 1, "sil": 2, "boc": 3, "hod": 4, "stp": 5, "eos": 6}
    with pytest.raises(ValidationError, match="share an id"):
        ControlTokens(**{**ids, "eos": 5}, vocabulary=9)
    with pytest.raises(ValidationError, match="outside the vocabulary of 6"):
        ControlTokens(**ids, vocabulary=6)
