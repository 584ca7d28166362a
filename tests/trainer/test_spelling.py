"""Letters on the clock: every word's letters in order within its time, silence elsewhere."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Speaker, Word
from trainer.data.rows import Row, Segment
from trainer.model.fastpath import LETTERS
from trainer.stages.spelling import FRAME, SILENT, spelt


def row(words: list[Word], speaker: Speaker = "user", frames: int = 100) -> Row:
    said = Segment(
        speaker=speaker,
        kind="turn",
        start=words[0].start,
        end=words[-1].end,
        text="x",
        text_full="x",
        words=tuple(words),
    )
    return Row(
        id="a", language="en", domain="d", source="s", profile="polite", num_samples=frames * FRAME, segments=(said,),
        events=(), user_voice="u", assistant_voice="v",
    )  # fmt: skip


def spoken(labels: list[int]) -> str:
    return "".join(LETTERS[n - 1] if n else "." for n in labels)


def test_letters_share_the_time_of_their_word() -> None:
    found = spelt(row([Word(text="Yes,", start=2 * FRAME, end=8 * FRAME)], frames=10))
    assert spoken(found.tolist()) == "..yyeess..."


def test_what_the_assistant_says_is_silence() -> None:
    found = spelt(row([Word(text="Yes", start=0, end=8 * FRAME)], "assistant"))
    assert not found.any()


def test_a_word_without_letters_is_silence_and_a_short_one_is_heard() -> None:
    words = [Word(text="42", start=0, end=4 * FRAME), Word(text="a", start=5 * FRAME, end=5 * FRAME + 10)]
    assert spoken(spelt(row(words, frames=8)).tolist()) == ".....a..."


@given(
    st.lists(
        st.tuples(st.text("abcxyz", min_size=1, max_size=9), st.integers(1, 9_000), st.integers(0, 4_000)), max_size=8
    )
)
def test_letters_come_in_order_within_their_words(drawn: list[tuple[str, int, int]]) -> None:
    words, at = [Word(text="b", start=0, end=FRAME)], FRAME
    for text, length, gap in drawn:
        words.append(Word(text=text, start=at + gap, end=at + gap + length))
        at += gap + length
    found = spelt(row(words, frames=at // FRAME + 3))
    assert found[(at + FRAME) // FRAME + 1 :].tolist() == [SILENT] * (len(found) - (at + FRAME) // FRAME - 1)
    for before, word, after in zip([None, *words], words, [*words[1:], None], strict=False):
        own = range(round(word.start / FRAME), round(word.end / FRAME))
        clear = [
            f
            for f in own
            if not (after and f >= round(after.start / FRAME)) and not (before and f < before.end / FRAME)
        ]
        heard = [LETTERS[n - 1] for n in found[clear] if n]
        runs = [a for a, b in pairwise([*heard, ""]) if a != b]
        rest = iter(word.text)
        assert all(any(letter == other for other in rest) for letter in runs), (word.text, runs)
