"""Conversations written tick by tick, and a model that says what it is told: evaluation without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from datagen.core.records import Event, SegmentKind
from datagen.core.types import Speaker
from datagen.core.units import FRAME_SAMPLES
from trainer.data.rows import Row, Segment
from trainer.evaluate.heard import Heard, heard_of
from trainer.model.duplex import Step
from trainer.targets import Ids, Rules
from trainer.tokens import ControlTokens, add_control_tokens, train_tokenizer

RULES = Rules(interrupted="written")
WORDS = ("go", "left", "at", "the", "bridge", "and", "wait", "there", "for", "me", "please", "now")
SURE = 30.0
"""Logit of a token that is certain."""


class Said(NamedTuple):
    """A segment, in ticks."""

    speaker: Speaker
    start: int
    end: int
    text: str = "go left"
    kind: SegmentKind = "turn"
    full: str = ""
    """The words as written, of a turn that is cut."""


@cache
def tokenizer() -> Any:
    """Every word of ``WORDS`` is one token, with the space before it or without."""
    made = train_tokenizer([f"{a} {b}" for a in WORDS for b in WORDS] * 4, 320)
    add_control_tokens(made)
    return made


def tokens() -> ControlTokens:
    """Of that tokenizer."""
    return add_control_tokens(tokenizer())


def row(*said: Said, ticks: int, id: str = "talk-0", barge_ins: Sequence[tuple[int, int]] = ()) -> Row:
    """A conversation. ``barge_ins``: (segment, tick in which the user begins)."""
    segments = tuple(
        Segment(
            speaker=s.speaker,
            kind=s.kind,
            start=s.start * FRAME_SAMPLES,
            end=s.end * FRAME_SAMPLES,
            text=s.text,
            text_full=s.full or s.text,
            yielded=bool(s.full),
        )
        for s in sorted(said, key=lambda s: s.start)
    )
    events = tuple(
        Event(
            type="barge_in",
            actor="user",
            start=tick * FRAME_SAMPLES,
            end=segments[target].end,
            target=target,
            outcome="yielded",
            probability=0.25,
        )
        for target, tick in barge_ins
    )
    return Row(
        id=id,
        language="en",
        domain="travel",
        source="grammar",
        profile="polite",
        num_samples=ticks * FRAME_SAMPLES,
        segments=segments,
        events=events,
        user_voice="u",
        assistant_voice="a",
    )


class Silent(NamedTuple):
    """The state of a model that remembers nothing."""

    def rows(self, rows: Sequence[int]) -> Silent:
        return self


class Scripted:
    """A duplex model whose logits are its speech vectors: it says what it hears, whatever it said before."""

    def __init__(self) -> None:
        self.tokens = tokens()
        self.width = self.tokens.vocabulary
        self.embedding = torch.nn.Embedding(1, 1)
        self.fed: list[list[int]] = []
        """The token of the tick before, of every row, at every tick."""

    def step(self, tick_BD: Tensor, token_B: Tensor, state: Any) -> Step:
        self.fed.append(token_B.tolist())
        return Step(tick_BD, tick_BD, Silent())  # pyright: ignore[reportArgumentType]

    def prefill(self, speech_BKD: Tensor, previous_BK: Tensor) -> tuple[Tensor, Any]:
        assert previous_BK.shape == speech_BKD.shape[:2]
        return speech_BKD, Silent()

    def logits(self, hidden_BKD: Tensor) -> Tensor:
        return hidden_BKD


@dataclass
class Path:
    """A fast path around some duplex model."""

    duplex: Any
    tokenizer: Any

    @property
    def tokens(self) -> ControlTokens:
        return self.duplex.tokens

    def speech(self, samples_BN: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("nothing is to be heard here")


def scripted() -> Path:
    """A fast path that says what it is told."""
    return Path(Scripted(), tokenizer())


def certain(ids_K: Ids | Sequence[int]) -> Tensor:
    """Speech vectors that make a scripted model say these tokens."""
    ids = torch.as_tensor(np.array(ids_K))
    return SURE * torch.nn.functional.one_hot(ids, tokens().vocabulary).float()


def mixed(*shares: tuple[int, float]) -> Tensor:
    """The vector of one tick that gives each of some tokens its probability; they sum to 1."""
    vector_D = torch.full((tokens().vocabulary,), -SURE)
    for token, share in shares:
        vector_D[token] = float(np.log(share))
    return vector_D


def heard(row: Row, rules: Rules = RULES) -> Heard:
    """The conversation, with speech that makes a scripted model say its labels."""
    blank = heard_of(row, torch.zeros(10_000, 1), scripted(), rules)
    return replace(blank, speech_KD=certain(blank.ids_K))


def told(conversation: Heard, ids_K: Ids) -> Heard:
    """The conversation, with speech that makes a scripted model say something else."""
    return replace(conversation, speech_KD=certain(ids_K))


@st.composite
def rows(draw: st.DrawFn, id: str = "talk-0") -> Row:
    """Conversations of turns, some of them cut, with backchannels in the user's turns."""
    said: list[Said] = []
    barge_ins: list[tuple[int, int]] = []
    at = 0
    for _ in range(draw(st.integers(1, 4))):
        long = draw(st.integers(2, 20))
        said.append(Said("user", at, at + long))
        if long >= 12 and draw(st.booleans()):
            said.append(Said("assistant", at + 5, at + 8, "wait", "backchannel"))
        at += long + draw(st.integers(0, 4))
        text = " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)))
        heard_for = draw(st.integers(8, 20))
        if draw(st.booleans()):
            barge_ins.append((len(said), at + heard_for - 3))
            said.append(Said("assistant", at, at + heard_for, text, full=f"{text} and wait there for me"))
            at += heard_for + 1
        else:
            said.append(Said("assistant", at, at + heard_for, text))
            at += heard_for + draw(st.integers(0, 4))
    return row(*said, ticks=at + 3, id=id, barge_ins=barge_ins)
