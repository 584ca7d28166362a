"""What work costs in tokens, money and machine hours: types and arithmetic, without recipes or files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from datagen.core.asking import Usage
from datagen.core.prices import Day, Prices
from datagen.core.types import Strict

TEXT_TOKENS = {"en": 1.35, "es": 1.7}
"""Tokens per whitespace word, rounded up: Qwen2's tokenizer gives 1.22 to 1.33 on four English sources, 1.61 on a
Spanish one."""
TEXT_TOKENS_ELSEWHERE = 2.0
"""In a language that was not measured."""
WINDOW_S = 30
"""A Whisper model reads windows of 30 s, padded with silence: a short clip can cost as much as a whole window."""


@dataclass(frozen=True)
class Shape:
    """Tokens of a prompt or an answer about some words: ``fixed + words * (beside + text)``."""

    fixed: float
    """Instructions and the schema of the answer."""
    beside: float
    """Per word, for what stands around it: numbers, JSON."""
    says: bool = True
    """Whether the words themselves are in it."""

    def tokens(self, words: float, text: float) -> float:
        """Tokens for so many words of ``text`` tokens each."""
        return self.fixed + words * (self.beside + (text if self.says else 0))


@dataclass(frozen=True)
class TokenModel:
    """What is sent and answered per conversation.

    Prompts: fitted with Qwen2's tokenizer to those of ``stages/write`` and ``stages/listening``, four English sources,
    within 10 %. Answers: JSON with line breaks, 25 words per turn.
    """

    write_prompt: Shape = Shape(430, 0.1)
    """Of the words of the outline."""
    write_answer: Shape = Shape(120, 0.8)
    """Of the words of the new conversation; the fixed part is its topic and plan."""
    rewrite_prompt: Shape = Shape(265, 0.25)
    rewrite_answer: Shape = Shape(20, 0.35)
    annotate_prompt: Shape = Shape(450, 3.8)
    """Every word has a number."""
    annotate_answer: Shape = Shape(20, 2.5, says=False)
    """An assumption: a backchannel every 15 words and a pause every 30, of 29 and 20 tokens of JSON."""
    write_room: tuple[int, int] = (1024, 3)
    """Tokens after which an answer is cut short, thoughts included: at least so many, or so many per word."""
    annotate_room: tuple[int, int] = (1024, 6)
    """The same for places: so many, and so many per word."""
    repairs: float = 0.05
    """Share of answers that are refused and asked for once more. An assumption."""


class Route(Strict):
    """A way to synthesise or to recognise speech, and how fast it was for somebody."""

    name: str = Field(min_length=1, max_length=32)
    engine: str
    kinds: tuple[str, ...] = ()
    """The project's kinds that can go this way; empty = only to compare."""
    device: Literal["GPU", "CPU core"] = "GPU"
    devices: int = Field(default=1, ge=1)
    """At work together for this ``rtf``."""
    hardware: str = Field(min_length=1, max_length=14)
    rtf: float = Field(gt=0, allow_inf_nan=False)
    """Seconds of computing per second of audio."""
    source: str = Field(min_length=1)
    note: str = ""

    def hours(self, audio_hours: float) -> float:
        """Device hours for so much audio."""
        return audio_hours * self.rtf * self.devices


class Routes(Strict):
    """A table of routes (``manifests/routes.yaml``)."""

    date: Day
    tts: tuple[Route, ...]
    asr: tuple[Route, ...]


class Work(Strict):
    """What a run has to make, and where these figures are from."""

    basis: str
    conversations: int = Field(ge=0)
    turns: float = Field(ge=0)
    """Mean per spoken conversation."""
    words_per_turn: float = Field(ge=0)
    words_per_minute: float = Field(gt=0)
    outlines: float = Field(default=0, ge=0, le=1)
    """Share of the conversations that a writer makes from an outline."""
    outline_words: float = Field(default=0, ge=0)
    """Mean per outline."""

    @property
    def words(self) -> float:
        """Mean per spoken conversation."""
        return self.turns * self.words_per_turn

    @property
    def hours(self) -> float:
        """Of dialogue, and of synthesis: an hour of the one is counted as an hour of the other."""
        return self.conversations * self.words / self.words_per_minute / 60

    @property
    def window_hours(self) -> float:
        """Of audio if every turn fills whole windows of a Whisper model."""
        if self.turns == 0:
            return 0.0
        seconds = self.words_per_turn / self.words_per_minute * 60
        return self.conversations * self.turns * WINDOW_S * max(1.0, seconds / WINDOW_S) / 3600


@dataclass(frozen=True)
class Job:
    """Questions of one stage to one model, in tokens per answer."""

    stage: str
    model: str
    batch: bool
    answers: float
    prompt: float
    answer: float
    most: float
    """The longest answer that is allowed."""


class Asking(Strict):
    """What a stage asks of a language model in a whole run."""

    stage: str
    model: str
    batch: bool
    answers: float
    """With those that are asked for once more."""
    usage: Usage
    usd: float | None = None
    """Expected; None without a price."""
    usd_most: float | None = None
    """If every answer were as long as is allowed: a model that thinks is charged for its thoughts."""
    note: str = ""
    """Why there is no price."""


class Computing(Strict):
    """Device hours by a route."""

    route: Route
    hours: float
    hours_most: float


class Estimate(Strict):
    """What a run would take."""

    work: Work
    asking: tuple[Asking, ...] = ()
    prices_date: str | None = None
    budget_usd: float | None = None
    synthesis: tuple[Computing, ...] = ()
    """By the routes the recipe's engine can go."""
    others: tuple[Computing, ...] = ()
    """By the other routes on a GPU, to compare."""
    hearing: tuple[Computing, ...] = ()
    disk_bytes: float
    """Work folder and dataset, while a build goes on."""
    dataset_bytes: float
    assumptions: tuple[str, ...]

    @property
    def usd(self) -> float:
        """The expected price of everything that has a price."""
        return sum(asking.usd or 0.0 for asking in self.asking)

    @property
    def usd_most(self) -> float:
        """The same if every answer were as long as is allowed."""
        return sum(asking.usd_most or 0.0 for asking in self.asking)


def asked(job: Job, prices: Prices | None, repairs: float) -> Asking:
    """A job's tokens and, where there is one, its price. A model without a price gets a note instead of an error."""
    answers = job.answers * (1 + repairs)

    def usage(per_answer: float) -> Usage:
        return Usage(prompt_tokens=round(answers * job.prompt), output_tokens=round(answers * per_answer))

    expected, most = usage(job.answer), usage(max(job.answer, job.most))
    asking = Asking(stage=job.stage, model=job.model, batch=job.batch, answers=answers, usage=expected)
    if prices is None:
        return asking.model_copy(update={"note": "no price table is given: tokens only"})
    try:
        price = prices.of(job.model)
    except ValueError:
        return asking.model_copy(update={"note": f"no price for model {job.model} in the table of {prices.date}"})
    return asking.model_copy(update={"usd": price.usd(expected, job.batch), "usd_most": price.usd(most, job.batch)})


def computed(route: Route, hours: float, hours_most: float | None = None) -> Computing:
    """A route's device hours for so many hours of audio, and for the most there may be."""
    least = route.hours(hours)
    return Computing(route=route, hours=least, hours_most=max(least, route.hours(hours_most or 0.0)))
