"""Gemini's own: what is sent, what is counted, which settings matter, and a key that is never seen."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from datagen import kinds
from datagen.identity import digest
from datagen.kinds import Need
from datagen.llm import gemini
from tests.llm.fake_gemini import MODEL, Gemini, agree, error, model, prompt_of, said
from tests.llm.questions import KEY, Said, numbers, question, questions, read, right
from tests.llm.serving import answers


def sent(server: Gemini, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """The request for a question under some settings."""
    with answers(tmp_path) as kept:
        model(server, **changes).ask([question(3, temperature=0.5)], read, kept)
    return server.asked[-1]


def test_a_request_holds_everything_that_decides_the_answer(server: Gemini, tmp_path: Path) -> None:
    body = sent(server, tmp_path)
    assert body == {
        "systemInstruction": {"parts": [{"text": "You say numbers."}]},
        "contents": [{"role": "user", "parts": [{"text": "number 3"}]}],
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseJsonSchema": Said.model_json_schema(),
            "maxOutputTokens": 64,
            "seed": 3,
        },
    }


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ({"send_temperature": True}, {"temperature": 0.5, "seed": 3}),
        ({"send_seed": False}, {}),
        ({"thinking_level": "low"}, {"thinkingConfig": {"thinkingLevel": "LOW"}, "seed": 3}),
        ({"thinking_budget": 0}, {"thinkingConfig": {"thinkingBudget": 0}, "seed": 3}),
    ],
)
def test_settings_that_change_the_answer(
    server: Gemini, tmp_path: Path, setting: dict[str, Any], field: dict[str, Any]
) -> None:
    common = {"responseMimeType", "responseJsonSchema", "maxOutputTokens"}
    config = sent(server, tmp_path, **setting)["generationConfig"]
    if thinking := config.get("thinkingConfig"):  # the client spells what is in it with underscores, as Google allows
        config["thinkingConfig"] = {to_camel(name): value for name, value in thinking.items()}
    assert {name: value for name, value in config.items() if name not in common} == field
    assert digest(gemini.Config(**setting)) != digest(gemini.Config())


def test_there_is_room_for_thoughts_beside_the_answer(server: Gemini, tmp_path: Path) -> None:
    assert sent(server, tmp_path, thinking_room=1000)["generationConfig"]["maxOutputTokens"] == 1064
    assert gemini.Config().thinking_room == 8192
    assert digest(gemini.Config(thinking_room=1)) != digest(gemini.Config())


def test_settings_that_do_not(server: Gemini, tmp_path: Path) -> None:
    aside = {
        "base_url": "http://localhost:1",
        "key_env": "OTHER",
        "concurrency": 3,
        "timeout_s": 5,
        "attempts": 2,
        "first_wait_s": 2,
        "longest_wait_s": 9,
        "batch": True,
        "batch_poll_s": 1,
    }
    assert set(aside) == gemini.Config.aside
    assert digest(gemini.Config(**aside)) == digest(gemini.Config())


def test_tokens_are_counted_as_they_are_charged(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: said(right(prompt_of(body)), cachedContentTokenCount=80, thoughtsTokenCount=7)
    with answers(tmp_path) as kept:
        model(server).ask(questions(1), read, kept)
        (entry,) = kept.entries()
    assert (entry.model, entry.batch) == ("gemini-test-001", False)
    assert entry.usage.model_dump() == {"prompt_tokens": 100, "cached_tokens": 80, "output_tokens": 17}


def test_thoughts_are_no_part_of_the_answer(server: Gemini, tmp_path: Path) -> None:
    def talk(body: dict[str, Any], nth: int) -> Any:
        response = said(right(prompt_of(body)))
        response.content["candidates"][0]["content"]["parts"].insert(0, {"text": "Hm {", "thought": True})
        return response

    server.talk = talk
    with answers(tmp_path) as kept:
        assert model(server).ask(questions(1), read, kept) == numbers(1)
    assert len(server.asked) == 1


def test_a_missing_key_is_named_before_anything_is_sent(
    server: Gemini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    asker = model(server)
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match=r"export GEMINI_API_KEY=.*aistudio"):
        asker.ask(questions(3), read, kept)
    assert server.seen == []
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match="MY_KEY is not set"):
        model(server, key_env="MY_KEY").ask(questions(3), read, kept)
    with answers(tmp_path) as kept:
        assert asker.ask(questions(3), read, kept) == numbers(3)
    monkeypatch.delenv("GOOGLE_API_KEY")
    with answers(tmp_path) as kept:
        assert asker.ask(questions(3), read, kept) == numbers(3), "what is kept needs no key"


@pytest.mark.parametrize("echo", ["as an error", "as an answer", "as a refusal of the key"])
def test_the_key_is_seen_nowhere(
    server: Gemini, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, echo: str
) -> None:
    caplog.set_level(logging.DEBUG)
    if echo == "as an error":
        server.talk = lambda body, nth: error(400, "INVALID_ARGUMENT", f"I know {KEY}!", ErrorInfo={"reason": KEY})
    elif echo == "as an answer":
        server.talk = lambda body, nth: said(f"your key is {KEY}")
    else:
        server.key = "another"
    with answers(tmp_path) as kept:
        try:
            told = [str(found) for found in model(server).ask(questions(2), read, kept)]
        except PermissionError as refused:
            told = [str(refused), str(refused.__cause__)]
            assert "GEMINI_API_KEY" in told[0]
    files = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert (echo == "as an answer") == ("***" in files)
    assert server.seen[0].headers["x-goog-api-key"] == KEY
    assert KEY not in files + caplog.text + " ".join(told)
    assert len([s for s in server.seen if s.nth == 1]) == len(server.seen), "nothing of this passes"


def test_a_wrong_key_ends_the_call(server: Gemini, tmp_path: Path) -> None:
    server.key = "another"
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match="does not accept the key in GEMINI_API_KEY"):
        model(server, concurrency=1).ask(questions(9), read, kept)
    assert len(server.seen) == 1


def test_no_billing_or_a_wrong_country_ends_the_call(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: error(400, "FAILED_PRECONDITION", "User location is not supported")
    with answers(tmp_path) as kept, pytest.raises(PermissionError, match="User location is not supported"):
        model(server).ask(questions(9), read, kept)


def test_halves_of_characters_are_kept_as_question_marks(server: Gemini, tmp_path: Path) -> None:
    server.talk = lambda body, nth: said(right(prompt_of(body), "ab").replace("b", "\ud83d"))
    with answers(tmp_path) as kept:
        assert model(server).ask(questions(1), read, kept) == [Said(index=0, word="a?")]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"thinking_level": "low", "thinking_budget": 5}, "exclude each other"),
        ({"base_url": "localhost:8000"}, "give an address such as"),
        ({"base_url": "https://me:secret@host/"}, "must hold no key"),
        ({"base_url": "https://host/?key=secret"}, "must hold no key"),
        ({"key_env": KEY}, "key_env"),
        ({"first_wait_s": 5, "longest_wait_s": 1}, "longest_wait_s 1 is less than"),
        ({"concurrency": 0}, "concurrency"),
        ({"api_key": KEY}, "api_key"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        gemini.Config.model_validate({"kind": "gemini", **settings})


def test_it_is_a_kind() -> None:
    config = kinds.parse("llm", {"kind": "gemini"})
    assert isinstance(kinds.make("llm", config), gemini.Asker)
    assert gemini.revision(gemini.Config(model="gemini-x")) == "gemini-x"
    assert gemini.RESOURCES == {"API": 1}


def test_what_it_needs(server: Gemini, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**settings: Any) -> dict[str, str]:
        needs = list(gemini.needs(gemini.Config(**settings)))
        assert all(isinstance(need, Need) and need.remedy for need in needs)
        return {need.name: need.found for need in needs}

    package, key = "package google-genai", "key GEMINI_API_KEY"
    there = found()
    assert there.pop(package)
    assert there == {key: "GEMINI_API_KEY is set"}
    monkeypatch.delenv("GEMINI_API_KEY")
    assert found()[key] == ""
    assert found(base_url=server.url)[f"server {server.url}"] == "accepts connections"
    assert found(base_url="http://127.0.0.1:1")["server http://127.0.0.1:1"] == ""
    monkeypatch.setattr(gemini, "PACKAGE", "no-such-package")
    assert found()["package no-such-package"] == ""
    with pytest.raises(ValueError, match=r"kind gemini needs a package .* pip install 'duplexkit\[gemini\]'"):
        gemini.make(gemini.Config())


def test_answers_of_a_moving_name_keep_the_version(tmp_path: Path) -> None:
    with Gemini(agree) as server, answers(tmp_path) as kept:
        gemini.make(gemini.Config(model="gemini-latest", base_url=server.url)).ask(questions(1), read, kept)
        assert kept.entries()[0].model == f"gemini-latest ({MODEL}-001)"
