"""Pauses inside user turns: the speaker hesitates, sometimes after a filler, and keeps the floor.

They teach the model that silence alone is not the end of a turn (RelayS2S section 3.2).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from datagen.core.distributions import draw
from datagen.core.language import Language, Timing
from datagen.core.overlay import Scene
from datagen.core.timeline import Layout, Mark, insert_silence
from datagen.core.types import Cue, Script
from datagen.kinds import KindConfig
from datagen.phenomena._places import choose, eligible, minutes_of, thin

NAME = "pause"


class Config(KindConfig):
    kind: Literal["pause"]
    per_minute: float = Field(default=2.0, ge=0)
    """Pauses per minute of user speech."""
    filler_probability: float = Field(default=0.5, ge=0, le=1)
    """How often a filler is spoken before the silence."""
    words_before: int = Field(default=2, ge=1)
    words_after: int = Field(default=2, ge=1)
    words_apart: int = Field(default=5, ge=1)


class Pause:
    """See the module."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def cue(self, script: Script, language: Language, rng: np.random.Generator) -> Script:
        """Places where the user hesitates, and the fillers spoken there."""
        config = self.config
        open_places = eligible(
            script,
            kind="hesitation",
            holder="user",
            words_before=config.words_before,
            words_after=config.words_after,
            words_apart=config.words_apart,
        )
        minutes = minutes_of(script, "user", language.words_per_minute)
        chosen, share = thin(open_places, config.per_minute * minutes, rng)
        for place in reversed(chosen):  # from the back, so that inserted fillers do not move the places before them
            filler = choose(language.fillers, rng) if rng.random() < config.filler_probability else ""
            if filler:
                script = script.insert(place.turn, place.after_word, filler)
            after_word = place.after_word + len(filler.split())
            cue = Cue(phenomenon=NAME, turn=place.turn, actor="user", after_word=after_word, probability=share)
            script = script.model_copy(update={"cues": (*script.cues, cue)})
        return script

    def shape(self, cue: Cue, layout: Layout, timing: Timing, rng: np.random.Generator) -> Layout:
        """The turn with a drawn silence after the word."""
        silence = draw(timing.pause, rng)
        mark = Mark(
            type="pause",
            actor=cue.actor,
            start=layout.words[cue.after_word].end,
            end=layout.words[cue.after_word + 1].start + silence,
            outcome="turn kept",
            probability=cue.probability,
        )
        return insert_silence(layout, cue.after_word, silence, mark)

    def overlay(self, cue: Cue, scene: Scene, spoken: Layout | None, timing: Timing, rng: np.random.Generator) -> Scene:
        return scene


def make(config: Config) -> Pause:
    return Pause(config)
