"""What an evaluation asks for and what it finds: settings and figures, as they stand in ``evaluation.json``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from datagen.core.types import Split, Strict
from trainer.evaluate.grading import Scale
from trainer.evaluate.latency import BACK_ENDS, BackEnd, Costs
from trainer.evaluate.openings import WORDS, Validity
from trainer.evaluate.scores import Recalls
from trainer.evaluate.systems import Lengths, Systems
from trainer.evaluate.turntaking import TurnTaking
from trainer.evaluate.verifier import VerifierReport
from trainer.model.verifier import VerifierCard

Table = Literal[2, 3, 4, 5]
TABLES: tuple[Table, ...] = (2, 3, 4, 5)


class Options(Strict):
    """What to measure, and on what."""

    data: str
    """The dataset: thresholds from its validation split, figures from its test split."""
    paper: str | None = None
    """Another dataset whose test split table 3 is measured on too, such as one of the profile ``paper``."""
    tables: tuple[Table, ...] = TABLES
    limit: int | None = Field(default=None, ge=1)
    """Conversations of each split at most, spread evenly over it."""
    floors: int = Field(default=150, ge=0)
    """Conversations that noise floors are tried on, five times each; 0 leaves them out."""
    timed: int = Field(default=100, ge=1)
    """Turns whose latency is measured, one by one."""
    words: int = Field(default=WORDS, ge=1)
    """Of a prefix, and of the first words that onset latency waits for."""
    back_ends: tuple[BackEnd, ...] = BACK_ENDS
    workers: int = Field(default=0, ge=0)
    device: str = "cpu"
    seed: int = 0
    """Of the intervals' draws."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.paper is not None and 3 not in self.tables:
            raise ValueError("paper: another dataset is for table 3, which is not asked for; add 3 to --tables")
        return self


class Part(Strict):
    """A split that was looked at."""

    data: str
    """As it was named."""
    split: Split
    fingerprint: str
    conversations: int
    of: int
    """There are in the split."""
    dialogues: int
    hours: float


class Subject(Strict):
    """What was measured."""

    preset: str
    weights: str
    """SHA-256 of the fast path's weights, its first 16 digits."""
    verifier: str | None
    """The same of the verifier's."""


class Evaluation(Strict):
    """All figures; ``report_page`` and ``report_plots`` show them and add none."""

    version: Literal[1] = 1
    subject: Subject
    validation: Part | None
    test: Part
    paper: Part | None
    judge: Scale
    turn_taking: TurnTaking | None = None
    """Table 3."""
    paper_turn_taking: TurnTaking | None = None
    floors: Recalls | None = None
    floor_conversations: int = 0
    floor_events: int = 0
    """[BOS] that are due in them."""
    openings: tuple[Validity, ...] = ()
    verifier: VerifierReport | None = None
    """Table 4."""
    card: VerifierCard | None = None
    systems: Systems | None = None
    """Table 2."""
    lengths: Lengths | None = None
    """Table 5."""
    costs: Costs | None = None
    absent: dict[str, str] = Field(default_factory=dict)
    """What is not there, and why."""
    seed: int
