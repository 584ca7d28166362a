"""The slow paths without a server: the grammar, the simulated one, and what all of them share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Dialogue, Turn
from trainer.runtime import backends
from trainer.runtime.answering._base import SlowPathError, Waiting, patient
from trainer.runtime.answering._cleaning import Cleaner
from trainer.runtime.answering._nearest import rest_after, spelled


def made(kind: str, replies: Any = None, **raw: Any) -> Any:
    parts = {} if replies is None else {"replies": replies}
    return backends.make("answering", backends.parse("answering", {"kind": kind, **raw}), **parts)


def answered(answerer: Any, history: Sequence[Turn], user: str, prefix: str) -> list[str]:
    async def run() -> list[str]:
        return [piece async for piece in answerer.answer(history, user, prefix)]

    return asyncio.run(run())


@pytest.fixture(scope="module")
def grammar() -> Any:
    return made("grammar")


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    source = kinds.make("sources", kinds.parse("sources", {"kind": "grammar"}))
    return [d for d in source.read(5_000, 5_006, 7) if isinstance(d, Dialogue)]


def turns_of(dialogues: Sequence[Dialogue]) -> list[tuple[tuple[Turn, ...], str, str]]:
    """Every user's turn that is answered: the history, its text, the answer."""
    return [
        (d.turns[: n - 1], d.turns[n - 1].text, d.turns[n].text)
        for d in dialogues
        for n in range(1, len(d.turns))
        if d.turns[n].speaker == "assistant"
    ]


@pytest.mark.parametrize("words", [0, 3, 5])
def test_the_grammar_goes_on_from_exactly_the_prefix(grammar: Any, dialogues: list[Dialogue], words: int) -> None:
    source = kinds.make("sources", kinds.parse("sources", {"kind": "grammar"}))
    for history, user, answer in turns_of(dialogues):
        prefix = " ".join(answer.split()[:words])
        rest = " ".join(grammar.words(history[-8:], user, prefix))
        context = [*history[-8:], Turn(speaker="user", text=user)]
        assert source.judge_context(context, f"{prefix} {rest}").valid, (prefix, rest)


def test_the_grammar_speaks_word_by_word_and_always_the_same(grammar: Any, dialogues: list[Dialogue]) -> None:
    history, user, answer = turns_of(dialogues)[1]
    prefix = " ".join(answer.split()[:2])
    pieces = answered(grammar, history, user, prefix)
    assert all(len(piece.split()) == 1 and piece.endswith(" ") for piece in pieces)
    assert pieces == answered(grammar, history, user, prefix)
    assert "".join(pieces).split() == grammar.words(history, user, prefix)
    assert {tuple(made("grammar", seed=s).words((), user, "")) for s in range(6)} != {tuple(pieces)}


@pytest.mark.parametrize(
    ("heard", "about"), [("uh could you play same jazz for me", "jazz"), ("turn off lights in kitchen", "kitchen")]
)
def test_the_grammar_answers_what_is_nearest(grammar: Any, heard: str, about: str) -> None:
    assert about in " ".join(grammar.words((), heard, "")).casefold()


@pytest.mark.parametrize("heard", ["", "…", "purple xylophone elephants", "\x00\n", "la " * 2000])
def test_the_grammar_asks_again_where_nothing_was_understood(grammar: Any, heard: str) -> None:
    assert "orry" in " ".join(grammar.words((), heard, ""))
    assert grammar.words((), heard, "Well, I suppose")


def test_the_grammar_answers_after_words_that_are_not_its_own(grammar: Any) -> None:
    words = grammar.words((), "Set a timer for ten minutes.", "Purple elephants are")
    assert "ten minutes" in " ".join(words).casefold()


def test_the_grammar_asks_again_in_its_language() -> None:
    words = made("grammar", grammar="es", dialogues=50).words((), "xyz", "")
    assert "¿" in " ".join(words)
    assert made("grammar", again="Como?", dialogues=50).words((), "xyz", "") == ["Como?"]


@given(st.lists(st.sampled_from(["Sure,", "it's", "twenty-five", "Um", "OK.", "no"]), max_size=8), st.integers(0, 8))
def test_the_rest_is_what_follows(words: list[str], count: int) -> None:
    assert rest_after(" ".join(words[:count]).upper(), " ".join(words)) == words[count:]


def test_recorded_replies_are_as_late_as_asked() -> None:
    slow = made("simulated", {"hi": "Well hello there you."}, first_ms=120, per_word_ms=30)

    async def run() -> list[tuple[str, float]]:
        began = time.monotonic()
        return [(piece, time.monotonic() - began) async for piece in slow.answer((), "hi", "Well, hello")]

    said = asyncio.run(run())
    assert [piece for piece, _ in said] == ["there ", "you. "]
    assert said[0][1] > 0.115
    assert said[1][1] > 0.145


def test_recorded_replies_may_be_a_function_and_may_lack() -> None:
    def replies(history: Sequence[Turn], user: str, prefix: str) -> str | None:
        return f"{len(history)} {user}" if user else None

    quick = made("simulated", replies, first_ms=0, per_word_ms=0, answering={"kind": "grammar", "dialogues": 50})
    assert answered(quick, (), "you", "other words") == ["0 ", "you "]
    assert "orry" in "".join(answered(quick, (), "", ""))
    with pytest.raises(SlowPathError, match="no answer was recorded"):
        answered(made("simulated", {}), (), "you", "")


def test_what_is_wrapped_ends_with_the_wrapper() -> None:
    slow = made("simulated", first_ms=5000, answering={"kind": "grammar", "dialogues": 50})

    async def run() -> float:
        waiting = asyncio.create_task(anext(slow.answer((), "hello", "")))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        waiting.cancel()
        await asyncio.wait({waiting})
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return time.monotonic() - began

    assert asyncio.run(run()) < 4


class Backend:
    """Does as it is told: pieces, pauses in seconds, errors; notes that it was closed."""

    def __init__(self, *steps: str | float | Exception) -> None:
        self.steps, self.begun, self.closed = steps, 0, 0

    async def answer(self) -> AsyncGenerator[str, None]:
        self.begun += 1
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.closed += 1


def waited(backend: Backend, room: int = 100, attempts: int = 1) -> list[str]:
    async def run() -> list[str]:
        waiting = Waiting(kind="x", first_ms=500, between_ms=100)
        async with aclosing(patient(backend.answer, waiting, room, attempts)) as pieces:
            return [piece async for piece in pieces]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((9.0,), "no answer within 500 ms"),
        (("", 9.0), "no answer within 500 ms"),
        (("a", 9.0), "nothing for 100 ms"),
        ((TimeoutError("of its own"),), "TimeoutError"),
        ((KeyError("sk-123"),), "the slow path broke: KeyError$"),
        (("a", SlowPathError("said so", again=True)), "^said so$"),
    ],
)
def test_whatever_happens_is_one_kind_of_error(steps: tuple[Any, ...], words: str) -> None:
    backend = Backend(*steps)
    with pytest.raises(SlowPathError, match=words):
        waited(backend, attempts=3)
    assert (backend.begun, backend.closed) == (1, 1)


def test_attempts_end_with_the_time_for_the_first_word() -> None:
    backend = Backend(SlowPathError("busy", again=True))
    with pytest.raises(SlowPathError, match="busy"):
        waited(backend, attempts=9)
    assert 1 <= backend.begun == backend.closed < 4


@given(st.lists(st.text("ab ", max_size=6), max_size=8), st.integers(0, 30))
@settings(max_examples=50, deadline=None)
def test_an_answer_that_is_too_long_ends_at_a_word(pieces: list[str], room: int) -> None:
    said, whole = "".join(waited(Backend(*pieces), room)), "".join(pieces)
    assert whole.startswith(said)
    assert len(said) <= room or said == whole
    assert said == whole or len(whole) > room


MARKED = st.lists(st.sampled_from(["<think>", "</think>", "Assistant:", "as", " ", "**Hi**", "\n", "so", "<", "\x07"]))


@given(MARKED, st.lists(st.integers(0, 60)))
def test_cleaning_does_not_depend_on_the_cut(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    places = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    cleaner, whole = Cleaner(), Cleaner()
    pieces = [cleaner.push(text[a:b]) for a, b in pairwise(places)]
    assert "".join([*pieces, cleaner.end()]) == whole.push(text) + whole.end()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("<think>Hm.</think>\n\nYes.", "Yes."),
        ("<think>never done", ""),
        ("assistant: Yes.", " Yes."),
        ("<think></think>Assistant: **Yes**\x00", " Yes "),
        ("assist", "assist"),
        (" plain * `x`", " plain  x"),
    ],
)
def test_only_what_can_be_said_is_left(raw: str, said: str) -> None:
    cleaner = Cleaner()
    assert cleaner.push(raw) + cleaner.end() == said


def test_spelling_ignores_case_and_marks() -> None:
    assert spelled("¡Hola!") == "hola"
    assert partial(rest_after, "well")("Well, well.") == ["well."]
