"""The history that the model is fed has the shape of the labels it learned from."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from trainer.runtime.following import Following
from trainer.tokens import ControlTokens

T = ControlTokens(eos=0, pad=1, bos=2, sil=3, boc=4, hod=5, stp=6, vocabulary=100)
TEXT = list(range(10, 20))


def emitted(following: Following, ticks: int) -> list[int]:
    return [following.emit() for _ in range(ticks)]


def test_a_turn_is_its_opener_its_words_the_end_of_text_and_the_held_floor() -> None:
    following = Following(T)
    assert following.emit() == T.sil
    following.begin("bos")
    following.write(TEXT[:3], last=True)
    assert emitted(following, 7) == [T.bos, *TEXT[:3], T.eos, T.hod, T.hod]
    following.over()
    assert emitted(following, 2) == [T.sil, T.sil]


def test_a_stop_is_one_token_and_silence_after_it() -> None:
    following = Following(T)
    following.begin("bos")
    following.write(TEXT)
    assert emitted(following, 2) == [T.bos, TEXT[0]]
    following.stop()
    assert emitted(following, 3) == [T.stp, T.sil, T.sil]
    following.stop()
    assert following.emit() == T.sil


def test_a_model_without_hold_is_fed_silence() -> None:
    following = Following(T, hold=False)
    following.begin("boc")
    following.write((), last=True)
    assert emitted(following, 4) == [T.boc, T.eos, T.sil, T.sil]


@given(st.lists(st.sampled_from(["begin", "write", "last", "stop", "over", "emit"]), max_size=40))
def test_any_order_of_calls_gives_turns_that_parse(calls: list[str]) -> None:
    following, found = Following(T), []
    words = itertools.count(10)
    for call in calls:
        match call:
            case "begin":
                following.over()
                following.begin("bos")
            case "write":
                following.write([next(words)])
            case "last":
                following.write((), last=True)
            case "stop":
                following.stop()
            case "over":
                following.over()
            case "emit":
                found.append(following.emit())
    following.over()
    found += emitted(following, 30)
    text = [token for token in found if token >= 10]
    assert text == sorted(set(text)), "words are emitted once, in order"
    assert found[-1] == T.sil
