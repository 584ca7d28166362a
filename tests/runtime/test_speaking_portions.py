"""Laws of gathering words: none is lost, none waits too long, and clauses stay together while there is time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.runtime.speaking._base import Pace
from trainer.runtime.speaking._portions import Gathering, clause_end

PACE = Pace(max_words=6, lead=0.1, patience=0.04)
WORDS = st.sampled_from(["a", "house,", "is", "done.", "-", "very", "big"])


def after_first(seconds: float, pause: float = 0.0) -> Gathering:
    """The first piece was given out at 0 and lasts so long."""
    return Gathering().said(round(16_000 * seconds), round(16_000 * pause), 0.0)


@pytest.mark.parametrize(
    ("word", "mark"), [("yes,", ","), ("yes", ""), ("“Yes.”", "."), ("3.5", ""), ("好。", "。"), ("...", "."), ("", "")]
)
def test_clause_end(word: str, mark: str) -> None:
    assert clause_end(word) == mark


def test_first_words_are_due_at_once_but_not_without_a_letter() -> None:
    assert Gathering().pushed("I think that", False, 5.0).due(PACE, 5.0) == 3
    assert Gathering().pushed("- ", False, 5.0).due(PACE, 99.0) == 0
    assert Gathering().pushed("-", True, 5.0).due(PACE, 5.0) == 1


@pytest.mark.parametrize(
    ("text", "last", "count"),
    [
        ("one two", False, 0),
        ("one two", True, 2),
        ("one two, three", False, 2),
        ("one two, three", True, 3),
        ("1 2 3 4 5 6", False, 6),
        ("1 2 3, 4 5 6 7 8", True, 3),
        ("1 2 3 4 5 6 7 8", True, 6),
    ],
)
def test_with_audio_ahead_words_wait_for_their_clause(text: str, last: bool, count: int) -> None:
    assert after_first(1.0).pushed(text, last, 0.2).due(PACE, 0.2) == count


def test_words_that_came_in_time_are_said_before_the_audio_and_its_pause_are_over() -> None:
    gathering = after_first(1.0).pushed("one two", False, 0.2)
    assert gathering.latest(PACE) == pytest.approx(0.9)
    assert (gathering.due(PACE, 0.89), gathering.due(PACE, 0.91)) == (0, 2)
    assert after_first(1.0, 0.3).pushed("one two", False, 0.2).latest(PACE) == pytest.approx(1.2)


@given(audio=st.floats(0, 3), came=st.floats(0, 6))
def test_no_word_waits_longer_than_patience_after_the_audio_ran_out(audio: float, came: float) -> None:
    gathering = after_first(audio).pushed("word", False, came)
    now = max(came, audio + PACE.patience) + 1e-3
    assert gathering.due(PACE, now) == 1


@given(
    pieces=st.lists(st.tuples(st.floats(0, 0.5), st.lists(WORDS, max_size=4)), max_size=20), speech=st.floats(0, 0.4)
)
def test_words_are_taken_in_order_and_all_of_them(pieces: list[tuple[float, list[str]]], speech: float) -> None:
    gathering, now, taken = Gathering(), 0.0, []
    pushed = [word for _, words in pieces for word in words]
    for wait, words in [*pieces, (0.0, None)]:
        now += wait
        gathering = gathering.pushed(" ".join(words or ()), words is None, now)
        while count := gathering.due(PACE, now):
            assert 0 < count <= PACE.max_words
            taken += gathering.waiting[:count]
            gathering = gathering.taken(count, now).said(round(16_000 * speech * count), 0, now)
    assert taken == pushed
    assert gathering.over


def test_silence_since_the_audio_ran_out_is_counted() -> None:
    gathering = after_first(1.0, 0.3)
    assert (Gathering().dry(9.0), gathering.dry(0.5), gathering.dry(1.25)) == (0, 0, 4_000)
