"""What ends a question, and what ends a call, through the real google-genai client: nothing that was paid is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from datagen.answers import Budget
from datagen.core.prices import Prices
from datagen.faults import BudgetReached
from datagen.llm._service import Refused, Unanswered
from tests.llm.fake_gemini import MODEL, Gemini, agree, error, model, number
from tests.llm.questions import Said, numbers, question, questions, read
from tests.llm.serving import Response, answers, wait_until


def test_what_the_service_refuses_is_that_questions_failure(server: Gemini, tmp_path: Path) -> None:
    bad = error(400, "INVALID_ARGUMENT", "schema too deep")
    server.talk = lambda body, nth: bad if number(body) == 1 else agree(body, nth)
    with answers(tmp_path) as kept:
        first, refused, last = model(server).ask(questions(3), read, kept)
    assert [first, last] == [Said(index=0, word="yes"), Said(index=2, word="yes")]
    assert isinstance(refused, ValueError)
    assert "HTTP 400: schema too deep" in str(refused)
    assert len(server.asked) == 3


def test_settings_that_the_service_refuses_end_the_call(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(400, "INVALID_ARGUMENT", "no such thinking level")
    with answers(tmp_path) as kept, pytest.raises(OSError, match=r"no such thinking level.*check model and settings"):
        model(server, concurrency=1).ask(questions(9), read, kept)
    assert len(server.asked) == 3


def test_one_answer_shows_that_the_settings_are_right(server: Gemini, tmp_path: Path) -> None:
    bad = error(400, "INVALID_ARGUMENT", "too long")
    server.talk = lambda body, nth: bad if number(body) else agree(body, nth)
    for _ in range(2):  # the second time by a new process, from the kept answer
        with answers(tmp_path) as kept:
            first, *refused = model(server, concurrency=1).ask(questions(6), read, kept)
        assert first == Said(index=0, word="yes")
        assert [type(found) for found in refused] == [Refused] * 5


def test_a_question_that_always_fails_is_given_up_alone(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(500, "INTERNAL") if number(body) == 1 else agree(body, nth)
    with answers(tmp_path) as kept:
        found = model(server, attempts=3).ask(questions(9), read, kept)
    assert isinstance(found.pop(1), ValueError)
    assert [f.index for f in found if isinstance(f, Said)] == [0, *range(2, 9)]
    assert len(server.asked) == 11


def test_answers_in_between_show_that_the_service_is_there(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(500, "INTERNAL") if number(body) % 2 else agree(body, nth)
    asker = model(server, attempts=1)
    for n in range(0, 10, 2):
        with answers(tmp_path) as kept:
            found = asker.ask([question(n), question(n + 1)], read, kept)
        assert [type(f) for f in found] == [Said, Unanswered]


def test_a_service_that_is_gone_ends_the_call(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(503, "UNAVAILABLE", "overloaded")
    asker = model(server, attempts=2, concurrency=2)
    with answers(tmp_path) as kept, pytest.raises(OSError, match=r"cannot be used: 2 attempts failed.*overloaded"):
        asker.ask(questions(100), read, kept)
    assert len(server.asked) <= 12
    with answers(tmp_path) as kept, pytest.raises(OSError, match="cannot be used"):
        asker.ask(questions(1), read, kept)
    server.talk = agree
    with answers(tmp_path) as kept:
        assert asker.ask(questions(3), read, kept) == numbers(3)


def test_a_server_that_is_not_there_ends_the_call(tmp_path: Path) -> None:
    with Gemini() as server:
        pass
    with answers(tmp_path) as kept, pytest.raises(OSError, match=r"cannot be used: 2 attempts failed.*Connect"):
        model(server, attempts=2).ask(questions(1), read, kept)


def test_an_unknown_model_ends_the_call(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(404, "NOT_FOUND", "no such model")
    with answers(tmp_path) as kept, pytest.raises(OSError, match=r"no model 'gemini-test' at http.*no such model"):
        model(server).ask(questions(30), read, kept)


def dollars(amount: float) -> Budget:
    """A budget where each answer of the fake costs a tenth of a cent, and may cost up to a little more."""
    prices = {"date": "2026-11-01", "models": {MODEL: {"input": 0, "output": 1000 / 15, "source": "a test"}}}
    return Budget(usd=amount, prices=Prices.model_validate(prices))


def test_a_budget_ends_the_call_and_loses_nothing(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: Response(agree(body, nth).content, after_s=0.02)
    with answers(tmp_path, dollars(0.05)) as kept, pytest.raises(BudgetReached, match=r"raise budget\.usd"):
        model(server, concurrency=8).ask(questions(100), read, kept)
    with answers(tmp_path) as kept:
        paid = len(kept.entries())
        prices = dollars(1).prices
        assert sum(prices.of(e.model).usd(e.usage, e.batch) for e in kept.entries()) == pytest.approx(0.001 * paid)
    assert paid == len(server.delivered) == len(server.asked)
    assert 10 < paid <= 50
    with answers(tmp_path, dollars(1)) as kept:
        assert model(server).ask(questions(100), read, kept) == numbers(100)
    assert len(server.asked) == 100


def test_a_model_without_a_price_is_not_asked(server: Gemini, tmp_path: Path) -> None:
    budget = Budget(usd=1, prices=Prices.model_validate({"date": "2026-11-01", "models": {}}))
    with answers(tmp_path, budget) as kept, pytest.raises(ValueError, match="no price for model 'gemini-test'"):
        model(server).ask(questions(3), read, kept)
    assert server.seen == []


def test_an_interrupted_call_keeps_what_was_on_its_way(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: Response(agree(body, nth).content, after_s=0.2)

    def interrupt() -> None:
        wait_until(lambda: server.busy == 4 and len(server.delivered) >= 4)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with answers(tmp_path) as kept, pytest.raises(KeyboardInterrupt):
        model(server, concurrency=4).ask(questions(40), read, kept)
    with answers(tmp_path) as kept:
        assert len(kept.entries()) == len(server.delivered) == len(server.asked) >= 8
        assert model(server).ask(questions(40), read, kept) == numbers(40)
    assert len(server.asked) == 40
