from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.overlay import Scene
from datagen.core.records import Plan
from datagen.core.rng import stream
from datagen.core.timeline import assemble, lay
from datagen.core.types import Dialogue, Script
from datagen.core.units import from_ms
from datagen.phenomena.pause import Config, make
from datagen.stages import plan
from tests.strategies import annotated, anywhere, chatter, dialogues, english, plan_config, voiced

POLITE = english().profiles["polite"]
COUNTED = 300


def config(**fields: Any) -> Config:
    return Config(kind="pause", **fields)


def cued(number: int, of: Config, **shape: Any) -> Script:
    spoken = chatter(number, **shape)
    return annotated(spoken, [of], number, anywhere(spoken, number))


def planned(script: Script, of: Config) -> Plan:
    return plan.plan(voiced(script), plan_config([of], POLITE), clips=())


@given(dialogues(), st.integers(0, 9), st.integers(1, 5))
def test_fillers_are_all_that_changes(spoken: Dialogue, seed: int, apart: int) -> None:
    """Without its fillers the script holds the words it held before, and each pause follows its filler."""
    of = config(per_minute=1000, filler_probability=1, words_apart=apart)
    made = annotated(spoken, [of], seed, anywhere(spoken, seed))
    fillers = {t.text for t in english().fillers}
    words = [list(t.words) for t in made.dialogue.turns]
    for cue in sorted(made.cues, key=lambda c: -c.after_word):
        turn = words[cue.turn]
        said = next(f for f in fillers if turn[: cue.after_word + 1][-len(f.split()) :] == f.split())
        del turn[cue.after_word + 1 - len(said.split()) : cue.after_word + 1]
    assert words == [t.words for t in spoken.turns]


@given(dialogues(), st.integers(0, 9))
def test_without_fillers_no_word_changes(spoken: Dialogue, seed: int) -> None:
    made = annotated(spoken, [config(per_minute=60, filler_probability=0)], seed, anywhere(spoken, seed))
    assert made.dialogue == spoken
    hesitations = {(p.turn, p.after_word) for p in made.places if p.kind == "hesitation"}
    assert {(c.turn, c.after_word) for c in made.cues} <= hesitations
    assert all(spoken.turns[c.turn].speaker == c.actor == "user" for c in made.cues)


@pytest.mark.parametrize("rate", [2.0, 6.0])
def test_the_rate_is_as_asked_where_places_abound(rate: float) -> None:
    spoken = [cued(n, config(per_minute=rate, filler_probability=0.5), words=(25, 60)) for n in range(COUNTED)]
    said = sum(len(t.words) for n in range(COUNTED) for t in chatter(n, words=(25, 60)).turns if t.speaker == "user")
    expected = rate * said / english().words_per_minute
    cues = [c for s in spoken for c in s.cues]
    assert len(cues) == pytest.approx(expected, abs=4 * expected**0.5)
    ends = {t.text.split()[-1] for t in english().fillers}
    filled = sum(s.dialogue.turns[c.turn].words[c.after_word] in ends for s in spoken for c in s.cues)
    assert filled / len(cues) == pytest.approx(0.5, abs=4 * (0.25 / len(cues)) ** 0.5)


def test_a_pause_lies_inside_one_turn_that_goes_on() -> None:
    seen = 0
    for number in range(40):
        of = config(per_minute=20)
        made = planned(cued(number, of), of)
        turns = made.voiced.script.dialogue.turns
        assert [s.text for s in made.timeline.segments] == [t.text for t in turns], "each turn stays one segment"
        pauses = [e for e in made.timeline.events if e.type == "pause"]
        assert len(pauses) == len(made.voiced.script.cues)
        for event in pauses:
            holder = made.timeline.segments[event.target]
            assert (holder.speaker, event.outcome) == ("user", "turn kept")
            assert holder.start < event.start < event.end < holder.end
            assert event.end - event.start >= from_ms(400)
            around = zip(holder.words, holder.words[1:], strict=False)
            assert any((left.end, right.start) == (event.start, event.end) for left, right in around)
            seen += 1
    assert seen > 100


def test_a_pause_lays_nothing_over_the_turns() -> None:
    record = voiced(cued(1, config()))
    turns = record.script.dialogue.turns
    draft = assemble(
        [lay(n, u) for n, u in enumerate(record.utterances[: len(turns)])],
        [(t.speaker, t.text) for t in turns],
        [0] * (len(turns) - 1),
        0,
    )
    cue = cued(1, config(per_minute=1000)).cues[0]
    assert make(config()).overlay(cue, Scene(draft=draft), None, POLITE, stream(1, "c", "o")) == Scene(draft=draft)
