"""Interruptions: the user cuts in, both are heard for a moment, the assistant stops in mid-turn.

assistant  [~~~~~~~~~~~~~~~~~~~/         (the rest is not said; the label holds the words that were)
user                       [Wait, ~~~~~~~~~~~~~~
                           |<-->| overlap = how long the assistant takes to yield
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from datagen.core.distributions import draw
from datagen.core.language import Language, Timing
from datagen.core.overlay import Scene
from datagen.core.timeline import Layout, Unfit, audible, cut
from datagen.core.types import Cue, Script
from datagen.core.units import from_ms
from datagen.kinds import KindConfig
from datagen.phenomena._places import choose

NAME = "interruption"
MIN_CUT = from_ms(600)
"""The assistant says something before it is cut: a shorter stretch holds hardly a word."""


class Config(KindConfig):
    kind: Literal["interruption"]
    probability: float = Field(default=0.25, ge=0, le=1)
    """Of every assistant turn that is long enough and followed by a user turn."""
    min_words: int = Field(default=12, ge=4)
    """Shorter turns are over before anyone would cut in."""
    opener_probability: float = Field(default=0.5, ge=0, le=1)
    """How often the user's turn begins with a word that claims the floor (wait, sorry)."""


class Interruption:
    """See the module."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def cue(self, script: Script, language: Language, rng: np.random.Generator) -> Script:
        """Assistant turns to be cut, and the word with which the user claims the floor."""
        config = self.config
        if config.probability == 0:
            return script
        for index, turn in enumerate(script.dialogue.turns[:-1]):
            if turn.speaker != "assistant" or len(turn.words) < config.min_words:
                continue
            if rng.random() >= config.probability:
                continue
            if rng.random() < config.opener_probability:
                script = script.insert(index + 1, -1, choose(language.interruption_openers, rng))
            cue = Cue(phenomenon=NAME, turn=index, actor="user", after_word=-1, probability=config.probability)
            script = script.model_copy(update={"cues": (*script.cues, cue)})
        return script

    def shape(self, cue: Cue, layout: Layout, timing: Timing, rng: np.random.Generator) -> Layout:
        """The turn, cut at a drawn share of its length; Unfit where nothing would be left to hear."""
        low, high = timing.barge_in_cut
        at = int(layout.end * (low + (high - low) * rng.random()))
        overlap = draw(timing.barge_in_overlap, rng)
        if at < MIN_CUT or overlap > at:
            raise Unfit(f"turn {cue.turn} is too short to be cut into")
        if not audible(layout.words, at):
            raise Unfit(f"turn {cue.turn} has no audible word before the cut")
        return cut(layout, at, overlap, cue.probability)

    def overlay(self, cue: Cue, scene: Scene, spoken: Layout | None, timing: Timing, rng: np.random.Generator) -> Scene:
        return scene


def make(config: Config) -> Interruption:
    return Interruption(config)
