"""Backchannels: short signs of listening that do not take the floor.

The assistant's are meant to be learnable. The user's turn gets an *invitation*, a clause end with a short silence, and
the assistant answers it with a stated probability; unanswered invitations stay in the data. So whoever hears every
invitation can reach exactly that probability as precision, and the report prints this ceiling. The user's backchannels
fall on clause ends of the assistant's running speech and do not stop it.

    user       [~~~~~ clause,   <silence>   and another clause ~~~]
    assistant               [mm-hmm]
                         delay-^
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from datagen.core.distributions import draw
from datagen.core.language import Language, Timing
from datagen.core.overlay import Scene, add_backchannel
from datagen.core.timeline import Layout, Mark, Unfit, insert_silence
from datagen.core.types import Cue, Place, Script, other
from datagen.kinds import KindConfig
from datagen.phenomena._places import choose, eligible, minutes_of, thin

NAME = "backchannel"
INVITATION = "invitation"


class Config(KindConfig):
    kind: Literal["backchannel"]
    assistant_per_minute: float = Field(default=3.4, ge=0)
    """The assistant's backchannels per minute of user speech. 1.7 per minute of conversation in Switchboard (FTAD),
    where each side talks about half of the time."""
    user_per_minute: float = Field(default=3.4, ge=0)
    """The user's, per minute of assistant speech."""
    probability: float = Field(default=0.8, gt=0, le=1)
    """How often an invitation is answered: the ceiling of a predictor's precision."""
    words_before: int = Field(default=4, ge=1)
    """Words of the turn before the first place: nobody says mm-hmm after one word."""
    words_after: int = Field(default=3, ge=1)
    words_apart: int = Field(default=6, ge=1)


class Backchannel:
    """See the module."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def cue(self, script: Script, language: Language, rng: np.random.Generator) -> Script:
        """Invitations in the user's turns, answered or not, and the user's signs of listening in the assistant's."""
        config = self.config
        cues: list[Cue] = []
        for holder in ("user", "assistant"):
            open_places = eligible(
                script,
                kind="clause",
                holder=holder,
                words_before=config.words_before,
                words_after=config.words_after,
                words_apart=config.words_apart,
            )
            minutes = minutes_of(script, holder, language.words_per_minute)
            invited = holder == "user"
            rate = config.assistant_per_minute / config.probability if invited else config.user_per_minute
            chosen, share = thin(open_places, rate * minutes, rng)
            for place in chosen:
                text = place.text or choose(language.backchannels, rng)
                answered = not invited or rng.random() < config.probability
                probability = config.probability if invited else share
                if not answered:
                    text, probability = "", 1 - config.probability
                cues.append(_cue(place, holder, text, probability))
        return script.model_copy(update={"cues": (*script.cues, *cues)})

    def shape(self, cue: Cue, layout: Layout, timing: Timing, rng: np.random.Generator) -> Layout:
        """Leaves room after the clause in a user's turn; the assistant's speech is not changed by a listener."""
        if cue.actor == "user":
            return layout
        silence = draw(timing.invitation, rng)
        if silence <= 0:
            return layout
        start = layout.words[cue.after_word].end
        end = layout.words[cue.after_word + 1].start + silence
        # Without room for its answer the invitation stays unanswered for certain; ``overlay`` says when there is room.
        mark = Mark(
            type=INVITATION,
            actor=other(cue.actor),
            start=start,
            end=end,
            outcome="unanswered",
            probability=1.0 if cue.text else cue.probability,
        )
        return insert_silence(layout, cue.after_word, silence, mark)

    def overlay(self, cue: Cue, scene: Scene, spoken: Layout | None, timing: Timing, rng: np.random.Generator) -> Scene:
        """The backchannel itself, a drawn delay after the word before its place."""
        if spoken is None:
            return scene
        holder = scene.draft.segments[cue.turn]
        if cue.after_word >= len(holder.words):
            raise Unfit(f"turn {cue.turn} was cut before word {cue.after_word}")
        invited_at = holder.words[cue.after_word].end
        at = invited_at + draw(timing.backchannel_delay, rng)
        answered = add_backchannel(scene, spoken, cue.turn, cue.actor, cue.text, at, cue.probability)
        return _answered(answered, cue, invited_at)


def _answered(scene: Scene, cue: Cue, invited_at: int) -> Scene:
    """The scene whose invitation at a sample, if there was one, has got its answer."""
    answer = {"outcome": "answered", "probability": cue.probability}
    events = tuple(
        e.model_copy(update=answer) if (e.type, e.target, e.start) == (INVITATION, cue.turn, invited_at) else e
        for e in scene.draft.events
    )
    return scene.model_copy(update={"draft": scene.draft.model_copy(update={"events": events})})


def _cue(place: Place, holder: Literal["user", "assistant"], text: str, probability: float) -> Cue:
    return Cue(
        phenomenon=NAME,
        turn=place.turn,
        actor=other(holder),
        after_word=place.after_word,
        text=text,
        probability=probability,
    )


def make(config: Config) -> Backchannel:
    return Backchannel(config)
