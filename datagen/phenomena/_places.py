"""Choosing places for cues: shared by the phenomena."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.core.language import Token
from datagen.core.types import Place, Script, Speaker


def eligible(
    script: Script,
    *,
    kind: str,
    holder: Speaker,
    words_before: int,
    words_after: int,
    words_apart: int,
) -> list[Place]:
    """The script's places of a kind in a speaker's turns, far enough from the turn's ends, from earlier cues and from
    each other (first come, first kept). Depends on the text alone."""
    chosen: list[Place] = []
    taken = [(cue.turn, cue.after_word) for cue in script.cues if cue.after_word >= 0]
    for place in sorted(script.places, key=lambda p: (p.turn, p.after_word)):
        turn = script.dialogue.turns[place.turn]
        if place.kind != kind or turn.speaker != holder:
            continue
        if place.after_word + 1 < words_before or len(turn.words) - place.after_word - 1 < words_after:
            continue
        if any(t == place.turn and abs(w - place.after_word) < words_apart for t, w in taken):
            continue
        chosen.append(place)
        taken.append((place.turn, place.after_word))
    return chosen


def thin(places: Sequence[Place], expected: float, rng: np.random.Generator) -> tuple[list[Place], float]:
    """Each place kept with the same probability so that ``expected`` remain on average; that probability, at most 1."""
    if not places:
        return [], 0.0
    probability = min(1.0, expected / len(places))
    keep = rng.random(len(places)) < probability
    return [place for place, kept in zip(places, keep, strict=True) if kept], probability


def choose(tokens: Sequence[Token], rng: np.random.Generator) -> str:
    """One token by weight."""
    weights = np.array([t.weight for t in tokens])
    return tokens[int(rng.choice(len(tokens), p=weights / weights.sum()))].text


def minutes_of(script: Script, speaker: Speaker, words_per_minute: float) -> float:
    """How long a speaker talks in the whole dialogue, by word count."""
    return sum(len(t.words) for t in script.dialogue.turns if t.speaker == speaker) / words_per_minute
