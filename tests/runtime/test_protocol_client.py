"""What a client sends: calls into the session, answers, errors. The SDK's own types judge every event."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.protocol_events import (
    CHAIN,
    answer,
    checked,
    ended,
    refusal,
    sent,
    told,
    types,
    user_turn,
)
from trainer.runtime.events import (
    Trace,
    UserBegan,
    UserEnded,
    UserSaid,
)
from trainer.runtime.server._calls import LARGEST
from trainer.runtime.server.protocol import (
    AssistantText,
    Call,
    Cancel,
    Configure,
    Conversation,
    Event,
    Hear,
    Request,
    Settings,
    UserText,
)
from trainer.runtime.server.wire import packed


def test_updates_are_laid_over_one_another() -> None:
    conversation = Conversation("x")
    patch = {"type": "realtime", "instructions": "be brief", "audio": {"output": {"voice": "anna"}}}
    events, calls = sent(conversation, "session.update", session=patch)
    assert types(events) == ["session.updated"]
    assert calls == [Configure(Settings("be brief", voice="anna"))]
    second = {
        "tracing": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {"type": "server_vad", "create_response": False},
            }
        },
    }
    events, calls = sent(conversation, "session.update", session=second)
    session = events[0]["session"]
    assert (session["instructions"], session["audio"]["output"]["voice"]) == ("be brief", "anna")
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert calls == [Configure(Settings("be brief", respond=False, voice="anna"))]
    _, calls = sent(conversation, "session.update", session={"audio": {"input": {"turn_detection": None}}})
    assert calls == [Configure(Settings("be brief", respond=False, interrupt=False, voice="anna"))]


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ({"type": "transcription"}, "session.type"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format"),
        (
            {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 16_000}}}},
            "session.audio.output.format.audio/pcm.rate",
        ),
        ({"output_modalities": []}, "session.output_modalities"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"instructions": 5}, "session.instructions"),
    ],
)
def test_a_wrong_update_changes_nothing(patch: dict[str, Any], param: str) -> None:
    conversation = Conversation("x")
    before = conversation.config
    error = refusal(conversation, "session.update", session=patch | {"relay": {"events": True}})
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_value", param)
    assert conversation.config == before
    assert told(conversation, Trace(0, "tick", None, {})) == []


@pytest.mark.parametrize(
    ("type", "fields", "code"),
    [
        ("response.cancel", {}, "response_cancel_not_active"),
        ("input_audio_buffer.commit", {}, "input_audio_buffer_commit_empty"),
        (
            "conversation.item.truncate",
            {"item_id": "no", "content_index": 0, "audio_end_ms": 0},
            "item_truncate_invalid_item_id",
        ),
        ("conversation.item.retrieve", {"item_id": "no"}, "item_retrieve_invalid_item_id"),
        ("conversation.item.delete", {"item_id": "no"}, "item_delete_invalid_item_id"),
        ("conversation.item.truncate", {"item_id": "a0", "content_index": 0}, "missing_required_parameter"),
        ("conversation.item.truncate", {"item_id": "a0", "content_index": 0, "audio_end_ms": -1}, "invalid_value"),
        ("input_audio_buffer.append", {"audio": "%%%"}, "invalid_value"),
        ("input_audio_buffer.append", {"audio": packed(b"odd")}, "invalid_value"),
        ("input_audio_buffer.append", {}, "missing_required_parameter"),
        ("response.create", {"response": {"conversation": "none"}}, "invalid_value"),
        ("response.create", {"response": {"metadata": {f"k{n}": "" for n in range(17)}}}, "invalid_value"),
        (
            "conversation.item.create",
            {"item": {"type": "message", "role": "user", "content": [{"type": "input_image"}]}},
            "invalid_value",
        ),
        (
            "conversation.item.create",
            {"item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]}},
            "invalid_value",
        ),
        ("response.audio.play", {}, "unknown_event"),
        ("session.update", {"session": {"instructions": "x" * LARGEST}}, "invalid_value"),
    ],
)
def test_what_can_not_be_done_is_said(type: str, fields: dict[str, Any], code: str) -> None:
    error = refusal(Conversation("x"), type, **fields)
    assert error["code"] == code
    assert error["message"]
    if code == "response_cancel_not_active":
        assert error["message"].startswith("Cancellation failed")


NO_EVENTS = [
    *("", "{", "[]", "null", '"x"', "{}", "[" * 5_000),
    *('{"type": 5}', '{"type": NaN}', '{"a": 1e999}', '{"type": ["response.create"]}'),
    '{"type":"session.update","session":' + '{"tracing":' * 50 + "1" + "}" * 51,
]


@pytest.mark.parametrize("frame", NO_EVENTS)
def test_frames_that_are_no_events(frame: str) -> None:
    taken = Conversation("x").take(frame)
    assert types(checked(taken.events)) == ["error"]
    assert not taken.calls


def test_one_response_at_a_time() -> None:
    conversation = Conversation("x")
    _, calls = sent(conversation, "response.create", response={"instructions": "greet", "metadata": {"topic": "hi"}})
    assert calls == [Request("greet")]
    assert refusal(conversation, "response.create")["code"] == "conversation_already_has_active_response"
    created = told(conversation, *answer())[0]
    assert created["response"]["metadata"] == {"topic": "hi"}
    assert refusal(conversation, "response.create")["code"] == "conversation_already_has_active_response"
    assert refusal(conversation, "response.cancel", response_id="other")["code"] == "response_cancel_not_active"
    assert sent(conversation, "response.cancel", response_id=created["response"]["id"])[1] == [Cancel()]
    assert refusal(conversation, "response.cancel")["code"] == "response_cancel_not_active"
    assert sent(conversation, "response.create")[1] == [Request("")]
    done = told(conversation, ended("cancelled"))[-1]
    assert done["response"]["metadata"]["topic"] == "hi"
    assert told(conversation, *answer(1))[0]["response"]["metadata"] is None
    assert told(conversation, ended(turn=1))[-1]["response"]["status"] == "completed"


def test_text_alone() -> None:
    conversation = Conversation("x")
    sent(conversation, "response.create", response={"output_modalities": ["text"]})
    events = told(conversation, *answer(words="Sure I can"), ended())
    assert types(events)[4:] == [
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        *CHAIN[2:],
    ]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "output_text", "text": "Sure I can"}]


def test_a_client_that_comes_back_replays_its_items() -> None:
    conversation = Conversation("x")

    def create(role: str, text: str, kind: str = "input_text", **fields: Any) -> tuple[list[Event], list[Call]]:
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        return sent(conversation, "conversation.item.create", item=item | {"id": text[:2]}, **fields)

    events, calls = create("user", "hi\nthere")
    assert types(events) == ["conversation.item.added", "conversation.item.done"]
    assert calls == [UserText("hi there")]
    assert create("assistant", "oh hello", "output_text")[1] == [AssistantText("oh hello")]
    assert create("system", "be kind", previous_item_id="root")[1] == [Configure(Settings("be kind", voice="relay"))]
    assert create("user", "in between", previous_item_id="hi")[0][0]["previous_item_id"] == "hi"
    assert [item["id"] for item in conversation.history] == ["be", "hi", "in", "oh"]
    again = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}], "id": "hi"}
    assert refusal(conversation, "conversation.item.create", item=again)["code"] == "item_create_duplicate_item_id"
    behind = {"item": again | {"id": "new"}, "previous_item_id": "nobody"}
    assert refusal(conversation, "conversation.item.create", **behind)["param"] == "previous_item_id"
    assert sent(conversation, "conversation.item.delete", item_id="be")[1] == [Configure(Settings("", voice="relay"))]
    assert refusal(conversation, "conversation.item.truncate", item_id="oh", audio_end_ms=0)["code"].endswith("item_id")
    call = {"type": "function_call_output", "call_id": "c", "output": "7"}
    assert sent(conversation, "conversation.item.create", item=call)[1] == []


def test_the_buffer() -> None:
    conversation = Conversation("x")
    _, calls = sent(conversation, "input_audio_buffer.append", audio=packed(bytes(9_600)))
    assert [len(call.pcm) for call in calls if isinstance(call, Hear)] == [pytest.approx(3_200, abs=200)]
    events, calls = sent(conversation, "input_audio_buffer.commit")
    assert types(events) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    early = events[0]["item_id"]
    events = told(conversation, UserEnded("s1", 200), UserSaid("s1", "hey", 0.2))
    assert {event["item_id"] for event in events} == {early}, "the session's turn is the one the client knows"
    assert refusal(conversation, "input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"
    sent(conversation, "input_audio_buffer.append", audio=packed(bytes(9_600)))
    assert types(sent(conversation, "input_audio_buffer.clear")[0]) == ["input_audio_buffer.cleared"]
    assert refusal(conversation, "input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"


def test_push_to_talk() -> None:
    """Without turn detection a turn goes into the conversation at the client's commit, once."""
    conversation = Conversation("x")
    sent(conversation, "session.update", session={"audio": {"input": {"turn_detection": None}}})
    sent(conversation, "input_audio_buffer.append", audio=packed(bytes(48_000)))
    assert told(conversation, *user_turn("s1")) == []
    events, _ = sent(conversation, "input_audio_buffer.commit")
    assert types(events)[:3] == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert (events[0]["item_id"], events[-1]["transcript"]) == ("s1", "help me please")
    sent(conversation, "input_audio_buffer.append", audio=packed(bytes(48_000)))
    told(conversation, UserBegan("s2", 2_000))
    events, _ = sent(conversation, "input_audio_buffer.commit")
    assert events[0]["item_id"] == "s2"
    assert told(conversation, UserEnded("s2", 3_000)) == []
    told(conversation, UserBegan("s3", 4_000), UserEnded("s3", 5_000))
    events, calls = sent(conversation, "response.create")
    assert (events[0]["item_id"], calls) == ("s3", [Request("")])


def test_a_commit_that_no_turn_follows_takes_no_later_one() -> None:
    conversation = Conversation("x")
    sent(conversation, "session.update", session={"audio": {"input": {"turn_detection": None}}})
    sent(conversation, "input_audio_buffer.append", audio=packed(bytes(48_000)))
    early = sent(conversation, "input_audio_buffer.commit")[0][0]["item_id"]
    sent(conversation, "response.create")
    told(conversation, *answer(), ended())
    told(conversation, UserBegan("s1", 4_000), UserEnded("s1", 5_000), UserSaid("s1", "hey", 1.0))
    events, _ = sent(conversation, "response.create")
    assert (events[0]["item_id"], events[-1]["item_id"]) == ("s1", "s1")
    assert [item["id"] for item in conversation.history] == [early, "a0", "s1"]
