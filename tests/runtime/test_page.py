"""The page in headless Chromium with a fake microphone, against a scripted server that speaks the real protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from tests.runtime.page_server import RATE, Answer, PageServer, Talk, serving, speak
from tests.runtime.pages import CONTRAST, MICROPHONE, Page, launch, microphone

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPENING = "Could you please tell me what the opening hours of the museum are today?"
WAY = "And how do I get there?"
BUS = "Wait, is there a bus as well?"
SCRIPT = (
    Answer(OPENING, "Sure, I can help you", "with that. The museum opens at ten in the morning.", aside="mhm"),
    Answer(
        WAY, "It is right behind", "Take the tram number four, and then walk along the river to the tower.", 0.41, 300
    ),
    Answer(BUS, "Yes, there is a bus,", "the line twelve.", 0.88, 1900),
)
LONG = (Answer(WAY, "Take the tram number", "four from the station, get off at the bridge, and walk along the river."),)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    for answer in (*SCRIPT, *LONG):
        speak(answer.draft)
        speak(answer.rest)
    with serving(SCRIPT) as started:
        yield started


@pytest.fixture(scope="module")
def talker(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose microphone says one thing and is silent then."""
    file = microphone(tmp_path_factory.mktemp("mic") / "short.wav", [0.6, WAY, 20.0])
    browser = launch(playwright, [*MICROPHONE, f"--use-file-for-fake-audio-capture={file}%noloop"])
    yield browser
    browser.close()


@pytest.fixture
def page(talker: Any, server: PageServer) -> Iterator[Page]:
    server.script, server.refuse, server.full = LONG, False, False
    opened = Page(talker, server.url)
    yield opened
    opened.close()


def sent(talk: Talk, kind: str) -> list[dict[str, Any]]:
    return [e for e in talk.received if e["type"] == kind]


def loudness(pcm: np.ndarray, rate: int) -> np.ndarray:
    step = rate // 25
    return np.sqrt(np.mean(pcm[: len(pcm) // step * step].reshape(-1, step).astype(float) ** 2, axis=1))


@pytest.fixture(scope="module")
def conversation(
    playwright: Any, server: PageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Page, Talk]]:
    """A whole conversation: a committed turn with a backchannel, a fall-back that is interrupted, a late slow path."""
    file = microphone(tmp_path_factory.mktemp("mic") / "long.wav", [0.6, OPENING, 5.6, WAY, 2.4, BUS, 9.0])
    browser = launch(playwright, [*MICROPHONE, f"--use-file-for-fake-audio-capture={file}%noloop"])
    server.script = SCRIPT
    page = Page(browser, server.url)
    page.talk()
    page.until("relay.conversation.turns.filter(t => t.outcome && t.kind === 'turn').length === 3", 40)
    page.phase("listening")
    yield page, server.talks[-1]
    browser.close()


def test_a_conversation_is_heard_and_shown(conversation: tuple[Page, Talk]):
    page, _ = conversation
    assert page.troubles == []
    said = page.text("#transcript .user .said").split("\n")[0]
    assert all(text in said for text in (OPENING, WAY, BUS))
    assert page.text("#transcript .backchannel .back") == "mhm"
    first = page.tab.locator("#transcript .assistant:not(.backchannel)").first
    assert first.locator(".fast").inner_text() == SCRIPT[0].draft
    assert first.locator(".slow").inner_text() == SCRIPT[0].rest
    assert page.text("#turns .way") == "prefix → slow fell back prefix → slow"
    ended = page.tab.locator("#turns td:last-child").all_inner_texts()
    assert ended == ["heard out", "barge-in", "heard out"]


def test_the_barge_in_is_silent_at_once_and_tells_what_was_played(conversation: tuple[Page, Talk]):
    page, talk = conversation
    (truncate,) = sent(talk, "conversation.item.truncate")
    assert truncate["item_id"] == "item_answer_2"
    assert truncate["audio_end_ms"] == pytest.approx(talk.heard_ms, abs=250)
    assert sent(talk, "conversation.item.retrieve")[0]["item_id"] == "item_answer_2"
    cut = page.tab.locator("#transcript .assistant", has=page.tab.locator(".cutin"))
    heard = " ".join(cut.locator("span.slow").all_inner_texts())
    assert heard == " ".join(word for word, _ in talk.heard["item_answer_2"])
    assert f"{heard} {' '.join(cut.locator('s').all_inner_texts())}" == SCRIPT[1].rest
    assert page.tab.evaluate("relay.conversation.barges.length") == 1
    assert page.tab.evaluate("relay.conversation.barges[0].turn.stopMs") < 100


def test_the_figures_are_those_of_the_traces(conversation: tuple[Page, Talk]):
    page, _ = conversation
    rows = page.tab.evaluate("[...document.querySelectorAll('#turns tr')].map(r => [...r.cells].map(c => c.innerText))")
    last, fallen, first = rows
    assert 20 <= int(first[2]) <= 200, "fork, draft and verdict take the script 30 ms"
    assert 290 <= int(fallen[2]) <= 600, "the fall-back waits for the slow path"
    assert all(int(row[3]) >= int(row[2]) - 20 for row in rows), "nothing is audible before it can be spoken"
    assert first[4].startswith("+")
    assert last[4].startswith("−"), "the slow path came after the prefix's end"
    assert (first[5], fallen[5]) == ("0.93", "0.41")
    assert page.text("#tile-margin").startswith(last[4])
    assert "0.88 commit" in page.text("#tile-score")


def test_the_lanes_show_tokens_and_sound_of_every_kind(conversation: tuple[Page, Talk]):
    page, _ = conversation
    names = "[...new Set(relay.conversation.ticks.filter(t => t.kind === 'control').map(t => t.name))].sort()"
    assert page.tab.evaluate(names) == ["BOC", "BOS", "EOS", "HOD", "STP"]
    page.tab.focus("#timeline")
    colours = {"user", "fast", "slow", "back", "cut", "good"}
    seen: set[str] = set()
    for _ in range(14):
        page.tab.keyboard.press("ArrowLeft")
        seen |= set(
            page.tab.evaluate(
                """(names) => {
            const { canvas, ctx, colours } = relay.timeline;
            const { data } = ctx.getImageData(0, 0, canvas.width, canvas.height);
            const found = new Set();
            for (let i = 0; i < data.length; i += 4) found.add(`rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`);
            return names.filter((name) => found.has(colours[name])); }""",
                sorted(colours),
            )
        )
    assert seen == colours
    assert page.tab.locator("#live").is_visible()
    page.tab.click("#live")
    assert page.tab.locator("#live").is_hidden()


def test_the_server_hears_the_microphone(conversation: tuple[Page, Talk]):
    _, talk = conversation
    pcm = np.concatenate(talk.audio)
    assert len(pcm) / RATE == pytest.approx(talk.received[-1]["at"] / 1000, rel=0.1)
    said = loudness(speak(OPENING, "m3").pcm, RATE)
    heard = loudness(pcm[: 8 * RATE], RATE)
    fits = [np.corrcoef(said, heard[n : n + len(said)])[0, 1] for n in range(len(heard) - len(said))]
    assert max(fits) > 0.6, "the browser's gain control bends it, but it is this text"


def test_stop_silences_cancels_and_truncates(page: Page, server: PageServer):
    page.talk()
    page.phase("fast")
    page.tab.keyboard.press("Escape")
    page.phase("listening")
    talk = server.talks[-1]
    page.until("relay.conversation.turns[0].certain")
    assert [e["type"] for e in talk.received if e["type"].startswith(("response.", "conversation."))] == [
        "response.cancel",
        "conversation.item.truncate",
        "conversation.item.retrieve",
    ]
    assert "stopped" in page.text("#transcript .note")
    assert page.tab.evaluate("relay.conversation.barges.length") == 0
    assert page.troubles == []


def test_another_mode_is_another_session(page: Page, server: PageServer):
    page.tab.goto(f"{server.url}#token=let-me-in")
    page.tab.reload()
    page.talk()
    page.phase("listening")
    assert server.protocols == ["realtime", "openai-insecure-api-key.let-me-in"]
    before = len(server.talks)
    page.tab.check("#mode input[value=cascade]")
    page.until("relay.conversation.mode === 'cascade' && document.getElementById('status').dataset.phase !== 'opening'")
    for _ in range(100):  # the page names its mode before the server has taken the new session
        if len(server.talks) > before:
            break
        page.tab.wait_for_timeout(50)
    assert [t.mode for t in server.talks[before - 1 :]] == ["relay", "cascade"]
    page.talk()
    assert page.text("#talk") == "Talk"
    assert page.tab.locator("#trouble").is_hidden()


def test_a_lost_connection_is_said_and_taken_up_again(page: Page, server: PageServer):
    page.talk()
    page.phase("fast")
    server.drop()
    page.says("The connection was lost.")
    assert page.text("#status") == "Not connected"
    page.tab.click("#again")
    page.phase("listening")
    assert page.tab.locator("#trouble").is_hidden()
    assert "stopped" in page.text("#transcript .note"), "the past stays"


@pytest.mark.parametrize(
    ("state", "line"), [("full", "The server is full"), ("refuse", "The server refused the connection")]
)
def test_no_session_is_said_in_one_line(page: Page, server: PageServer, state: str, line: str):
    setattr(server, state, True)
    page.talk()
    page.says(line)
    setattr(server, state, False)
    page.tab.click("#again")
    page.phase("listening")


def test_no_microphone_is_said_in_one_line(playwright: Any, server: PageServer):
    browser = launch(playwright, ["--deny-permission-prompts"])
    page = Page(browser, server.url)
    sessions = len(server.talks)
    page.talk()
    page.until("!document.getElementById('trouble').hidden")
    assert "microphone" in page.text("#trouble").lower()
    assert page.text("#status") == "Not connected"
    assert len(server.talks) == sessions, "no session is taken without a microphone"
    assert page.troubles == []
    browser.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_cut_off_and_text_can_be_read(talker: Any, server: PageServer, theme: str, width: int):
    server.script = LONG
    with closing(Page(talker, server.url, viewport={"width": width, "height": 800}, color_scheme=theme)) as page:
        page.talk()
        page.until("relay.conversation.turns[0]?.seam > 0")
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
        page.tab.click("summary")
        sheet = page.tab.locator(".sheet").bounding_box()
        assert sheet["x"] >= 0
        assert sheet["x"] + sheet["width"] <= width
        shown = [
            "#status",
            ".lead",
            ".said .fast",
            ".said .slow",
            ".hint",
            "thead th",
            ".modes span",
            ".transcript .user b",
        ]
        ratios = page.tab.evaluate(CONTRAST, shown)
        assert min(ratios.values()) >= 4.5, ratios
        assert page.troubles == []
