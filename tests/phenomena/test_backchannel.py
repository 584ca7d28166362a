from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.language import PAPER
from datagen.core.overlay import Scene
from datagen.core.records import Plan
from datagen.core.rng import stream
from datagen.core.timeline import Unfit, assemble, cut, lay
from datagen.core.types import Cue, Dialogue, Script, other
from datagen.core.units import from_ms
from datagen.phenomena.backchannel import Config, make
from datagen.stages import plan
from tests.strategies import annotated, anywhere, chatter, dialogues, english, plan_config, voiced

POLITE = english().profiles["polite"]
EVERYWHERE = Config(kind="backchannel", assistant_per_minute=1000, user_per_minute=1000)
COUNTED = 300


def config(**fields: Any) -> Config:
    return Config(kind="backchannel", **fields)


def cued(number: int, of: Config, **shape: Any) -> Script:
    """A chat with places in half of all gaps, and its cues."""
    spoken = chatter(number, **shape)
    return annotated(spoken, [of], number, anywhere(spoken, number))


def planned(script: Script, of: Config = EVERYWHERE, timing: plan.Timing = POLITE) -> Plan:
    return plan.plan(voiced(script), plan_config([of], timing), clips=())


@given(dialogues(), st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 9))
def test_signals_lie_at_clause_ends_away_from_the_ends_of_the_turn_and_from_each_other(
    spoken: Dialogue, before: int, after: int, apart: int, seed: int
) -> None:
    made = annotated(spoken, [config(words_before=before, words_after=after, words_apart=apart)], seed)
    clauses = {(p.turn, p.after_word) for p in made.places if p.kind == "clause"}
    places = [(c.turn, c.after_word) for c in made.cues]
    assert set(places) <= clauses
    assert len(set(places)) == len(places)
    for cue in made.cues:
        turn = made.dialogue.turns[cue.turn]
        assert cue.actor == other(turn.speaker)
        assert before <= cue.after_word + 1 <= len(turn.words) - after
        rest = [w for t, w in places if t == cue.turn and w != cue.after_word]
        assert all(abs(w - cue.after_word) >= apart for w in rest)
    assert made.dialogue == spoken, "a listener changes no word of the speaker's"


@pytest.mark.parametrize("probability", [0.3, 0.8, 1.0])
def test_invitations_are_answered_as_often_as_the_recipe_says(probability: float) -> None:
    of = config(assistant_per_minute=20, probability=probability)
    invitations = [c for n in range(COUNTED) for c in cued(n, of).cues if c.actor == "assistant"]
    answered = [c for c in invitations if c.text]
    assert len(invitations) > 500
    sd = (probability * (1 - probability) / len(invitations)) ** 0.5
    assert len(answered) / len(invitations) == pytest.approx(probability, abs=4 * sd + 1e-9)
    assert {c.probability for c in answered} == {probability}
    assert {c.probability for c in invitations if not c.text} == ({1 - probability} if probability < 1 else set())


@pytest.mark.parametrize("rate", [1.0, 3.4])
def test_rates_are_as_asked_where_places_abound(rate: float) -> None:
    of = config(assistant_per_minute=rate, user_per_minute=2 * rate)
    scripts = [cued(n, of, words=(25, 60)) for n in range(COUNTED)]
    for actor, asked in (("assistant", rate), ("user", 2 * rate)):
        heard = sum(len(t.words) for s in scripts for t in s.dialogue.turns if t.speaker != actor)
        expected = asked * heard / english().words_per_minute
        spoken = sum(c.actor == actor and bool(c.text) for s in scripts for c in s.cues)
        assert spoken == pytest.approx(expected, abs=4 * expected**0.5)


def test_what_is_said_follows_the_languages_weights() -> None:
    said = [c.text for n in range(COUNTED) for c in cued(n, EVERYWHERE).cues if c.text]
    tokens = english().backchannels
    total = sum(t.weight for t in tokens)
    assert set(said) <= {t.text for t in tokens}
    for token in tokens:
        share = token.weight / total
        assert said.count(token.text) / len(said) == pytest.approx(share, abs=4 * (share / len(said)) ** 0.5)


def test_no_rate_no_signals() -> None:
    assert cued(1, config(assistant_per_minute=0, user_per_minute=0)).cues == ()


def test_an_invitation_is_a_silence_and_says_whether_it_was_answered() -> None:
    """Answered exactly where a backchannel was laid: one that found no room leaves its invitation unanswered."""
    outcomes: list[tuple[str, float]] = []
    for number in range(40):
        made = planned(cued(number, EVERYWHERE))
        segments, dropped = made.timeline.segments, made.timeline.dropped
        invitations = [e for e in made.timeline.events if e.type == "invitation"]
        answers = [e for e in made.timeline.events if e.type == "backchannel" and e.actor == "assistant"]
        cues = [c for c in made.voiced.script.cues if c.actor == "assistant"]
        assert len(invitations) == len(cues)
        assert len([e for e in invitations if e.outcome == "answered"]) == len(answers)
        assert len(answers) == sum(bool(c.text) for c in cues) - sum(d.cue.actor == "assistant" for d in dropped)
        for event in invitations:
            assert event.end - event.start >= from_ms(250)
            assert segments[event.target].speaker == event.actor == "user"
            near = [a for a in answers if from_ms(60) <= a.start - event.start <= from_ms(400)]
            assert (event.outcome == "answered") == bool(near)
            outcomes.append((event.outcome, round(event.probability, 3)))
    assert set(outcomes) == {("answered", 0.8), ("unanswered", 0.2), ("unanswered", 1.0)}


def test_the_papers_profile_invites_with_no_silence() -> None:
    made = planned(cued(5, EVERYWHERE), timing=PAPER)
    assert not any(e.type == "invitation" for e in made.timeline.events)
    answers = [e for e in made.timeline.events if e.type == "backchannel" and e.actor == "assistant"]
    ends = {w.end for s in made.timeline.segments if s.speaker == "user" for w in s.words}
    assert answers
    assert all(a.start - from_ms(200) in ends for a in answers)


def test_a_signal_to_words_that_were_never_said_has_no_place() -> None:
    script = Script(dialogue=chatter(1, 2, (20, 20)))
    utterances = voiced(script).utterances
    layouts = [lay(n, u) for n, u in enumerate(utterances)]
    layouts[1] = cut(layouts[1], layouts[1].end // 2, 1_600, 0.5)
    draft = assemble(layouts, [(t.speaker, t.text) for t in script.dialogue.turns], [3_200], 0)
    cue = Cue(phenomenon="backchannel", turn=1, actor="user", after_word=15, text="yeah", probability=0.5)
    rng = stream(1, "c", "overlay")
    with pytest.raises(Unfit, match="turn 1 was cut before word 15"):
        make(EVERYWHERE).overlay(cue, Scene(draft=draft), layouts[0], POLITE, rng)
    assert make(EVERYWHERE).overlay(cue, Scene(draft=draft), None, POLITE, rng) == Scene(draft=draft)
    assert make(EVERYWHERE).shape(cue, layouts[0], POLITE, rng) is layouts[0]
