"""The user's words by tick."""

from __future__ import annotations

import torch

from datagen.core.types import Word
from datagen.core.units import FRAME_SAMPLES
from trainer.data.rows import Row, Segment
from trainer.losses import IGNORED
from trainer.stages.wording import worded, worded_loss
from trainer.tokens import ControlTokens

TOKENS = ControlTokens(pad=90, bos=91, sil=92, boc=93, hod=94, stp=95, eos=96, vocabulary=97)


def encode(text: str) -> list[int]:
    """A token per two letters."""
    assert text.startswith(" ")
    return [ord(text[at]) % 80 for at in range(1, len(text), 2)]


def row(kind: str) -> Row:
    words = (Word(text="go,", start=2 * FRAME_SAMPLES, end=3 * FRAME_SAMPLES),)
    words += (Word(text="left.", start=4 * FRAME_SAMPLES, end=7 * FRAME_SAMPLES),)
    said = Segment(
        speaker="user",
        kind=kind,  # pyright: ignore[reportArgumentType]
        start=words[0].start,
        end=words[-1].end,
        text="Go, left.",
        text_full="Go, left.",
        words=words,
    )
    return Row(
        id="a",
        language="en",
        domain="d",
        source="s",
        profile="p",
        num_samples=12 * FRAME_SAMPLES,
        segments=(said,),
        events=(),
        user_voice="u",
        assistant_voice="v",
    )


def test_tokens_lie_where_they_end_and_silence_says_whether_the_turn_is_over() -> None:
    go, (le, ft) = encode(" go"), encode(" left")
    label_K2 = worded(row("turn"), encode, TOKENS)
    sil, hod, eos = TOKENS.sil, TOKENS.hod, TOKENS.eos
    assert label_K2[:, 0].tolist() == [sil, sil, hod, *go, hod, hod, le, ft, eos, eos, sil, sil]
    assert (label_K2[:, 1] == IGNORED).all()


def test_a_backchannel_sounds_otherwise_before_its_words_are_over_and_ends_otherwise() -> None:
    found_K2 = worded(row("backchannel"), encode, TOKENS)
    assert found_K2[8:10, 0].tolist() == [TOKENS.boc] * 2
    assert TOKENS.hod not in found_K2
    assert found_K2[4, 0] == TOKENS.boc


def test_each_of_a_ticks_labels_counts() -> None:
    logits_BKV = torch.zeros(1, 2, 97)
    label_BK2 = torch.tensor([[[3, IGNORED], [4, 5]]])
    assert torch.allclose(worded_loss(logits_BKV, label_BK2), torch.tensor(97.0).log())
    logits_BKV[0, 1, 4] = 50.0
    assert worded_loss(logits_BKV, label_BK2) > 10
