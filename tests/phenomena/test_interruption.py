from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.distributions import Fixed
from datagen.core.records import Utterance
from datagen.core.rng import stream
from datagen.core.timeline import Unfit, lay
from datagen.core.types import Cue, Dialogue, Script
from datagen.core.units import from_ms
from datagen.phenomena.interruption import MIN_CUT, Config, make
from datagen.stages import plan
from tests.strategies import annotated, chatter, dialogues, english, plan_config, voiced, word_times

POLITE = english().profiles["polite"]
CUE = Cue(phenomenon="interruption", turn=0, actor="user", after_word=-1, probability=0.25)


def config(**fields: Any) -> Config:
    return Config(kind="interruption", **fields)


def spoken(lead: int = 0) -> Utterance:
    text = "one two three four five six seven eight nine ten eleven twelve"
    words = word_times(text, 170, lead, 0)
    return Utterance(
        turn=0,
        speaker="assistant",
        text=text,
        num_samples=words[-1].end,
        words=words,
        active_power=0.1,
        peak=0.5,
    )


def open_turns(script: Dialogue, of: Config) -> list[int]:
    return [
        n for n, turn in enumerate(script.turns[:-1]) if turn.speaker == "assistant" and len(turn.words) >= of.min_words
    ]


@given(dialogues(), st.integers(4, 20), st.integers(0, 9))
def test_only_long_turns_that_someone_answers_are_interrupted(said: Dialogue, min_words: int, seed: int) -> None:
    of = config(probability=1, min_words=min_words, opener_probability=1)
    made = annotated(said, [of], seed)
    assert [c.turn for c in made.cues] == open_turns(said, of)
    openers = [t.text for t in english().interruption_openers]
    for number, (before, after) in enumerate(zip(said.turns, made.dialogue.turns, strict=True)):
        if any(c.turn == number - 1 for c in made.cues):
            assert any(after.text.startswith(f"{opener} ") for opener in openers)
            assert after.text.casefold().endswith(" ".join(before.words).casefold())
        else:
            assert after == before


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_turns_are_interrupted_as_often_as_the_recipe_says(probability: float) -> None:
    of = config(probability=probability, opener_probability=0.5)
    chances = hits = opened = 0
    for number in range(300):
        said = chatter(number)
        made = annotated(said, [of], number)
        chances += len(open_turns(said, of))
        hits += len(made.cues)
        opened += sum(a != b for a, b in zip(said.turns, made.dialogue.turns, strict=True))
        assert {c.probability for c in made.cues} <= {probability}
    assert hits == pytest.approx(chances * probability, abs=4 * (chances * probability * (1 - probability)) ** 0.5)
    assert opened == pytest.approx(hits / 2, abs=4 * (hits / 4) ** 0.5)


def test_the_assistant_stops_in_the_asked_stretch_of_its_turn_and_yields_as_fast_as_asked() -> None:
    of = config(probability=1)
    seen = 0
    for number in range(30):
        made = plan.plan(voiced(annotated(chatter(number), [of], number)), plan_config([of], POLITE), clips=())
        for event in (e for e in made.timeline.events if e.type == "barge_in"):
            held = made.timeline.segments[event.target]
            size = made.voiced.utterances[held.utterance].num_samples
            assert 0.2 * size - 1 <= held.end - held.start <= 0.6 * size
            assert held.end - held.start >= MIN_CUT
            assert event.end - event.start <= from_ms(1200)
            assert (event.actor, event.outcome, held.yielded) == ("user", "yielded", True)
            seen += 1
    assert seen > 30


def timing(cut: float, overlap_ms: float) -> plan.Timing:
    overlap = Fixed(dist="fixed", ms=overlap_ms)
    return POLITE.model_copy(update={"barge_in_cut": (cut, cut), "barge_in_overlap": overlap})


@pytest.mark.parametrize(
    ("cut", "overlap_ms", "lead", "message"),
    [
        (0.1, 200, 0, "turn 0 is too short to be cut into"),
        (0.2, 5000, 0, "turn 0 is too short to be cut into"),
        (0.4, 200, 48_000, "turn 0 has no audible word before the cut"),
    ],
)
def test_a_cut_that_leaves_nothing_to_hear_is_dropped(cut: float, overlap_ms: float, lead: int, message: str) -> None:
    with pytest.raises(Unfit, match=message):
        make(config()).shape(CUE, lay(0, spoken(lead)), timing(cut, overlap_ms), stream(1, "c", "shape"))


def test_a_cut_turn_knows_who_cut_it_and_how_likely_that_was() -> None:
    layout = make(config()).shape(CUE, lay(0, spoken()), timing(0.5, 200), stream(1, "c", "shape"))
    assert layout.end == int(spoken().num_samples * 0.5)
    assert (layout.yields_after, layout.cut_probability) == (from_ms(200), 0.25)


def test_a_script_without_interruptions_is_left_alone() -> None:
    said = chatter(1)
    assert annotated(said, [config(probability=0)]).cues == ()
    assert isinstance(annotated(said, [config(probability=0)]), Script)
