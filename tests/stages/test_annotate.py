from __future__ import annotations

from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Annotated, Cue, Dialogue, Ingested, Script
from datagen.kinds import KindConfig
from datagen.llm import rules
from datagen.phenomena import backchannel, interruption, pause
from datagen.stages import annotate
from datagen.stages.inputs import Inputs
from tests.strategies import chatter, configs, dialogues, english

BACKCHANNEL = backchannel.Config(kind="backchannel", assistant_per_minute=15, user_per_minute=15)
PAUSE = pause.Config(kind="pause", per_minute=15)
INTERRUPTION = interruption.Config(kind="interruption", probability=0.5)


def config(phenomena: tuple[KindConfig, ...], seed: int = 1) -> annotate.Config:
    return annotate.Config(annotator=rules.Config(kind="rules"), phenomena=phenomena, language=english(), seed=seed)


def annotated(said: Dialogue, of: annotate.Config) -> Annotated:
    return annotate.process(Ingested(dialogue=said, split="test"), of, Inputs("", {}, 0), Mock())


def word(script: Script, cue: Cue) -> str:
    return script.dialogue.turns[cue.turn].words[cue.after_word]


@given(dialogues(), configs(), st.integers(0, 99))
def test_every_dialogue_can_be_annotated(said: Dialogue, phenomena: tuple[KindConfig, ...], seed: int) -> None:
    made = annotated(said, config(phenomena, seed))
    assert Annotated.model_validate_json(made.model_dump_json()) == made
    assert (made.id, made.split, made.script.places) == (said.id, "test", ())
    assert [t.speaker for t in made.script.dialogue.turns] == [t.speaker for t in said.turns]
    assert {c.phenomenon for c in made.script.cues} <= {c.kind for c in phenomena}


def test_cues_do_not_depend_on_the_order_of_the_work_nor_on_other_conversations() -> None:
    of = config((BACKCHANNEL, PAUSE, INTERRUPTION))
    forward = {n: annotated(chatter(n), of) for n in range(12)}
    backward = {n: annotated(chatter(n), of) for n in reversed(range(6, 12))}
    assert all(forward[n] == backward[n] for n in backward)


def test_another_seed_gives_other_cues() -> None:
    made = [annotated(chatter(1), config((BACKCHANNEL, PAUSE, INTERRUPTION), seed)) for seed in range(4)]
    assert len({m.model_dump_json() for m in made}) == 4


def test_a_later_phenomenon_takes_no_place_from_an_earlier_one() -> None:
    """Nor does it move it: the cues stand at the same words although fillers and openers came in between."""
    moved = 0
    for number in range(30):
        alone = annotated(chatter(number), config((BACKCHANNEL,))).script
        both = annotated(chatter(number), config((BACKCHANNEL, PAUSE, INTERRUPTION))).script
        kept = [c for c in both.cues if c.phenomenon == "backchannel"]
        assert [(word(both, c).casefold(), c.text, c.probability) for c in kept] == [
            (word(alone, c).casefold(), c.text, c.probability) for c in alone.cues
        ]
        moved += sum(a.after_word != b.after_word for a, b in zip(alone.cues, kept, strict=True))
    assert moved > 10


@given(dialogues(), st.integers(0, 9))
def test_two_phenomena_never_share_a_place(said: Dialogue, seed: int) -> None:
    made = annotated(said, config((BACKCHANNEL, PAUSE), seed)).script
    places = [(c.turn, c.after_word) for c in made.cues]
    assert len(set(places)) == len(places)
