from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.core.records import Event, NoiseBlock, Piece, Segment, Timeline, Transition, Utterance, VoicedScript
from datagen.core.types import (
    MAX_TURN_CHARACTERS,
    Annotated,
    Cue,
    Dialogue,
    Ingested,
    Place,
    Script,
    Speaker,
    Turn,
    Word,
    other,
    uncapitalised,
)
from tests.strategies import anywhere, dialogue, dialogues, voice

INSERTIONS = st.sampled_from(["um,", "Wait,", "let me see,", "Okay, okay,"])


def turn(text: str = "one two three", speaker: Speaker = "user") -> Turn:
    return Turn(speaker=speaker, text=text)


def words(*spans: tuple[int, int]) -> tuple[Word, ...]:
    return tuple(Word(text=f"w{n}", start=start, end=end) for n, (start, end) in enumerate(spans))


def segment(speaker: Speaker, *pieces: tuple[int, int, int], turn: int = 0) -> Segment:
    return Segment(
        speaker=speaker,
        kind="turn",
        turn=turn,
        utterance=turn,
        pieces=tuple(Piece(start=a, end=b, at=at) for a, b, at in pieces),
        text="yes",
        text_full="yes",
        words=(),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\ntwo", "control characters"),
        ("zero\ufeffwidth", "control characters"),
        ("", "nothing to say"),
        ("?! ...", "nothing to say"),
        ("a" * (MAX_TURN_CHARACTERS + 1), "2001 characters, at most 2000"),
    ],
)
def test_a_turn_can_be_spoken(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        turn(text)


def test_turns_alternate() -> None:
    with pytest.raises(ValidationError, match="turns 1 and 2 are both by the assistant; merge them"):
        dialogue([turn(), turn(speaker="assistant"), turn(speaker="assistant")])
    assert {other("user"), other("assistant")} == {"user", "assistant"}


@pytest.mark.parametrize("identity", ["", "a/b", "a b", "-a", "a_b", "a\n", "x" * 129])
def test_an_id_can_be_a_file_name(identity: str) -> None:
    with pytest.raises(ValidationError, match="id"):
        dialogue([turn()], identity)


def test_nothing_can_be_changed_or_added() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        turn().text = "other"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Turn.model_validate({"speaker": "user", "text": "yes", "mood": "good"})


@pytest.mark.parametrize(("number", "after_word", "message"), [(1, 0, "turn 1 does not exist"), (0, 3, "no word 3")])
def test_a_cue_is_at_a_word_that_exists(number: int, after_word: int, message: str) -> None:
    cue = Cue(phenomenon="pause", turn=number, actor="user", after_word=after_word, probability=1)
    with pytest.raises(ValidationError, match=message):
        Script(dialogue=dialogue([turn()]), cues=(cue,))


@pytest.mark.parametrize(("number", "after_word", "message"), [(1, 0, "turn 1 does not"), (0, 2, "around word 2")])
def test_a_place_is_between_two_words(number: int, after_word: int, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Script(dialogue=dialogue([turn()]), places=(Place(turn=number, after_word=after_word, kind="clause"),))


@given(dialogues(max_turns=3), INSERTIONS, st.data())
def test_inserted_words_move_no_cue_and_no_place_to_another_word(
    spoken: Dialogue, text: str, data: st.DataObject
) -> None:
    places = tuple(anywhere(spoken, 1))
    cues = tuple(
        Cue(phenomenon="pause", turn=n, actor="user", after_word=w, probability=1)
        for n, t in enumerate(spoken.turns)
        for w in range(-1, len(t.words))
    )
    script = Script(dialogue=spoken, cues=cues, places=places)
    number = data.draw(st.integers(0, len(spoken.turns) - 1))
    after = data.draw(st.integers(-1, len(spoken.turns[number].words) - 1))
    longer = script.insert(number, after, text)

    def word(of: Script, item: Cue | Place) -> str:
        return of.dialogue.turns[item.turn].words[item.after_word].casefold() if item.after_word >= 0 else ""

    assert [word(longer, c) for c in longer.cues] == [word(script, c) for c in script.cues]
    assert [word(longer, p) for p in longer.places] == [word(script, p) for p in script.places]
    changed = longer.dialogue.turns[number].words
    assert changed[after + 1 : after + 1 + len(text.split())] == text.split()
    rest = changed[: after + 1] + changed[after + 1 + len(text.split()) :]
    assert [w.casefold() for w in rest] == [w.casefold() for w in spoken.turns[number].words]
    assert [t for n, t in enumerate(longer.dialogue.turns) if n != number] == [
        t for n, t in enumerate(spoken.turns) if n != number
    ]


@pytest.mark.parametrize(
    ("word", "inside"),
    [("What", "what"), ("I", "I"), ("I'm", "I'm"), ("NASA", "NASA"), ('"Yes', '"yes'), ("A", "a"), ("7", "7")],
)
def test_a_first_word_loses_its_capital_inside_a_sentence(word: str, inside: str) -> None:
    assert uncapitalised(word) == inside


def test_words_run_forward_and_move_whole() -> None:
    with pytest.raises(ValidationError, match="'yes' ends at 4, before it starts at 5"):
        Word(text="yes", start=5, end=4)
    assert Word(text="yes", start=5, end=9, estimated=True).moved(10) == Word(
        text="yes", start=15, end=19, estimated=True
    )


def utterance(spoken: tuple[Word, ...], text: str = "w0 w1") -> Utterance:
    return Utterance(turn=0, speaker="user", text=text, num_samples=100, words=spoken, active_power=0.1, peak=0.5)


@pytest.mark.parametrize(
    ("spoken", "text", "message"),
    [
        (words((0, 20), (19, 30)), "w0 w1", "'w0' and 'w1' overlap"),
        (words((0, 20), (20, 101)), "w0 w1", "beyond the 100 samples"),
        (words((-1, 20), (20, 100)), "w0 w1", "beyond the 100 samples"),
        (words((0, 20)), "w0 w1", "words differ from the text"),
    ],
)
def test_an_utterances_words_are_those_of_its_text(spoken: tuple[Word, ...], text: str, message: str) -> None:
    assert utterance(words((0, 20), (20, 100))).words
    with pytest.raises(ValidationError, match=message):
        utterance(spoken, text)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([segment("user", (0, 50, 0)), segment("user", (0, 50, 49))], "the user overlaps itself at sample 49"),
        ([segment("user", (0, 50, 0), (50, 60, 40))], "the user overlaps itself at sample 40"),
        ([segment("user", (0, 9, 20)), segment("assistant", (0, 9, 10))], "not in order of start"),
        ([segment("user", (0, 50, 60))], "ends after the conversation"),
    ],
)
def test_impossible_timelines_cannot_be_built(segments: list[Segment], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Timeline(id="c", num_samples=100, segments=tuple(segments))


def test_both_may_speak_at_once() -> None:
    both = (segment("user", (0, 50, 0), (50, 60, 80)), segment("assistant", (0, 90, 10)))
    made = Timeline(id="c", num_samples=100, segments=both)
    assert [(s.start, s.end) for s in made.segments] == [(0, 90), (10, 100)]


EMPTY: list[tuple[type, dict[str, Any]]] = [
    (Piece, {"start": 5, "end": 5, "at": 0}),
    (NoiseBlock, {"clip": "c", "clip_start": 0, "start": 5, "end": 5, "snr_db": 3}),
    (
        Event,
        {"type": "pause", "actor": "user", "start": 5, "end": 4, "target": 0, "outcome": "turn kept", "probability": 1},
    ),
]


@pytest.mark.parametrize(("made", "fields"), EMPTY)
def test_time_runs_forward(made: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"empty|before it starts"):
        made(**fields)
    assert made(**(fields | {"end": 6})).end == 6


def test_a_transition_says_whether_it_is_as_asked() -> None:
    fields: dict[str, Any] = {"before": 0, "after": 1, "asked": 5, "kind": "smooth"}
    assert not Transition(achieved=5, **fields).clipped
    assert Transition(achieved=6, **fields).clipped


def test_a_record_is_known_by_its_dialogue() -> None:
    spoken = dialogue([turn()], "c-7")
    script = Script(dialogue=spoken)
    record = VoicedScript(
        script=script, split="train", user_voice=voice("u"), assistant_voice=voice("a"), utterances=()
    )
    ids = {Ingested(dialogue=spoken, split="train").id, Annotated(script=script, split="train").id, record.id}
    assert ids == {"c-7"}
