"""The slow paths behind a server: what is sent, what comes back, and every way it can break."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from datagen.core.types import Turn
from tests.runtime.dialects import GEMINI, KEY, OPENAI, Dialect
from tests.runtime.sse import Reply, Sse
from trainer.runtime import backends
from trainer.runtime.answering._base import SlowPathError

pytest.importorskip("openai")
pytest.importorskip("google.genai")

HISTORY = (
    Turn(speaker="assistant", text="Hello there."),
    Turn(speaker="user", text="Hi."),
    Turn(speaker="assistant", text="How can I help?"),
)
BOTH = pytest.mark.parametrize("dialect", [OPENAI, GEMINI], ids=lambda d: d.kind)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


@pytest.fixture(scope="module", autouse=True)
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each new client reads the certificates of all authorities, though the servers here speak plain HTTP."""
    import certifi

    with open(certifi.where(), encoding="utf-8") as every:
        first, end, _ = every.read().partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


def talk(
    dialect: Dialect,
    reply: Callable[[dict[str, Any], int], Reply],
    do: Callable[[Any, Sse], Awaitable[Any]],
    **raw: Any,
) -> tuple[Any, Sse]:
    """Runs ``do`` with a slow path at a server; afterwards no task is left, and no request under way."""

    async def run() -> tuple[Any, Sse]:
        async with Sse(reply) as server:
            answerer = dialect.answerer(server.url, **raw)
            try:
                result = await do(answerer, server)
                await server.left()
            finally:
                await answerer.aclose()
            await asyncio.sleep(0.02)
            tasks = {t for t in asyncio.all_tasks() if "_serve" not in repr(t)} - {asyncio.current_task()}
            assert tasks == set()
            return result, server

    return asyncio.run(run())


async def whole(answerer: Any, server: Sse, prefix: str = "") -> str:
    return "".join([piece async for piece in answerer.answer(HISTORY, "Is it late?", prefix)])


async def failing(answerer: Any, server: Sse) -> tuple[str, float, list[str]]:
    """The reason, how long it took, and what was said before."""
    began, said = time.monotonic(), []
    try:
        async for piece in answerer.answer(HISTORY, "Is it late?", ""):
            said.append(piece)
    except SlowPathError as error:
        return str(error), time.monotonic() - began, said
    raise AssertionError(f"it answered: {said}")


@BOTH
def test_pieces_come_as_they_are_made(dialect: Dialect) -> None:
    heard = asyncio.Event()

    async def do(answerer: Any, server: Sse) -> list[str]:
        said = []
        async for piece in answerer.answer(HISTORY, "Is it late?", ""):
            said.append(piece)
            heard.set()  # the server goes on only now
        return said

    steps = (dialect.piece("It is "), heard, dialect.piece("nine."), dialect.piece(None, dialect.stop), *dialect.after)
    said, _ = talk(dialect, lambda body, nth: Reply(steps), do)
    assert said == ["It is ", "nine."]


@BOTH
def test_the_conversation_is_told_without_a_prefix(dialect: Dialect) -> None:
    text, server = talk(dialect, lambda body, nth: dialect.said("**It** is", "\nnine."), whole)
    assert text == "It is nine."
    sent = str(server.bodies[0])
    assert "Hello there." not in sent, "templates want the user first"
    told = ["Hi.", "How can I help?", "Is it late?"]
    assert sorted(told, key=sent.index) == told


@BOTH
def test_a_model_that_cannot_be_forced_is_told_to_go_on(dialect: Dialect) -> None:
    text, server = talk(
        dialect, lambda body, nth: dialect.said("Assistant: it ", "is nine."), lambda a, s: whole(a, s, "Well, I think")
    )
    assert text.split() == ["it", "is", "nine."]
    sent = str(server.bodies[0])
    assert "Assistant: How can I help?" in sent
    assert "User: Is it late?" in sent
    assert sent.count("Well, I think") == 1


def test_a_server_that_can_is_made_to_go_on() -> None:
    _, server = talk(
        OPENAI, lambda body, nth: OPENAI.said(" it is"), lambda a, s: whole(a, s, "Well,"), continue_message=True
    )
    body = server.bodies[0]
    assert body["messages"][-2:] == [
        {"role": "user", "content": "Is it late?"},
        {"role": "assistant", "content": "Well,"},
    ]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_nothing_is_forced_where_nothing_was_said() -> None:
    _, server = talk(OPENAI, lambda body, nth: OPENAI.said("It is"), whole, continue_message=True, extra={"top_k": 1})
    assert server.bodies[0]["messages"][-1]["role"] == "user"
    assert "continue_final_message" not in server.bodies[0]
    assert server.bodies[0]["top_k"] == 1


FAULTS: dict[str, tuple[Callable[[Dialect], Reply], str]] = {
    "hangs": (lambda d: Reply(("hang",)), "no answer within 300 ms"),
    "hangs before the headers": (lambda d: Reply(("hang",), status=0), "no answer within 300 ms"),
    "hangs in the middle": (lambda d: Reply((d.piece("It "), "hang")), "nothing for 100 ms"),
    "dies in the middle": (lambda d: Reply((d.piece("It "), "reset")), ""),
    "breaks off": (lambda d: Reply((d.piece("It "),)), "broke off"),
    "says nothing at all": (lambda d: Reply(()), "broke off"),
    "is a web page": (lambda d: Reply((b"<html>\n<p>Log in, please.\n",), type="text/html"), ""),
    "is half a word of JSON": (lambda d: Reply((b'data: {"cand\n\n',)), ""),
    "refuses": (lambda d: Reply((d.piece(None, d.blocked), *d.after)), "refused by the model"),
    "is busy": (lambda d: d.error(503, "try later"), "503"),
    "does not know the model": (lambda d: d.error(404, "no such model"), "404"),
    "does not like the key": (lambda d: d.error(401, f"wrong key {KEY}"), "401"),
    "does not like the request": (lambda d: d.error(400, "what?"), "400"),
}


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_with_its_reason(dialect: Dialect, fault: str) -> None:
    reply, words = FAULTS[fault]
    patience = {"first_ms": 300} if "300 ms" in words else {"between_ms": 100} if "100 ms" in words else {}
    (reason, seconds, said), _ = talk(dialect, lambda body, nth: reply(dialect), failing, **patience)
    assert words in reason
    assert KEY not in reason
    assert "\n" not in reason
    assert seconds < 5
    assert said == (["It "] if "middle" in fault or fault == "breaks off" else [])


@BOTH
def test_a_passing_fault_before_the_first_word_is_tried_again(dialect: Dialect) -> None:
    def reply(body: dict[str, Any], nth: int) -> Reply:
        return dialect.said("It is.") if nth else dialect.error(429, "slowly")

    text, server = talk(dialect, reply, whole, attempts=2)
    assert text == "It is."
    assert len(server.bodies) == 2


@BOTH
def test_nothing_is_tried_again_once_something_was_said(dialect: Dialect) -> None:
    _, server = talk(dialect, lambda b, n: Reply((dialect.piece("It "), "reset")), failing, attempts=3)
    assert len(server.bodies) == 1


@BOTH
@pytest.mark.parametrize("after_first", [True, False])
def test_closing_ends_the_request(dialect: Dialect, after_first: bool) -> None:
    """By the end of ``talk`` the server has seen the client leave."""

    async def do(answerer: Any, server: Sse) -> float:
        async with aclosing(answerer.answer(HISTORY, "Is it late?", "")) as pieces:
            if after_first:
                assert await anext(pieces) == "It "
            else:
                waiting = asyncio.create_task(anext(pieces))
                while not server.open:
                    await asyncio.sleep(0.005)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            began = time.monotonic()
        return time.monotonic() - began

    steps = (dialect.piece("It "), "hang") if after_first else ("hang",)
    seconds, _ = talk(dialect, lambda body, nth: Reply(steps), do)
    assert seconds < 1


def test_nobody_listens() -> None:
    for dialect in (OPENAI, GEMINI):
        reason, _, _ = asyncio.run(failing(dialect.answerer("http://127.0.0.1:9"), None))  # type: ignore[arg-type]
        assert reason


def test_an_error_inside_the_stream_is_one() -> None:
    bad = Reply((OPENAI.piece("It "), b'data: {"error": {"message": "out of memory"}}\n\n'))
    (reason, _, said), _ = talk(OPENAI, lambda body, nth: bad, failing)
    assert "out of memory" in reason
    assert said == ["It "]


def test_an_endless_answer_ends_at_a_word() -> None:
    endless = OPENAI.said(*["wordy "] * 1000)
    text, _ = talk(OPENAI, lambda body, nth: endless, lambda a, s: whole(a, s, "So"))
    assert len(text) <= 2000
    assert set(text.split()) == {"wordy"}


def test_one_answerer_serves_loop_after_loop() -> None:
    answerers: list[Any] = []

    async def again(answerer: Any, server: Sse) -> str:
        return await whole(answerer, server)

    async def run() -> str:
        async with Sse(lambda body, nth: OPENAI.said("It is.")) as server:
            if not answerers:
                answerers.append(OPENAI.answerer(server.url))
            object.__setattr__(answerers[0]._service, "base_url", f"{server.url}/v1")
            try:
                return await again(answerers[0], server)
            finally:
                await answerers[0].aclose()

    assert [asyncio.run(run()), asyncio.run(run())] == ["It is."] * 2


@pytest.mark.parametrize("kind", ["openai_api", "gemini"])
def test_no_key_is_an_error_of_the_answer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    config = backends.parse("answering", {"kind": kind, "model": "m"})
    assert any("key" in need.name and not need.found for need in backends.needs("answering", config))
    reason, _, _ = asyncio.run(failing(backends.make("answering", config), None))  # type: ignore[arg-type]
    assert "API_KEY is not set" in reason


@pytest.mark.parametrize("url", ["https://me:secret@host/v1", "ftp://host", "localhost:8000"])
def test_an_address_holds_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        backends.parse("answering", {"kind": "openai_api", "model": "m", "base_url": url})
