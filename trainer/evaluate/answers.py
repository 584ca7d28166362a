"""What the fast path would say at every turn: the whole free answer, its first words, and how the gate sees them.

Drafted as for the verifier (``trainer.stages.drafts``): at the recorded [BOS], with the true history, nothing more
heard. Turns that were cut are left out, as in the labels' points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from datagen.core.types import Turn
from trainer.evaluate.grading import Answer
from trainer.evaluate.heard import Heard, Hearing, by_length, device_of, stacked
from trainer.model.drafting import CONTROLS, Drafting, Onset, draft_at
from trainer.model.verifier import Decider
from trainer.prefixes import Steps, cut, prefix_of, steps_of
from trainer.runtime.joining import join
from trainer.targets import Point
from trainer.tokens import decode, encode

TOKENS = 160
"""Of an answer at most: 25 s of ticks, more than the longest turns have."""


@dataclass(frozen=True)
class Drafted:
    """One turn: as recorded, and as the fast path would say it."""

    heard: Heard
    point: Point
    context: tuple[Turn, ...]
    text: str
    """The whole free answer."""
    steps: Steps
    """What was logged of its first tokens."""

    @property
    def reference(self) -> str:
        """What the recorded assistant says: the slow path's part."""
        return self.point.reference

    def answer(self, opening: str, text: str) -> Answer:
        """Something said at this turn, to be judged."""
        return Answer(self.heard.row, self.context, opening, text)


def draft_answers(fast: Hearing, heard: Sequence[Heard], batch: int = 16) -> list[Drafted]:
    """A free answer at every recorded [BOS] of a turn that was not cut, by conversation and tick.

    Args:
        fast: the fast path, in evaluation mode.
        heard: the conversations.
        batch: conversations side by side; it changes nothing but the time.
    """
    found: list[Drafted] = []
    for group in by_length(heard, batch):
        found += _together(fast, [heard[place] for place in group])
    place = {one.row.id: number for number, one in enumerate(heard)}
    return sorted(found, key=lambda d: (place[d.heard.row.id], d.point.tick))


def prefix(drafted: Drafted, words: int, tokenizer: Any) -> tuple[str, Steps]:
    """The first words of the answer and the steps that the verifier looks at; both empty where nothing is said."""
    text, num_tokens = prefix_of(drafted.text, lambda said: encode(tokenizer, said), words)
    return text, cut(drafted.steps, num_tokens)


def committed(prefixed: tuple[str, Steps], decider: Decider | None) -> bool:
    """Whether a prefix is said: the verifier's decision, or without one, where there is a word to say."""
    text, steps = prefixed
    return bool(text) and (decider is None or decider.decide(steps.hidden_LD, steps.scalars_L3).commit)


joined = join
"""What the listener hears of a committed opening and a slow path that answers as recorded."""


def first_words(text: str, words: int) -> str:
    """The first whitespace words, single spaces between."""
    return " ".join(text.split()[:words])


def _together(fast: Hearing, heard: Sequence[Heard]) -> Iterator[Drafted]:
    places = [(row, point) for row, one in enumerate(heard) for point in one.target.points]
    if not places:
        return
    device = device_of(fast.duplex)
    token_BK = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(one.ids_K.copy()) for one in heard], batch_first=True, padding_value=fast.tokens.pad
    )
    drafts = draft_at(
        fast.duplex,
        stacked((one.speech_KD for one in heard), device),
        token_BK.to(device),
        [Onset(row, point.tick) for row, point in places],
        Drafting(stop=CONTROLS, max_tokens=TOKENS),
    )
    for (row, point), made in zip(places, drafts, strict=True):
        said = tuple(
            Turn(speaker=line.speaker, text=line.text) for line in point.context if any(c.isalnum() for c in line.text)
        )
        text = " ".join(decode(fast.tokenizer, made.spoken).split())
        yield Drafted(heard[row], point, said, text, steps_of(made))
