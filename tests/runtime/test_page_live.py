"""The page against the real server: real sessions, a fake microphone that talks, waits and cuts in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.runtime.pages import MICROPHONE, Page, launch, microphone
from tests.runtime.relays import REPLY, relay
from trainer.runtime.server.app import Options, serve
from trainer.serving import sessions_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

QUESTION = "Could you please book a table for two for me tonight?"
CUT_IN = "Wait, make that three people, please."


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in a thread; turns end by silence, so that no trained model is needed."""
    made = relay(inline=False, endpointing={"kind": "energy"}, first_ms=200)
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[str] = []

    async def work() -> None:
        async with await serve(sessions_of(made), Options(port=0, mode="cascade")) as server:
            found.append(server.url)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    assert ready.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(over.set)
    thread.join(20)
    made.stop()


@pytest.fixture(scope="module")
def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    sync_api = pytest.importorskip("playwright.sync_api")
    file = microphone(tmp_path_factory.mktemp("mic") / "live.wav", [0.6, QUESTION, 2.6, CUT_IN, 12.0])
    with sync_api.sync_playwright() as started:
        browser = launch(started, [*MICROPHONE, f"--use-file-for-fake-audio-capture={file}%noloop"])
        opened = Page(browser, url)
        opened.tab.check("input[name=mode][value=cascade]")
        opened.talk()
        opened.until("relay.conversation.turns.filter(t => t.outcome && t.kind === 'turn').length >= 2", 60)
        yield opened
        browser.close()


def test_a_spoken_turn_is_answered_and_a_barge_in_is_honoured(page: Page) -> None:
    assert page.troubles == []
    page.until("![...document.querySelectorAll('#turns td:last-child')].some(c => c.innerText === '…')", 20)
    ended = page.tab.locator("#turns td:last-child").all_inner_texts()
    assert ended == ["heard out", "barge-in"], "the last turn stands first"
    answers = page.tab.locator("#transcript .assistant")
    cut = " ".join(answers.nth(0).locator("span.slow").all_inner_texts())
    assert cut
    assert REPLY.startswith(cut)
    assert cut != REPLY
    whole = " ".join(answers.nth(1).locator("span.slow").all_inner_texts())
    assert whole == REPLY
