"""Control tokens in any Hugging Face tokenizer, found by name, and a small tokenizer for the embedded preset.

    [PAD] no label       [BOS] the assistant takes the floor     [SIL] nothing to say
    [BOC] a backchannel  [HOD] the text is out, its speech is still heard
    [STP] the assistant stops because the user cut in            [EOS] end of the text (the tokenizer's own)

Importing this module costs no torch: labels (``trainer.targets``) need only the ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from datagen.core.types import Strict

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES: Mapping[str, str] = {
    "pad": "[PAD]",
    "bos": "[BOS]",
    "sil": "[SIL]",
    "boc": "[BOC]",
    "hod": "[HOD]",
    "stp": "[STP]",
}
"""Role to token, in the order in which they are added: the one of the released RelayS2S checkpoint, whose ids fit."""
BYTES = 256
"""Every byte is a token of a byte-level tokenizer: no text is unknown to it."""
END_OF_TEXT = "<|endoftext|>"
MAX_TRANSCRIPT = 128
"""Tokens of a user segment that the transcription stage learns, [BOS] included (public code)."""


class ControlTokens(Strict):
    """The ids of the control tokens in one tokenizer."""

    pad: int = Field(ge=0)
    bos: int = Field(ge=0)
    sil: int = Field(ge=0)
    boc: int = Field(ge=0)
    hod: int = Field(ge=0)
    stp: int = Field(ge=0)
    eos: int = Field(ge=0)
    vocabulary: int = Field(gt=0)
    """Rows that embedding and head must have: every token of the tokenizer, control tokens included."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if len(set(self.ids)) < len(self.ids):
            raise ValueError(f"control tokens share an id: {self.ids}")
        if max(self.ids) >= self.vocabulary:
            raise ValueError(f"a control token lies outside the vocabulary of {self.vocabulary}: {self.ids}")
        return self

    @property
    def ids(self) -> tuple[int, ...]:
        """All seven, [EOS] last."""
        return (*self.added, self.eos)

    @property
    def added(self) -> tuple[int, ...]:
        """The six that no tokenizer brings along, in the order of ``NAMES``."""
        return (self.pad, self.bos, self.sil, self.boc, self.hod, self.stp)


def add_control_tokens(
    tokenizer: PreTrainedTokenizerBase, *, eos: str | None = None, names: Mapping[str, str] = NAMES
) -> ControlTokens:
    """Adds the control tokens to ``tokenizer`` (in place) and returns their ids; a second call finds them again.

    Args:
        tokenizer: any Hugging Face tokenizer.
        eos: the token that ends a text, where it is not the tokenizer's own ``eos_token``. It becomes that, so that a
            saved copy of the tokenizer knows. Checkpoints of RelayS2S use ``<|endoftext|>`` of Qwen2.5-0.5B (base).
        names: role to token, for tokenizers that own one of the names already.

    Raises:
        ValueError: the tokenizer owns one of the names as a token of its own, or has no end-of-text token.
    """
    if set(names) != set(NAMES) or len(set(names.values())) < len(NAMES):
        raise ValueError(f"names: need one token each for {', '.join(NAMES)}, got {dict(names)}")
    if eos is not None:
        if eos not in tokenizer.get_vocab():
            raise ValueError(f"eos: the tokenizer has no token {eos!r}; name one of its own")
        tokenizer.eos_token = eos
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer has no eos token; name the one that ends a text, e.g. eos={END_OF_TEXT!r}")
    wanted = [names[role] for role in NAMES]
    if not _ours(tokenizer, wanted):
        owned = sorted(set(wanted) & set(tokenizer.get_vocab()))
        if owned:
            role = next(r for r, name in names.items() if name == owned[0])
            raise ValueError(
                f"the tokenizer already owns {', '.join(owned)}; give the control token another name, "
                f"e.g. names={{**NAMES, {role!r}: '[DUPLEX {role.upper()}]'}}"
            )
        tokenizer.add_tokens(wanted, special_tokens=True)
    ids = tokenizer.get_vocab()
    found = {role: ids[names[role]] for role in NAMES}
    return ControlTokens(**found, eos=ids[str(tokenizer.eos_token)], vocabulary=max(ids.values()) + 1)


def _ours(tokenizer: PreTrainedTokenizerBase, wanted: Sequence[str]) -> bool:
    """Whether all the names are there as added in one go: special tokens with consecutive ids, in order."""
    added = {token.content: at for at, token in tokenizer.added_tokens_decoder.items() if token.special}
    if not all(name in added for name in wanted):
        return False
    first = added[wanted[0]]
    return [added[name] for name in wanted] == list(range(first, first + len(wanted)))


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of a text: nothing put before or after, and "[SIL]" written in a text is five ordinary characters."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> str:
    """The text of ids, control tokens and the tokenizer's other special tokens left out."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer trained on ``texts``, its end-of-text token included, control tokens not.

    Args:
        texts: what the assistant and the user say; the order does not matter.
        size: most tokens it may have; fewer where the texts have no more repeated pieces.

    Raises:
        ValueError: ``size`` leaves no room for a single merge, or there is no text.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if size <= BYTES + 1:
        raise ValueError(f"size: {size} tokens leave no room beside the {BYTES} bytes and {END_OF_TEXT}; take 512")
    lines = sorted(text for text in texts if text.strip())
    if not lines:
        raise ValueError("texts: nothing to train a tokenizer on; the dataset's segments have no text")
    model = Tokenizer(models.BPE())
    model.normalizer = normalizers.NFC()
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=model, eos_token=END_OF_TEXT)
