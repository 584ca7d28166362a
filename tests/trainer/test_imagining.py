"""Written dialogues as ticks: nothing of a text is lost, nobody speaks at once, and the ear's own vectors are heard."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.rng import stream
from datagen.core.types import Dialogue, Turn
from trainer.data.loader import Pick
from trainer.losses import IGNORED
from trainer.stages.imagining import Bank, Imagined, imagined
from trainer.stages.objectives import SPEECH
from trainer.stages.wording import worded
from trainer.targets import items_of, label_ticks, target
from trainer.tokens import ControlTokens

TOKENS = ControlTokens(pad=90, bos=91, sil=92, boc=93, hod=94, stp=95, eos=96, vocabulary=97)
CONTROLS = {*TOKENS.ids, TOKENS.hod, IGNORED}
TEXTS = st.lists(st.text(alphabet="abcdef", min_size=1, max_size=9), min_size=1, max_size=12).map(" ".join)


def encode(text: str) -> list[int]:
    """A token per two letters of a word, spaces left out."""
    return [ord(word[at]) % 80 for word in text.split() for at in range(0, len(word), 2)]


def dialogue(texts: list[str], opens: str = "user") -> Dialogue:
    speakers = ("user", "assistant") if opens == "user" else ("assistant", "user")
    turns = tuple(Turn(speaker=speakers[n % 2], text=text) for n, text in enumerate(texts))  # pyright: ignore[reportArgumentType]
    return Dialogue(id="d", language="en", domain="x", source="s", licence="CC0-1.0", turns=turns)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from(["user", "assistant"]), st.integers(0, 9))
def test_every_token_of_both_sides_is_there_in_order(texts: list[str], opens: str, seed: int) -> None:
    told = dialogue(texts, opens)
    row = imagined(told, encode, stream(seed, "d", "imagined"))
    made = target(items_of(row), row.num_samples, encode, TOKENS)
    said = [t for t in made.ids_K.tolist() if t not in CONTROLS]
    assert said == [t for turn in told.turns if turn.speaker == "assistant" for t in encode(turn.text)]
    assert made.overflow.lost_tokens == made.overflow.left_out == 0
    heard = [int(t) for tick in worded(row, encode, TOKENS) for t in tick if t not in CONTROLS]
    assert heard == [t for turn in told.turns if turn.speaker == "user" for t in encode(turn.text)]
    assert all(a.end < b.start for a, b in zip(row.segments, row.segments[1:], strict=False))


def test_the_same_draw_gives_the_same_row() -> None:
    told = dialogue(["ab cd, ef", "abc"])
    rows = [imagined(told, encode, stream(seed, "d", "imagined")) for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_a_label_is_heard_as_it_was_heard_somewhere() -> None:
    label_K2 = np.array([[3, IGNORED], [TOKENS.hod, IGNORED], [5, 6]])
    speech_KD = np.arange(12, dtype=np.float16).reshape(3, 4)
    bank = Bank([(label_K2, speech_KD)], TOKENS.hod)
    found_KD = bank.speech(np.array([[3, IGNORED], [7, IGNORED], [5, IGNORED]]), stream(0, "a", "b"))
    assert found_KD.tolist() == [list(speech_KD[0]), list(speech_KD[1]), list(speech_KD[1])], "two words are no word"


def test_an_epoch_hears_other_vectors_than_the_one_before() -> None:
    told = dialogue(["ab cd ef ab cd ef", "abc"])
    row = imagined(told, encode, stream(0, "d", "imagined"))
    label_K2 = worded(row, encode, TOKENS)
    rng = np.random.default_rng(0)
    bank = Bank(((label_K2, rng.normal(size=(len(label_K2), 4)).astype(np.float16)) for _ in range(9)), TOKENS.sil)
    heard = Imagined([row], bank, lambda row: worded(row, encode, TOKENS), seed=0)
    one, again, other = (heard[Pick(epoch, 0, 0)].targets[SPEECH] for epoch in (0, 0, 1))
    assert len(heard) == 1
    assert one.shape == (label_ticks(row.num_samples), 4)
    assert (one == again).all()
    assert (one != other).any()
