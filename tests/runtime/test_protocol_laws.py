"""Laws of the protocol under any interleaving of a session's story and a client's events."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.protocol_events import checked
from trainer.runtime.events import Audio, Began, Ended, Outcome, Told, UserBegan, UserEnded, UserSaid, Word
from trainer.runtime.server.protocol import Cancel, Conversation, Event, Request, Truncate
from trainer.runtime.server.wire import packed, unpacked

WORDS = ("sure", "I", "can", "help")
PCM = np.zeros(1_600, np.int16)

STORY = st.sampled_from(["user", "user ends", "said", "begin", "word", "audio", "end", "interrupt", "fail", "aside"])
CLIENT = st.sampled_from(
    ["create", "cancel", "truncate", "retrieve", "delete", "commit", "append", "item", "manual", "text"]
)
STEPS = st.lists(st.tuples(STORY | CLIENT, st.integers(0, 5)), min_size=25, max_size=60)


class Stage:
    """A session that tells only what a session can tell, and a client that sends anything."""

    def __init__(self) -> None:
        self.conversation = Conversation("x", vendor=True)
        self.events: list[Event] = checked(self.conversation.opened())
        self.turn = -1
        self.talking = False
        self.users = 0
        self.user: str | None = None
        self.unsaid: list[str] = []
        self.words: list[str] = []
        self.heard: dict[str, str] = {}
        self.cuts: dict[str, str] = {}
        self.samples: Counter[int] = Counter()

    def tell(self, *stories: Told) -> None:
        """The session tells."""
        for story in stories:
            self.events += checked(self.conversation.tell(story))

    def send(self, type: str, **fields: Any) -> None:
        """The client sends; the session does what it is called for."""
        taken = self.conversation.take(json.dumps({"type": type} | fields))
        self.events += checked(taken.events)
        for call in taken.calls:
            if isinstance(call, Request) and not self.talking:
                self.begin()
            elif isinstance(call, Cancel) and self.talking:
                self.end("cancelled", len(self.words))
            elif isinstance(call, Truncate):
                heard = " ".join(self.heard.get(call.item, " ".join(self.words)).split()[: call.ms // 100])
                self.cuts[call.item] = heard
                self.events += checked(self.conversation.truncated(call, heard))

    def begin(self) -> None:
        """A response begins."""
        self.turn, self.talking, self.words = self.turn + 1, True, []
        self.tell(Began(self.turn, f"a{self.turn}", "turn", 0))

    def end(self, outcome: Outcome, heard: int) -> None:
        """A response ends."""
        self.talking = False
        words = " ".join(self.words[:heard])
        self.heard[f"a{self.turn}"] = words
        self.tell(Ended(self.turn, f"a{self.turn}", "turn", outcome, words, 100.0 * heard, {"turn": 1.0}))

    def play(self, step: str, number: int) -> None:
        """One step; those that can not be told now are left out."""
        getattr(self, f"_{step.replace(' ', '_')}")(number)

    def _user(self, number: int) -> None:
        if self.user is None:
            self.users += 1
            self.user = f"u{self.users}"
            self.tell(UserBegan(self.user, 0))

    def _user_ends(self, number: int) -> None:
        if self.user is not None:
            self.tell(UserEnded(self.user, 10))
            self.unsaid.append(self.user)
            self.user = None

    def _said(self, number: int) -> None:
        if self.unsaid:
            self.tell(UserSaid(self.unsaid.pop(0), "hello" if number else None, 0.5))

    def _begin(self, number: int) -> None:
        if not self.talking:
            self.begin()

    def _word(self, number: int) -> None:
        if self.talking:
            self.words.append(WORDS[number % len(WORDS)])
            self.tell(Word(self.turn, self.words[-1], 0.0, "fast"))

    def _audio(self, number: int) -> None:
        stale = number == 0
        self.samples[self.turn] += 0 if stale or not self.talking else len(PCM)
        self.tell(Audio(self.turn - stale, PCM))

    def _end(self, number: int) -> None:
        if self.talking:
            self.end("completed", len(self.words))

    def _interrupt(self, number: int) -> None:
        if self.talking:
            self._user(0)
            self.end("interrupted", min(number, len(self.words)))

    def _fail(self, number: int) -> None:
        if self.talking:
            self.end("failed" if number % 2 else "empty", 0)

    def _aside(self, number: int) -> None:
        if not self.talking:
            self.turn += 1
            self.tell(Began(self.turn, f"b{self.turn}", "backchannel", 0), Audio(self.turn, PCM))
            self.tell(Ended(self.turn, f"b{self.turn}", "backchannel", "completed", "mhm", 100.0, {}))

    def _create(self, number: int) -> None:
        self.send("response.create", response={"metadata": {"n": str(number)}})

    def _cancel(self, number: int) -> None:
        self.send("response.cancel")

    def _truncate(self, number: int) -> None:
        self.send("conversation.item.truncate", item_id=f"a{number}", content_index=0, audio_end_ms=100 * number)

    def _retrieve(self, number: int) -> None:
        self.send("conversation.item.retrieve", item_id=f"{'au'[number % 2]}{number}")

    def _delete(self, number: int) -> None:
        self.send("conversation.item.delete", item_id=f"{'au'[number % 2]}{number}")

    def _commit(self, number: int) -> None:
        self.send("input_audio_buffer.commit")

    def _append(self, number: int) -> None:
        self.send("input_audio_buffer.append", audio=packed(bytes(4_800 * number)))

    def _item(self, number: int) -> None:
        role = ("user", "assistant", "system")[number % 3]
        content = [{"type": "input_text", "text": "written"}]
        self.send(
            "conversation.item.create", item={"type": "message", "role": role, "content": content, "id": f"w{number}"}
        )

    def _manual(self, number: int) -> None:
        detection = None if number % 2 else {"type": "semantic_vad"}
        self.send("session.update", session={"audio": {"input": {"turn_detection": detection}}})

    def _text(self, number: int) -> None:
        self.send("session.update", session={"output_modalities": ["text"] if number % 2 else ["audio"]})


def played(steps: list[tuple[str, int]]) -> Stage:
    """A stage after all steps, its last response over."""
    stage = Stage()
    for step, number in steps:
        stage.play(step, number)
    if stage.talking:
        stage.end("completed", len(stage.words))
    return stage


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_response_is_created_and_done_once_and_whole(steps: list[tuple[str, int]]) -> None:
    """Deltas come between; the item heard is a prefix of the deltas; ids of events never repeat."""
    stage = played(steps)
    events, sound = stage.events, 0
    assert len({event["event_id"] for event in events}) == len(events)
    active: str | None = None
    said: dict[str, str] = {}
    for event in events:
        type = event["type"]
        if type == "response.created":
            assert active is None
            active = str(event["response"]["id"])
            said[active], sound = "", 0
        elif type == "response.done":
            response = event["response"]
            assert response["id"] == active
            assert response["usage"] is not None
            if response["status"] == "completed" and sound and response["output_modalities"] == ["audio"]:
                assert sound == stage.samples[int(response["id"].rsplit("_", 1)[1])] * 3
            for item in response["output"]:
                part = item["content"][0]
                assert said[response["id"]].startswith(part.get("transcript", part.get("text")))
            active = None
        elif type.startswith("response."):
            assert active is not None
            assert event["response_id"] == active
            if type in ("response.output_audio_transcript.delta", "response.output_text.delta"):
                said[active] += event["delta"]
            elif type == "response.output_audio.delta":
                sound += len(unpacked(event["delta"]))
    assert active is None
    assert all(
        count == 1 for count in Counter(e["response"]["id"] for e in events if e["type"] == "response.done").values()
    )


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_client_can_follow_the_conversation(steps: list[tuple[str, int]]) -> None:
    """Items come behind those that are there, are named before they are used, and end up in the server's order."""
    stage = played(steps)
    order: list[str] = []
    ever: set[str] = set()
    for event in stage.events:
        type = event["type"]
        if type == "conversation.item.added":
            id, before = event["item"]["id"], event["previous_item_id"]
            assert id not in order
            assert before is None or before in order
            order.insert(order.index(before) + 1 if before else 0, id)
            ever.add(id)
        elif type == "conversation.item.deleted":
            order.remove(event["item_id"])
        elif "item_id" in event and type.startswith(("response.", "conversation.")):
            assert event["item_id"] in ever
    assert order == [item["id"] for item in stage.conversation.history]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_history_holds_the_words_heard(steps: list[tuple[str, int]]) -> None:
    """Of each answer at most what the session said was heard, less where the client truncated; none for unplayed."""
    stage = played(steps)
    for item in stage.conversation.history:
        if item["id"].startswith("a"):
            part = item["content"][0]
            text = str(part.get("transcript", part.get("text")))
            assert stage.heard[item["id"]].startswith(text)
            assert stage.cuts.get(item["id"], text).startswith(text)
            assert item["status"] in ("completed", "incomplete")
