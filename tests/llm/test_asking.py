"""The engine, through the real google-genai client against a local server that fails in every way a service does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.llm import gemini
from datagen.llm._asking import back_off
from datagen.llm._service import Passing
from tests.llm.fake_gemini import Gemini, agree, blocked, error, model, number, prompt_of, said, too_many
from tests.llm.questions import Said, numbers, question, questions, read, right
from tests.llm.serving import Response, answers


def test_results_come_in_the_order_of_the_questions_and_are_never_asked_for_twice(
    server: Gemini, tmp_path: Path
) -> None:
    server.talk = lambda body, nth: Response(agree(body, nth).content, after_s=0.002 * (number(body) % 7))
    for _ in range(2):
        with answers(tmp_path) as kept:
            assert model(server).ask(questions(40), read, kept) == numbers(40)
    assert len(server.asked) == 40


def test_equal_questions_are_asked_once(server: Gemini, tmp_path: Path) -> None:
    with answers(tmp_path) as kept:
        found = model(server).ask([question(3, id=f"r{n}") for n in range(9)], read, kept)
    assert found == [Said(index=3, word="yes")] * 9
    assert len(server.asked) == 1


def test_the_seed_makes_another_question_even_where_it_is_not_sent(server: Gemini, tmp_path: Path) -> None:
    asks = [question(3), question(3, seed=4, prompt=question(3).prompt)]
    with answers(tmp_path) as kept:
        model(server, send_seed=False).ask(asks, lambda _, text: text, kept)
    assert len(server.asked) == 2
    assert server.asked[0] == server.asked[1]


FAULTS = {
    "429": too_many("0.01s"),
    "408": error(408, "REQUEST_TIMEOUT"),
    "500": error(500, "INTERNAL"),
    "502": Response(b"<html>Bad Gateway</html>", 502, {"Content-Type": "text/html"}),
    "503": error(503, "UNAVAILABLE"),
    "504": error(504, "DEADLINE_EXCEEDED"),
    "drop": Response(failure="drop"),
    "cut": Response({"candidates": []}, failure="cut"),
    "page": Response(b"<html>Log in to the network</html>"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_may_pass_is_tried_again(server: Gemini, tmp_path: Path, name: str) -> None:
    server.talk = lambda body, nth: FAULTS[name] if nth < 3 else agree(body, nth)
    with answers(tmp_path) as kept:
        assert model(server).ask(questions(5), read, kept) == numbers(5)
        assert len(kept.entries()) == 5
    assert len(server.asked) == 15


@pytest.mark.parametrize("failure", ["hang", "drip"])
def test_a_request_that_takes_too_long_is_made_again(
    server: Gemini, tmp_path: Path, failure: Literal["hang", "drip"]
) -> None:
    slow = Response(b" " * 1000, failure=failure)
    server.talk = lambda body, nth: slow if nth == 1 else agree(body, nth)
    with answers(tmp_path) as kept:
        assert model(server, timeout_s=0.2).ask(questions(5), read, kept) == numbers(5)
    assert len(server.asked) == 10


@pytest.mark.parametrize("response", [too_many("0.4s"), Response({}, 503, {"Retry-After": "0.4"})])
def test_the_server_says_how_long_to_wait(server: Gemini, tmp_path: Path, response: Response) -> None:
    times: list[float] = []

    def talk(body: dict[str, Any], nth: int) -> Response:
        times.append(time.monotonic())
        return response if nth == 1 else agree(body, nth)

    server.talk = talk
    with answers(tmp_path) as kept:
        assert model(server, longest_wait_s=1).ask(questions(1), read, kept) == numbers(1)
    assert 0.4 <= times[1] - times[0] < 1


def test_a_limit_holds_everybody_back(server: Gemini, tmp_path: Path) -> None:
    times: list[float] = []

    def talk(body: dict[str, Any], nth: int) -> Response:
        times.append(time.monotonic())
        return too_many("0.5s") if len(times) <= 3 else agree(body, nth)

    server.talk = talk
    with answers(tmp_path) as kept:
        assert model(server, concurrency=1, longest_wait_s=1).ask(questions(5), read, kept) == numbers(5)
    assert times[2] - times[0] < 0.4, "one refusal holds only its own question back"
    assert times[3] - times[2] >= 0.45, "three in a row hold everybody back"


@given(st.integers(1, 2000), st.floats(0, 1e9), st.floats(0.001, 100), st.floats(1, 100))
def test_waits_grow_and_are_bounded(attempt: int, asked: float, first: float, factor: float) -> None:
    config = gemini.Config(first_wait_s=first, longest_wait_s=first * factor)
    wait = back_off(config, "k", attempt, Passing("", asked))
    assert wait == back_off(config, "k", attempt, Passing("", asked))
    doubled = min(first * factor, first * 2.0 ** min(attempt - 1, 500))
    assert doubled / 2 <= wait <= first * factor
    assert wait >= min(asked, first * factor)
    assert wait <= max(asked, doubled)


def test_no_more_requests_than_allowed_are_on_their_way_and_no_fewer(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: Response(agree(body, nth).content, after_s=0.03)
    with answers(tmp_path) as kept:
        model(server, concurrency=5).ask(questions(60), read, kept)
    assert server.busiest == 5


def test_a_question_that_waits_holds_nobody_back(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(500, "INTERNAL") if number(body) == 0 and nth == 1 else agree(body, nth)
    with answers(tmp_path) as kept:
        found = model(server, concurrency=1, first_wait_s=1, longest_wait_s=1).ask(questions(8), read, kept)
    assert found == numbers(8)
    came = [number(body) for body in server.asked]
    assert sorted(came) == [0, *range(8)]
    assert came[-1] == 0


def test_a_cut_answer_is_asked_for_again_with_more_room(server: Gemini, tmp_path: Path) -> None:
    def talk(body: dict[str, Any], nth: int) -> Response:
        room = body["generationConfig"]["maxOutputTokens"]
        return agree(body, nth) if room > 64 and number(body) == 0 else said('{"index": 0, "wo', "MAX_TOKENS")

    server.talk = talk
    for _ in range(2):
        with answers(tmp_path) as kept:
            whole, cut = model(server).ask(questions(2), read, kept)
        assert whole == Said(index=0, word="yes")
        assert "cut short, even with room for 128 tokens" in str(cut)
    assert sorted(b["generationConfig"]["maxOutputTokens"] for b in server.asked) == [64, 64, 128, 128]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (said("", "SAFETY"), "SAFETY"),
        (said("half a", "RECITATION"), "RECITATION"),
        (said(" "), "empty answer"),
        (blocked("PROHIBITED_CONTENT"), "PROHIBITED_CONTENT"),
        (Response({}), "no candidate"),
    ],
)
def test_a_refusal_is_final(server: Gemini, tmp_path: Path, response: Response, why: str) -> None:
    server.talk = lambda body, nth: response
    for _ in range(2):
        with answers(tmp_path) as kept:
            (refused,) = model(server).ask(questions(1), read, kept)
        assert isinstance(refused, ValueError)
        assert str(refused) == f"refused by the model ({why})"
    assert len(server.asked) == 1


def test_a_fence_around_an_answer_costs_nothing(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: said(f"Here it is:\n```json\n{right(prompt_of(body))}\n```\nBye!")
    with answers(tmp_path) as kept:
        assert model(server).ask(questions(3), read, kept) == numbers(3)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("bad", "objection"),
    [('{"index": 0,', "Invalid JSON"), ('{"index": 7, "word": "x"}', "not the number"), ('{"index": 0}', "word")],
)
def test_a_wrong_answer_is_repaired_once(server: Gemini, tmp_path: Path, bad: str, objection: str) -> None:
    server.talk = lambda body, nth: said(bad) if len(body["contents"]) == 1 else agree(body, nth)
    for _ in range(2):
        with answers(tmp_path) as kept:
            assert model(server).ask(questions(1), read, kept) == numbers(1)
    first, repair = server.asked
    assert [c["role"] for c in repair["contents"]] == ["user", "model", "user"]
    assert repair["contents"][0] == first["contents"][0]
    assert repair["contents"][1]["parts"][0]["text"] == bad
    assert objection in repair["contents"][2]["parts"][0]["text"]


def test_an_answer_that_stays_wrong_is_reported(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: said('{"index": 7, "word": "x"}')
    for _ in range(2):
        with answers(tmp_path) as kept:
            (wrong,) = model(server).ask(questions(1), read, kept)
            assert len(kept.entries()) == 2
        assert str(wrong) == "index: 7 is not the number asked for; after one repair"
    assert len(server.asked) == 2


def test_a_repair_that_is_refused_is_reported(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: said("no JSON") if len(body["contents"]) == 1 else said("", "SAFETY")
    with answers(tmp_path) as kept:
        (wrong,) = model(server).ask(questions(1), read, kept)
    assert str(wrong) == "refused by the model (SAFETY); after one repair"
