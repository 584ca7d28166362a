"""What the session tells, as exact events in their order; heard words. The SDK's own types judge every event."""

from __future__ import annotations

import pytest

from tests.runtime.protocol_events import (
    CHAIN,
    SECOND,
    answer,
    checked,
    ended,
    sent,
    told,
    types,
    user_turn,
)
from trainer.runtime.events import (
    Audio,
    Began,
    Failed,
    Outcome,
    Trace,
    UserBegan,
    UserEnded,
    UserSaid,
    Word,
)
from trainer.runtime.server._responses import metadata
from trainer.runtime.server.protocol import (
    Conversation,
    Truncate,
)
from trainer.runtime.server.wire import unpacked


def test_session_is_echoed_whole() -> None:
    opened = checked(Conversation("x", expires_at=1_800_000_000).opened())[0]
    session = opened["session"]
    assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is True
    assert (session["object"], session["expires_at"], session["tools"]) == ("realtime.session", 1_800_000_000, [])
    assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert set(session["audio"]["input"]["transcription"]) <= {"model", "language", "prompt"}


def test_a_turn_in_the_protocols_order() -> None:
    conversation = Conversation("x")
    events = told(conversation, *user_turn(), *answer(words="Sure I can"), ended())
    assert types(events) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        *["response.output_audio_transcript.delta"] * 3,
        "response.output_audio.delta",
        "response.output_audio.delta",
        *CHAIN,
    ]
    by_type = {event["type"]: event for event in events}
    assert len({event["event_id"] for event in events}) == len(events)
    assert by_type["input_audio_buffer.speech_started"]["audio_start_ms"] == 100
    assert [e["previous_item_id"] for e in events if e["type"] == "conversation.item.added"] == [None, "u1"]
    deltas = [e for e in events if e["type"] == "response.output_audio_transcript.delta"]
    assert "".join(e["delta"] for e in deltas) == "Sure I can"
    assert [(e["start_time"], e["source"]) for e in deltas] == [(0.0, "fast"), (0.2, "fast"), (0.4, "fast")]
    audio = b"".join(unpacked(e["delta"]) for e in events if e["type"] == "response.output_audio.delta")
    assert len(audio) == 2 * 24_000
    done = by_type["response.done"]["response"]
    assert (done["status"], done["status_details"]) == ("completed", None)
    assert done["metadata"] == {"onset_ms": "81.25", "committed": "true"}
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Sure I can"}]
    usage = done["usage"]
    assert usage["input_token_details"]["audio_tokens"] == usage["output_token_details"]["audio_tokens"] == 7
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] == 7 + 7 + 3


@pytest.mark.parametrize(
    ("outcome", "status", "details"),
    [
        ("interrupted", "cancelled", {"type": "cancelled", "reason": "turn_detected"}),
        ("cancelled", "cancelled", {"type": "cancelled", "reason": "client_cancelled"}),
    ],
)
def test_a_stop_leaves_the_words_heard(outcome: Outcome, status: str, details: dict[str, str]) -> None:
    conversation = Conversation("x")
    told(conversation, *user_turn(), *answer())
    events = told(conversation, UserBegan("u2", 2_000), ended(outcome, "Sure I"))
    assert types(events) == ["input_audio_buffer.speech_started", *CHAIN]
    response = events[-1]["response"]
    assert (response["status"], response["status_details"]) == (status, details)
    assert response["usage"] is not None
    item = response["output"][0]
    assert (item["status"], item["content"][0]["transcript"]) == ("incomplete", "Sure I")
    retrieved, _ = sent(conversation, "conversation.item.retrieve", item_id="a0")
    assert retrieved[0]["item"] == item
    after = told(conversation, UserEnded("u2", 3_000))
    assert after[1]["previous_item_id"] == "a0", "the interrupted answer stands before the turn that interrupts it"
    assert told(conversation, Word(0, "late", 900.0, "slow"), Audio(0, SECOND)) == []


def test_a_failure_and_an_empty_answer() -> None:
    conversation = Conversation("x")
    events = told(conversation, Began(0, "a0", "turn", 0), ended("failed", ""))
    assert types(events) == ["response.created", "response.done"]
    assert events[-1]["response"]["status_details"]["error"]["type"] == "server_error"
    events = told(conversation, ended("empty", "", turn=1))
    assert types(events) == ["response.created", "response.done"]
    assert (events[-1]["response"]["status"], events[-1]["response"]["output"]) == ("completed", [])
    assert conversation.history == []


def test_truncation_shortens_for_good() -> None:
    conversation = Conversation("x")
    told(conversation, *answer())
    _, calls = sent(conversation, "conversation.item.truncate", item_id="a0", content_index=0, audio_end_ms=99_999)
    assert calls == [Truncate("a0", 1_000)], "clamped to the audio sent"
    assert isinstance(calls[0], Truncate)
    events = checked(conversation.truncated(calls[0], "Sure"))
    assert (events[0]["type"], events[0]["audio_end_ms"]) == ("conversation.item.truncated", 1_000)
    told(conversation, Word(0, "more", 800.0, "slow"))
    events = told(conversation, ended("cancelled", "Sure I can"))
    assert events[-1]["response"]["output"][0]["content"][0]["transcript"] == "Sure"
    retrieved, _ = sent(conversation, "conversation.item.retrieve", item_id="a0")
    assert retrieved[0]["item"]["content"][0]["transcript"] == "Sure"


def test_speech_recognised_early_late_or_never() -> None:
    conversation = Conversation("x")
    assert told(conversation, UserBegan("u1", 0), UserSaid("u1", "hello", 0.5))[1:] == []
    events = told(conversation, UserEnded("u1", 500))
    assert types(events)[-2:] == [
        f"conversation.item.input_audio_transcription.{end}" for end in ("delta", "completed")
    ]
    assert events[-1]["usage"] == {"type": "duration", "seconds": 0.5}
    events = told(conversation, UserBegan("u2", 900), UserEnded("u2", 950), UserSaid("u2", None, 0.05))
    assert types(events)[-1] == "conversation.item.input_audio_transcription.failed"
    sent(conversation, "session.update", session={"audio": {"input": {"transcription": None}}})
    events = told(conversation, *user_turn("u3", 1_000))
    assert types(events)[-1] == "conversation.item.done"
    retrieved, _ = sent(conversation, "conversation.item.retrieve", item_id="u3")
    assert retrieved[0]["item"]["content"] == [{"type": "input_audio", "transcript": "help me please"}]


def test_a_backchannel_is_no_response() -> None:
    story = [
        Began(0, "b0", "backchannel", 5),
        Word(0, "mhm", 0, "fast"),
        Audio(0, SECOND),
        ended("completed", "mhm", 0, "backchannel"),
    ]
    trace = Trace(5, "tick", None, {"lateness_ms": float("inf"), "token": "BOC"})
    assert told(Conversation("x"), *story, trace) == []
    events = told(Conversation("x", vendor=True), *story, trace)
    assert types(events) == [*["relay.backchannel"] * 4, "relay.ended", "relay.trace"]
    assert [event["phase"] for event in events[:4]] == ["began", "word", "audio", "ended"]
    assert [event["last"] for event in events[:4]] == [False, False, False, True]
    assert events[3]["text"] == "mhm"
    assert sum(len(unpacked(event["delta"])) for event in events[2:4]) == 2 * 24_000
    assert events[-1]["data"] == {"lateness_ms": None, "token": "BOC"}


def test_vendor_events_by_update() -> None:
    conversation = Conversation("x")
    events, _ = sent(conversation, "session.update", session={"type": "realtime", "relay": {"events": True}})
    assert "relay" not in events[0]["session"]
    assert types(told(conversation, Trace(0, "tick", None, {}))) == ["relay.trace"]


def test_a_fault_of_the_session_is_an_error_event() -> None:
    error = told(Conversation("x"), Failed("engine_failed", "the model broke"))[0]["error"]
    assert (error["type"], error["code"], error["event_id"]) == ("server_error", "engine_failed", None)


def test_a_record_fits_the_metadata() -> None:
    record = {f"stage_{number}": float(number) for number in range(30)} | {"long": "x" * 2_000}
    pairs = metadata(record, {"mine": "1"})
    assert len(pairs) == 15
    assert metadata({"a": "x" * 2_000, "mine": 2.0, "none": None}, {"mine": "1"}) == {"a": "x" * 512}
