"""Conversations on another clock: what is heard stays with its words, and everything is still said."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.rng import stream
from datagen.core.units import FRAME_SAMPLES
from tests.trainer.test_imagining import DIALOGUES, TOKENS, dialogue, encode
from trainer.data.loader import Example, Pick
from trainer.data.rows import Row
from trainer.losses import IGNORED
from trainer.stages.imagining import imagined
from trainer.stages.objectives import SPEECH
from trainer.stages.retiming import Retimed, Timings, retimed, timings_of
from trainer.stages.wording import worded
from trainer.targets import Rules, items_of, label_ticks, target

ROWS = st.builds(
    lambda told, seed, nods: imagined(told, encode, stream(seed, "d", "imagined"), nods),
    DIALOGUES,
    st.integers(0, 9),
    st.sampled_from([(), ("ab",)]),
)
TIMINGS = Timings(answers=[3_000, 5_000], replies=[-3_000, 8_000], overlaps=[6_400], cuts=[0.2, 0.6], cut_share=0.5)


def traced(row: Row) -> np.ndarray:
    """Vectors that say which tick they are."""
    return np.arange(label_ticks(row.num_samples), dtype=np.float32)[:, None]


@given(ROWS, st.integers(0, 99))
def test_words_keep_what_is_heard_of_them(row: Row, seed: int) -> None:
    told, heard_KD = retimed(row, traced(row), TIMINGS, np.random.default_rng(seed))
    assert len(heard_KD) == label_ticks(told.num_samples)
    source_K, label_K2, old_K2 = heard_KD[:, 0].astype(int), worded(told, encode, TOKENS), worded(row, encode, TOKENS)
    words = (label_K2[:, 0] < TOKENS.pad) & (label_K2[:, 0] != IGNORED)
    np.testing.assert_array_equal(label_K2[words], old_K2[source_K[words]])
    assert words.sum() == ((old_K2[:, 0] < TOKENS.pad) & (old_K2[:, 0] != IGNORED)).sum() - lost(row, told)


def lost(row: Row, told: Row) -> int:
    """Ticks of backchannels that found no place."""
    before, after = ([s for s in r.segments if s.kind != "turn"] for r in (row, told))
    return len(encode("ab")) * (len(before) - len(after))


@given(ROWS, st.integers(0, 99))
def test_all_turns_are_said_in_order_and_nobody_talks_over_himself(row: Row, seed: int) -> None:
    told, _ = retimed(row, traced(row), TIMINGS, np.random.default_rng(seed))
    texts = [[s.text_full for s in r.segments if s.kind == "turn"] for r in (row, told)]
    assert texts[0] == texts[1]
    for speaker in ("user", "assistant"):
        own = [s for s in told.segments if s.speaker == speaker]
        assert all(a.end <= b.start for a, b in pairwise(own))
    made = target(items_of(told), told.num_samples, encode, TOKENS, Rules(interrupted="written"))
    assert np.count_nonzero(made.ids_K == TOKENS.stp) == sum(s.yielded for s in told.segments)


def test_the_lots_are_drawn_again_in_every_epoch_and_the_same_for_the_same_one() -> None:
    row = imagined(dialogue(["abc " * 6, "abcdef " * 9] * 4), encode, stream(1, "d", "imagined"), ("ab",))

    class One:
        def __getitem__(self, pick: Pick) -> Example:
            return Example(pick, row, np.zeros(1, np.float32), None, {SPEECH: traced(row)})

    told = Retimed(One(), TIMINGS, seed=3)  # pyright: ignore[reportArgumentType]
    starts = {tuple(s.start for s in told[Pick(epoch, 0, 0)].row.segments) for epoch in range(12)}
    assert len(starts) > 6
    assert tuple(s.start for s in row.segments) in starts, "some stay as they were recorded"
    cuts = {tuple(s.yielded for s in told[Pick(epoch, 0, 0)].row.segments) for epoch in range(12)}
    assert len(cuts) > 3
    again = Retimed(One(), TIMINGS, seed=3)  # pyright: ignore[reportArgumentType]
    assert again[Pick(5, 0, 0)].row == told[Pick(5, 1, 0)].row


def test_timings_are_those_of_the_conversations() -> None:
    rows = [imagined(dialogue(["abc", "abcdef " * 9] * 5), encode, stream(n, "d", "imagined")) for n in range(20)]
    found = timings_of(rows)
    assert min(found.answers) >= 1.2 * FRAME_SAMPLES
    assert 1.2 <= np.median(found.answers) / FRAME_SAMPLES <= 2.5
    assert len(found.cuts) == sum(s.yielded for row in rows for s in row.segments) == len(found.overlaps)
    assert 0.1 < found.cut_share < 0.4
    assert all(0 < share < 1 for share in found.cuts)


def test_a_conversation_without_times_of_words_or_without_turns_stays_as_it_is() -> None:
    row = imagined(dialogue(["abc", "abcdef"]), encode, stream(1, "d", "imagined"))
    bare = row.model_copy(update={"segments": tuple(s.model_copy(update={"words": ()}) for s in row.segments)})
    nods = [s.model_copy(update={"kind": "backchannel"}) for s in row.segments if s.speaker == "user"]
    speech_KD = traced(row)
    for same in (bare, row.model_copy(update={"segments": tuple(nods)}), row.model_copy(update={"segments": ()})):
        assert retimed(same, speech_KD, TIMINGS, np.random.default_rng(1)) == (same, speech_KD)


def test_turns_of_one_side_in_a_row_keep_the_silence_between_them() -> None:
    row = imagined(dialogue(["abc", "abcdef", "ab cd", "ef"]), encode, stream(1, "d", "imagined"))
    own = tuple(s for s in row.segments if s.speaker == "user")
    told, _ = retimed(row.model_copy(update={"segments": own}), traced(row), TIMINGS, np.random.default_rng(1))
    gaps = [[b.start - a.end for a, b in pairwise(segments)] for segments in (own, told.segments)]
    np.testing.assert_allclose(gaps[0], gaps[1], atol=FRAME_SAMPLES / 2)
