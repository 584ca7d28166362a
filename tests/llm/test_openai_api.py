"""The backend for OpenAI-compatible servers, through the real openai client against a local server."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen import kinds
from datagen.identity import digest
from datagen.llm import openai_api
from tests.llm.fake_openai import MODEL, OpenAi, agree, error, model, prompt_of, said
from tests.llm.questions import KEY, Said, numbers, question, questions, read, right
from tests.llm.serving import Response, answers


@pytest.fixture
def chat() -> Iterator[OpenAi]:
    with OpenAi() as serving:
        yield serving


def test_answers_come_in_order_once_and_within_the_bound(chat: OpenAi, tmp_path: Path) -> None:
    chat.talk = lambda body, nth: Response(agree(body, nth).content, after_s=0.01)
    for _ in range(2):
        with answers(tmp_path) as kept:
            assert model(chat, concurrency=4).ask(questions(30), read, kept) == numbers(30)
    assert len(chat.asked) == 30
    assert chat.busiest == 4


def test_a_request_holds_everything_that_decides_the_answer(chat: OpenAi, tmp_path: Path) -> None:
    with answers(tmp_path) as kept:
        model(chat).ask([question(3, temperature=0.5)], read, kept)
        (entry,) = kept.entries()
    assert chat.asked == [
        {
            "model": MODEL,
            "messages": [{"role": "system", "content": "You say numbers."}, {"role": "user", "content": "number 3"}],
            "max_completion_tokens": 64,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": Said.model_json_schema()},
            },
            "seed": 3,
            "temperature": 0.5,
        }
    ]
    assert entry.model == MODEL
    assert entry.usage.model_dump() == {"prompt_tokens": 100, "cached_tokens": 80, "output_tokens": 15}


@pytest.mark.parametrize(
    ("setting", "gone", "there"),
    [
        ({"structured": "json_object"}, set(), {"response_format": {"type": "json_object"}}),
        ({"structured": "none"}, {"response_format"}, {}),
        ({"tokens_field": "max_tokens"}, {"max_completion_tokens"}, {"max_tokens": 64}),
        ({"thinking_room": 1000}, set(), {"max_completion_tokens": 1064}),
        ({"send_seed": False, "send_temperature": False}, {"seed", "temperature"}, {}),
        ({"extra": {"reasoning_effort": "low"}}, set(), {"reasoning_effort": "low"}),
    ],
)
def test_settings_for_other_servers(
    chat: OpenAi, tmp_path: Path, setting: dict[str, Any], gone: set[str], there: dict[str, Any]
) -> None:
    with answers(tmp_path) as kept:
        assert model(chat, **setting).ask(questions(1), read, kept) == numbers(1)
    body = chat.asked[0]
    assert not gone & set(body)
    assert body | there == body
    told = body["messages"][0]["content"]
    assert ('"properties"' in told) == ("structured" in setting), "a schema that is not sent is told"
    assert digest(openai_api.Config(model=MODEL, **setting)) != digest(openai_api.Config(model=MODEL))


FAULTS = {
    "408": error(408),
    "429": error(429, "slow down", "rate_limit_exceeded"),
    "500": error(500),
    "502": Response(b"<html>Bad Gateway</html>", 502, {"Content-Type": "text/html"}),
    "503": error(503),
    "drop": Response(failure="drop"),
    "cut": Response({"choices": []}, failure="cut"),
    "hang": Response(failure="hang"),
    "page": Response(b"<html>Log in to the network</html>", headers={"Content-Type": "text/html"}),
    "nothing": Response({"object": "chat.completion", "model": MODEL, "choices": None}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_may_pass_is_tried_again(chat: OpenAi, tmp_path: Path, name: str) -> None:
    chat.talk = lambda body, nth: FAULTS[name] if nth == 1 else agree(body, nth)
    with answers(tmp_path) as kept:
        assert model(chat, timeout_s=0.3 if name == "hang" else 5).ask(questions(4), read, kept) == numbers(4)
    assert len(chat.asked) == 8


def test_the_server_says_how_long_to_wait(chat: OpenAi, tmp_path: Path) -> None:
    times: list[float] = []

    def talk(body: dict[str, Any], nth: int) -> Response:
        times.append(time.monotonic())
        return Response({}, 429, {"Retry-After": "0.3"}) if nth == 1 else agree(body, nth)

    chat.talk = talk
    with answers(tmp_path) as kept:
        model(chat, longest_wait_s=1).ask(questions(1), read, kept)
    assert 0.3 <= times[1] - times[0] < 1


def test_a_cut_answer_gets_more_room_and_a_wrong_one_a_repair(chat: OpenAi, tmp_path: Path) -> None:
    def talk(body: dict[str, Any], nth: int) -> Response:
        if body["max_completion_tokens"] == 64:
            return said('{"index', "length")
        return said("what?") if len(body["messages"]) == 2 else agree(body, nth)

    chat.talk = talk
    for _ in range(2):
        with answers(tmp_path) as kept:
            assert model(chat).ask(questions(1), read, kept) == numbers(1)
    assert [b["max_completion_tokens"] for b in chat.asked] == [64, 128, 128]
    assert [m["role"] for m in chat.asked[2]["messages"]] == ["system", "user", "assistant", "user"]
    assert "Invalid JSON" in chat.asked[2]["messages"][3]["content"]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (said(None, refusal="I will not"), "refusal"),
        (said("half", "content_filter"), "content_filter"),
        (said(None), "empty answer"),
    ],
)
def test_a_refusal_is_final(chat: OpenAi, tmp_path: Path, response: Response, why: str) -> None:
    chat.talk = lambda body, nth: response
    with answers(tmp_path) as kept:
        (refused,) = model(chat).ask(questions(1), read, kept)
    assert str(refused) == f"refused by the model ({why})"
    assert len(chat.asked) == 1


def test_thoughts_before_an_answer_are_no_part_of_it(chat: OpenAi, tmp_path: Path) -> None:
    chat.talk = lambda body, nth: said(f"<think>{{maybe}}</think>\n{right(prompt_of(body))}")
    with answers(tmp_path) as kept:
        assert model(chat).ask(questions(1), read, kept) == numbers(1)


@pytest.mark.parametrize(
    ("status", "code", "match"),
    [
        (401, None, "does not accept the key in OPENAI_API_KEY"),
        (403, None, "does not accept the key in OPENAI_API_KEY"),
        (402, None, "does not accept the key in OPENAI_API_KEY"),
        (429, "insufficient_quota", "no money left"),
    ],
)
def test_a_key_that_does_not_do_ends_the_call(
    chat: OpenAi, tmp_path: Path, status: int, code: str | None, match: str
) -> None:
    chat.talk = lambda body, nth: error(status, f"bad key {KEY}", code)
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match=match) as told:
        model(chat, concurrency=1).ask(questions(9), read, kept)
    assert len(chat.asked) == 1
    assert KEY not in str(told.value)


def test_the_key_is_seen_nowhere(chat: OpenAi, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {0: said(f"your key is {KEY}"), 1: error(400, f"I know {KEY}"), 2: said(None, refusal=KEY)}
    chat.talk = lambda body, nth: echo[int(prompt_of(body).split()[-1])]
    with answers(tmp_path) as kept:
        told = [str(found) for found in model(chat).ask(questions(3), read, kept)]
    files = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "***" in files
    assert "I know ***" in told[1]
    assert KEY not in files + caplog.text + " ".join(told)
    assert chat.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_local_server_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with OpenAi(key="none") as chat, answers(tmp_path) as kept:
        assert model(chat).ask(questions(2), read, kept) == numbers(2)
    away = openai_api.make(openai_api.Config(model="m", base_url="https://llm.example.com/v1", key_env="MY_KEY"))
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match="MY_KEY is not set; export MY_KEY="):
        away.ask(questions(2), read, kept)


@pytest.mark.parametrize("value", ["two words", "ünicode", "a\x07b"])
def test_a_key_that_is_none_is_not_sent(
    chat: OpenAi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match="OPENAI_API_KEY holds characters") as told:
        model(chat).ask(questions(1), read, kept)
    assert value not in str(told.value)
    assert chat.seen == []


def test_a_server_that_is_not_there_ends_the_call(tmp_path: Path) -> None:
    with OpenAi() as chat:
        pass
    with answers(tmp_path) as kept, pytest.raises(OSError, match="cannot be used: 2 attempts failed"):
        model(chat, attempts=2).ask(questions(1), read, kept)


def test_it_is_a_kind(chat: OpenAi, monkeypatch: pytest.MonkeyPatch) -> None:
    config = kinds.parse("llm", {"kind": "openai_api", "model": "gpt"})
    assert isinstance(kinds.make("llm", config), openai_api.Asker)
    assert isinstance(config, openai_api.Config)
    assert (openai_api.revision(config), openai_api.RESOURCES) == ("gpt", {"API": 1})
    assert [n.name for n in openai_api.needs(config)] == ["package openai", "key OPENAI_API_KEY"]
    local = openai_api.Config(model="m", base_url=f"{chat.url}/v1")
    assert [(n.name, bool(n.found)) for n in openai_api.needs(local)] == [
        ("package openai", True),
        (f"server {chat.url}/v1", True),
    ]
    monkeypatch.setattr(openai_api, "PACKAGE", "no-such-package")
    with pytest.raises(ValueError, match=r"pip install 'duplexkit\[openai\]'"):
        openai_api.make(local)
