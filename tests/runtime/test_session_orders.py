"""What clients ask of a session, in any order and at any time: nothing is lost, nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.runtime.relays import relay, silence, speech
from trainer.runtime.events import Ended, Failed, UserEnded, UserSaid
from trainer.runtime.listening import RecordedListener
from trainer.runtime.session import Session
from trainer.runtime.settings import Settings
from trainer.runtime.virtual import run

HALF_TICK = 0.08


def told(scenario: Callable[[Session], Awaitable[None]], turns: tuple[int, ...] = (), **changed: Any) -> list[Any]:
    """All that a session tells while something is asked of it."""

    async def main() -> list[Any]:
        made = relay().with_parts(**changed)
        session = made.session("relay", listener=RecordedListener(turns), name="x")
        await scenario(session)
        found = [session.told.get_nowait() for _ in range(session.told.qsize())]
        await session.close()
        made.stop()
        return found

    return run(main(), jumping=True)


def of(kind: type, found: list[Any]) -> list[Any]:
    return [one for one in found if isinstance(one, kind)]


def test_a_request_answers_all_the_audio_that_was_sent_before_it() -> None:
    """Also where it came at once, and its last half tick."""

    async def scenario(session: Session) -> None:
        session.configure(Settings(respond=False, interrupt=False))
        session.hear(silence(0.48))
        session.hear(speech(1.6 + HALF_TICK))
        session.request()
        await asyncio.sleep(9)
        assert session.user.ticks == 14, "3 of silence, 10 of speech and the half"

    found = told(scenario)
    assert [(one.outcome, one.item) for one in of(Ended, found)] == [("completed", "item_x_0001")]
    ended, said = of(UserEnded, found)[0], of(UserSaid, found)[0]
    assert (ended.item, said.item) == ("item_x_0000", "item_x_0000")
    assert said.seconds == pytest.approx(1.76, abs=0.2)


def test_each_push_to_talk_is_a_turn_though_no_silence_tells_it_from_the_last() -> None:
    async def scenario(session: Session) -> None:
        session.configure(Settings(respond=False, interrupt=False))
        for _ in range(2):
            session.hear(speech(1.6))
            session.request()
            await asyncio.sleep(9)
        session.hear(silence(1.6))
        session.request()
        await asyncio.sleep(9)

    found = told(scenario)
    assert [one.item for one in of(UserEnded, found)] == ["item_x_0000", "item_x_0002"]
    assert [one.item for one in of(UserSaid, found)] == ["item_x_0000", "item_x_0002"]
    assert [one.item for one in of(Ended, found)] == ["item_x_0001", "item_x_0003", "item_x_0004"]


def test_a_request_that_is_cancelled_before_its_turn_never_begins() -> None:
    async def scenario(session: Session) -> None:
        session.hear(speech(1.6))
        session.request()
        session.cancel()
        await asyncio.sleep(3)

    assert of(Ended, told(scenario)) == []


def test_truncating_the_response_under_way_stops_it_there() -> None:
    words: list[str] = []

    async def scenario(session: Session) -> None:
        session.user_text("A table for two, please.")
        session.request()
        await asyncio.sleep(3)
        assert session.response is not None
        item = session.items[-1]
        before = item.heard()
        words.append(session.truncate(item.id, 900))
        assert session.response is None
        assert before.startswith(words[0])
        assert before != words[0]
        assert session.history()[-1].text == words[0]

    (ended,) = of(Ended, told(scenario))
    assert (ended.outcome, ended.heard) == ("cancelled", words[0])


class Babble:
    """A recogniser that understands noise."""

    async def transcribe(self, *_: Any, **__: Any) -> str:
        """See ``Hearer``."""
        return "\x00\n a\u2028b \x14 " + "?" * 3_000


def test_a_transcript_that_is_no_line_of_text_does_not_end_the_conversation() -> None:
    async def scenario(session: Session) -> None:
        session.configure(Settings(respond=False, interrupt=False))
        for _ in range(2):
            session.hear(speech(1.6))
            session.request()
            await asyncio.sleep(9)
        assert session.items[0].text.startswith("a b ???")
        assert len(session.history()) == 4

    found = told(scenario, hearing=lambda _: Babble())
    assert [one.outcome for one in of(Ended, found)] == ["completed"] * 2


class Broken:
    """A slow path that breaks in a way that nobody has thought of."""

    async def answer(self, *_: Any) -> AsyncIterator[str]:
        """See ``Answerer``."""
        yield "Well, "
        raise ZeroDivisionError("a bug")


def test_a_part_that_breaks_is_told_and_the_response_ends() -> None:
    async def scenario(session: Session) -> None:
        for text in ("Hello.", "Hello again."):
            session.user_text(text)
            session.request()
            await asyncio.sleep(9)

    found = told(scenario, answerer=Broken())
    assert [one.outcome for one in of(Ended, found)] == ["cancelled"] * 2
    assert ["ZeroDivisionError: a bug" in one.message for one in of(Failed, found)] == [True] * 2
