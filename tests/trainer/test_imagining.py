"""Written dialogues as ticks: nothing of a text is lost, nobody speaks at once, and the ear's own vectors are heard."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.rng import stream
from datagen.core.types import Dialogue, Turn
from datagen.core.units import FRAME_SAMPLES
from trainer.data.loader import Pick
from trainer.losses import IGNORED
from trainer.stages.imagining import Bank, Imagined, imagined
from trainer.stages.objectives import SPEECH
from trainer.stages.wording import worded
from trainer.targets import Rules, items_of, label_ticks, target
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


DIALOGUES = st.builds(
    dialogue,
    st.lists(TEXTS, min_size=1, max_size=6),
    st.sampled_from(["user", "assistant"]),
)


@given(DIALOGUES, st.integers(0, 9), st.sampled_from([(), ("ab",)]))
def test_every_token_of_the_user_is_heard_in_order(told: Dialogue, seed: int, nods: tuple[str, ...]) -> None:
    row = imagined(told, encode, stream(seed, "d", "imagined"), nods)
    heard = [int(t) for tick in worded(row, encode, TOKENS) for t in tick if t not in CONTROLS]
    spoken = [s for s in row.segments if s.speaker == "user"]
    assert heard == [t for segment in spoken for t in encode(segment.text)]
    turns = [s.text for s in row.segments if s.kind == "turn"]
    assert turns == [turn.text for turn in told.turns], "a turn comes after the one before, whoever cuts in"


@given(DIALOGUES, st.integers(0, 9), st.sampled_from([(), ("ab",)]))
def test_the_assistant_says_all_of_its_turns_or_stops_for_the_user(
    told: Dialogue, seed: int, nods: tuple[str, ...]
) -> None:
    row = imagined(told, encode, stream(seed, "d", "imagined"), nods)
    ids = target(items_of(row), row.num_samples, encode, TOKENS, Rules(interrupted="written")).ids_K.tolist()
    own = [s for s in row.segments if s.speaker == "assistant"]
    assert ids.count(TOKENS.bos) == len(own)
    assert ids.count(TOKENS.stp) == sum(s.yielded for s in own)
    for segment in own:
        start = segment.start // FRAME_SAMPLES
        said = ids[start + 1 : start + 1 + len(encode(segment.text))]
        assert segment.yielded or said == encode(segment.text)
        others = [s for s in row.segments if s.speaker == "user" and s.start < segment.end and segment.start < s.end]
        assert {s.kind for s in others} <= ({"turn"} if segment.yielded else {"backchannel"})


def test_both_happen() -> None:
    told = dialogue(["ab cd ef gh " * 4, "ab cd ef gh " * 4] * 3)
    rows = [imagined(told, encode, stream(seed, "d", "imagined"), ["ab"]) for seed in range(20)]
    assert any(s.yielded for row in rows for s in row.segments)
    assert any(s.kind == "backchannel" for row in rows for s in row.segments)


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
