"""A whole session on a jumping clock: real engine, relay, slow path machinery and voice."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.runtime.relays import REPLY, relay, silence, speech
from trainer.runtime.answering._base import SlowPathError
from trainer.runtime.events import Failed, Mode, UserBegan, UserEnded
from trainer.runtime.following import Follow
from trainer.runtime.listening import RecordedListener
from trainer.runtime.playing import play
from trainer.runtime.recording import Recording
from trainer.runtime.virtual import run

USER = np.concatenate([silence(0.48), speech(1.6), silence(9.0)])
FOLLOWS: tuple[Follow, ...] = ("text", "hold")
ANSWER = 15
"""Tick in which the assistant takes the floor."""


def talk(
    mode: Mode = "relay",
    user: np.ndarray = USER,
    turns: tuple[int, ...] = (ANSWER,),
    user_turns: tuple[int, ...] = (),
    backchannels: tuple[int, ...] = (),
    changed: dict[str, Any] | None = None,
    follow: Follow = "text",
    **options: Any,
) -> Recording:
    """What comes of a user, with the floor as given."""

    async def main() -> Recording:
        made = relay(**options).with_parts(**(changed or {}))
        try:
            listener = RecordedListener(turns, backchannels, user_turns)
            return await play(made.session(mode, listener=listener, follow=follow), user)
        finally:
            made.stop()

    return run(main(), jumping=True)


def whats(found: Recording) -> list[str]:
    return [entry.what for entry in found.log if entry.what != "tick"]


def test_a_committed_prefix_is_heard_at_once_and_the_slow_path_goes_on_from_it() -> None:
    found = talk()
    (turn,) = found.responses
    prefix = " ".join(turn.heard.split()[:5])
    assert turn.outcome == "completed"
    assert turn.heard == f"{prefix} {REPLY}"
    assert turn.record["committed"] is True
    assert turn.record["onset_ms"] == 0
    assert float(turn.record["slow_first_ms"] or 0) >= 420
    assert float(turn.record["margin_ms"] or -1) >= 0
    assert turn.record["underruns"] == 0
    assert found.failures == []


def test_without_a_verifier_every_draft_falls_back() -> None:
    (turn,) = talk(commit=None).responses
    assert turn.heard == REPLY
    assert turn.record["committed"] is False
    assert turn.record["onset_ms"] == pytest.approx(420 + 4 * 20, abs=1)


def test_ungated_every_draft_is_committed() -> None:
    (turn,) = talk(commit=None, gated=False).responses
    assert turn.record["committed"] is True
    assert turn.heard == f"Sure, I can help you {REPLY}"


def test_a_slow_path_that_is_too_late_is_an_underrun_and_no_word_is_lost() -> None:
    (turn,) = talk(first_ms=4_000).responses
    assert turn.heard.endswith(REPLY)
    assert float(turn.record["margin_ms"] or 0) < 0
    assert float(turn.record["underrun_ms"] or 0) == pytest.approx(-float(turn.record["margin_ms"] or 0), abs=50)


@pytest.mark.parametrize("mode", ["s2s", "cascade"])
def test_the_other_systems(mode: Mode) -> None:
    (turn,) = talk(mode).responses
    assert turn.outcome == "completed"
    assert (turn.heard == REPLY) == (mode == "cascade")
    assert (turn.record["onset_ms"] == 0) == (mode == "s2s")


def test_a_barge_in_stops_the_audio_within_a_tick_and_keeps_the_words_heard() -> None:
    found = talk(user_turns=(ANSWER + 9,))
    (turn,) = found.responses
    stop = next(entry.at_ms for entry in found.log if entry.what == "stop")
    assert turn.outcome == "interrupted"
    assert stop == pytest.approx(160 * (ANSWER + 11), abs=1)
    assert turn.heard_ms == pytest.approx(stop - 160 * (ANSWER + 1), abs=1)
    assert REPLY not in turn.heard
    silent = found.assistant(len(USER))[round(stop * 16) + 1 :]
    assert not silent.any()


def test_what_is_heard_lies_where_the_clock_says() -> None:
    found = talk()
    channel = found.assistant(len(USER))
    loud = np.flatnonzero(np.abs(channel) > 300)
    (turn,) = found.responses
    assert loud[0] / 16 == pytest.approx(160 * (ANSWER + 1), abs=60)
    assert loud[-1] / 16 == pytest.approx(160 * (ANSWER + 1) + turn.heard_ms, abs=120)


def test_a_backchannel_is_no_turn() -> None:
    found = talk(turns=(), backchannels=(8,))
    (one,) = found.responses
    assert (one.kind, one.outcome) == ("backchannel", "completed")
    assert "transcript" not in whats(found)
    assert "asked" not in whats(found)


def test_the_main_stream_is_told_what_the_listener_hears() -> None:
    found = talk(follow="hold")
    tokens = [str(entry.data["token"]) for entry in found.log if entry.what == "tick"]
    assert tokens[: ANSWER + 1] == ["SIL"] * ANSWER + ["BOS"]
    end = tokens.index("EOS")
    assert set(tokens[ANSWER + 1 : end]) == {"text"}
    audible = [bool(entry.data["assistant_audible"]) for entry in found.log if entry.what == "tick"]
    last = max(place for place, heard in enumerate(audible) if heard)
    assert set(tokens[end + 1 : last]) == {"HOD"}
    assert set(tokens[last + 1 :]) <= {"SIL", "HOD"}
    assert tokens[-1] == "SIL"


def test_following_the_text_feeds_the_slow_paths_words_too() -> None:
    text, held = ([str(e.data["token"]) for e in talk(follow=follow).log if e.what == "tick"] for follow in FOLLOWS)
    assert text.count("text") > held.count("text") + 5
    assert held.count("EOS") == 1


class Broken:
    """A slow path that says some words, then breaks."""

    def __init__(self, words: str) -> None:
        self.words = words

    async def answer(self, *_: Any) -> Any:
        """See ``Answerer``."""
        if self.words:
            yield self.words
        raise SlowPathError("the slow path is gone")

    async def warm(self) -> None:
        """See ``Answerer``."""

    async def aclose(self) -> None:
        """See ``Answerer``."""


@pytest.mark.parametrize(
    ("commit", "words", "outcome"),
    [(True, "", "completed"), (True, "of course ", "completed"), (False, "", "failed"), (False, "yes ", "completed")],
)
def test_a_slow_path_that_breaks_ends_the_utterance_and_not_the_session(commit: bool, words: str, outcome: str) -> None:
    found = talk(commit=commit, changed={"answerer": Broken(words)}, turns=(ANSWER, ANSWER + 30))
    assert [one.outcome for one in found.responses] == [outcome] * 2
    assert all(one.record["reason"] == "the slow path is gone" for one in found.responses)


class Deaf:
    """A recogniser that fails."""

    async def transcribe(self, *_: Any, **__: Any) -> str:
        """See ``Hearing``."""
        raise SlowPathError("nothing was understood")


def test_a_recogniser_that_fails_is_a_slow_path_that_fails() -> None:
    found = talk(changed={"hearing": lambda _: Deaf()})
    (turn,) = found.responses
    assert turn.outcome == "completed"
    assert len(turn.heard.split()) == 5
    assert [said.text for said in found.transcripts] == [None]


def test_the_clients_calls() -> None:
    async def main() -> None:
        made = relay()
        session = made.session("relay", listener=RecordedListener(()))
        session.hear(silence(1.0))
        await asyncio.sleep(1.0)
        session.user_text("A table for two, please.")
        session.request()
        await asyncio.sleep(3.0)
        assert session.response is not None
        item = session.response.item
        session.cancel()
        heard = session.history()
        assert [turn.speaker for turn in heard] == ["user", "assistant"]
        assert heard[0].text == "A table for two, please."
        less = session.truncate(item, 400)
        assert heard[1].text.startswith(less)
        assert len(less) < len(heard[1].text)
        assert session.history()[1].text == less
        assert session.truncate(item, 1_200) == less, "what was not heard is not heard later"
        with pytest.raises(ValueError, match="no response"):
            session.truncate("item_9999", 1)
        await session.close()
        await session.close()
        made.stop()

    run(main(), jumping=True)


def test_a_model_that_breaks_ends_the_session_with_a_reason() -> None:
    async def main() -> list[Failed]:
        made = relay()
        session = made.session("relay", listener=RecordedListener(()))
        made.stop()
        session.hear(silence(0.5))
        await asyncio.sleep(1.0)
        told = [session.told.get_nowait() for _ in range(session.told.qsize())]
        await session.close()
        return [one for one in told if isinstance(one, Failed)]

    (failed,) = run(main(), jumping=True)
    assert failed.fatal
    assert "engine has been stopped" in failed.message


def test_nothing_is_left_behind() -> None:
    async def main() -> int:
        made = relay()
        for _ in range(12):  # more than there are rows
            session = made.session("relay", listener=RecordedListener((2,)))
            session.hear(speech(0.8))
            await asyncio.sleep(1.2)
            await session.close()
        made.stop()
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run(main(), jumping=True) == 1


def test_the_users_turn_is_told_in_order() -> None:
    async def main() -> list[Any]:
        made = relay()
        session = made.session("relay", listener=RecordedListener((ANSWER,)))
        session.hear(USER)
        await asyncio.sleep(6)
        told = [session.told.get_nowait() for _ in range(session.told.qsize())]
        await session.close()
        made.stop()
        return told

    told = run(main(), jumping=True)
    kinds = [type(one).__name__ for one in told if type(one).__name__ not in ("Trace", "Word", "Audio")]
    assert kinds == ["UserBegan", "UserEnded", "Began", "UserSaid", "Ended"]
    began, ended = (next(one for one in told if isinstance(one, kind)) for kind in (UserBegan, UserEnded))
    assert began.item == ended.item


def test_the_same_user_gives_the_same_conversation() -> None:
    first, second = talk(user_turns=(ANSWER + 9,)), talk(user_turns=(ANSWER + 9,))
    assert [(e.at_ms, e.what, e.turn) for e in first.log] == [(e.at_ms, e.what, e.turn) for e in second.log]
    assert np.array_equal(first.assistant(len(USER)), second.assistant(len(USER)))
