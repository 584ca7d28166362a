"""How good openings and answers are: the grammar that wrote the dialogues as the judge, or a language model.

    --judge grammar                                      offline, exact, right or wrong
    --judge '{kind: grammar, grammar: es}'
    --judge '{kind: gemini, model: gemini-3-flash}'      a mark of 1 to 5, as the paper; any kind of ``datagen.llm``

What a language model has answered is kept in a folder, so the same command asks and pays for nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel

from datagen import kinds
from datagen.answers import Answers
from datagen.core.asking import Ask
from datagen.core.judging import Score, Sensible, score_ask, sensible_ask
from datagen.core.types import Strict, Turn
from datagen.files import Folder
from trainer.asked import mapping
from trainer.data.rows import Row
from trainer.evaluate.judging import GrammarJudge

A = TypeVar("A", bound=BaseModel)

GRAMMAR = "grammar"


class Answer(NamedTuple):
    """Something to be judged as the assistant's turn."""

    row: Row
    context: tuple[Turn, ...]
    """What was said before; the last turn is the user's."""
    opening: str
    """Its first words."""
    text: str
    """All of it."""


class Scale(Strict):
    """What a judge's figures mean."""

    judge: str
    low: float
    """A quality of this or less is low."""
    best: float
    whole: bool
    """Whether whole answers are judged, or their first words alone."""
    meaning: str
    """In a sentence."""


class Grader(Protocol):
    """A judge; None where it cannot tell, and such answers are left out and counted."""

    scale: Scale

    def sensible(self, asked: Sequence[Answer]) -> list[bool | None]:
        """Whether each opening may begin the assistant's turn."""
        ...

    def quality(self, asked: Sequence[Answer]) -> list[float | None]:
        """How good each answer is, on the scale."""
        ...


class GrammarGrader:
    """Right or wrong, by the grammar: see ``trainer.evaluate.judging``."""

    def __init__(self, grammar: str = "en") -> None:
        """ValueError for an unknown grammar."""
        self._judge = GrammarJudge(grammar)
        self._known: dict[tuple[Any, ...], bool | None] = {}
        self.scale = Scale(
            judge=self._judge.name,
            low=0.0,
            best=1.0,
            whole=False,
            meaning=(
                "1 where an answer's first words begin some text that the grammar allows there, else 0: the average is "
                "the share of good openings, and what follows them is not judged"
            ),
        )

    def sensible(self, asked: Sequence[Answer]) -> list[bool | None]:
        """See ``Grader``."""
        return [self._verdict(a) for a in asked]

    def quality(self, asked: Sequence[Answer]) -> list[float | None]:
        """See ``Grader``."""
        return [None if good is None else float(good) for good in self.sensible(asked)]

    def _verdict(self, a: Answer) -> bool | None:
        """Kept: a dialogue that is none of the grammar's takes it a second to see."""
        what = (a.row.language, a.row.domain, a.context, a.opening)
        if what not in self._known:
            self._known[what] = self._judge(a.row, a.context, a.opening)
        return self._known[what]


class ModelGrader:
    """A language model with the rubrics of ``datagen.core.judging``. Equal questions are asked once. What says nothing
    is not sent: it is no opening, and the worst of answers (the paper leaves empty ones out)."""

    def __init__(self, name: str, model: kinds.LanguageModel, answers: Answers, tell: Callable[[str], None]) -> None:
        """``tell`` hears how many questions are about to be asked."""
        self._model, self._answers, self._tell = model, answers, tell
        self.scale = Scale(
            judge=name,
            low=3.0,
            best=5.0,
            whole=True,
            meaning="1 (useless or wrong) to 5 (right and complete), whole answers; 3 or less is low, as in the paper",
        )

    def sensible(self, asked: Sequence[Answer]) -> list[bool | None]:
        """See ``Grader``."""

        def ask(a: Answer) -> Ask:
            return sensible_ask(a.row.id, a.context, a.opening)

        found = self._asked([a if a.opening.strip() else None for a in asked], ask, Sensible)
        return [
            False if not a.opening.strip() else None if f is None else f.sensible
            for a, f in zip(asked, found, strict=True)
        ]

    def quality(self, asked: Sequence[Answer]) -> list[float | None]:
        """See ``Grader``."""

        def ask(a: Answer) -> Ask:
            return score_ask(a.row.id, a.context, a.text)

        found = self._asked([a if a.text.strip() else None for a in asked], ask, Score)
        return [
            1.0 if not a.text.strip() else None if f is None else float(f.score)
            for a, f in zip(asked, found, strict=True)
        ]

    def _asked(self, wanted: Sequence[Answer | None], ask: Callable[[Answer], Ask], form: type[A]) -> list[A | None]:
        """Answers in order; None where nothing was asked, or nothing usable came back."""
        asks: dict[int, Ask] = {
            place: ask(answer)
            for place, answer in enumerate(wanted)
            if answer is not None and answer.context and answer.context[-1].speaker == "user"
        }
        once = {one.prompt: one for one in asks.values()}
        if not once:
            return [None] * len(wanted)
        self._tell(f"{len(once)} questions to {self.scale.judge}")

        def read(_: Ask, text: str) -> A:
            return form.model_validate_json(text)

        replies = self._model.ask(list(once.values()), read, self._answers)
        known = {prompt: reply for prompt, reply in zip(once, replies, strict=True) if isinstance(reply, form)}
        return [known.get(asks[place].prompt) if place in asks else None for place in range(len(wanted))]


def judge_config(text: str) -> dict[str, Any]:
    """The mapping that ``--judge`` stands for. ValueError when it stands for none."""
    return mapping("judge", text, "give grammar, or {kind: gemini, model: NAME}")


@contextmanager
def grader(raw: dict[str, Any], folder: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[Grader]:
    """The judge of a mapping with a ``kind``. Whatever it lacks is said at once, not hours later.

    Args:
        raw: see ``judge_config``.
        folder: where a language model's answers are kept.
        tell: hears how many questions are about to be asked.

    ValueError for an unknown kind, one that answers no questions, or one that lacks a key or a package.
    """
    if raw["kind"] == GRAMMAR:
        unknown = sorted(set(raw) - {"kind", "grammar"})
        if unknown:
            raise ValueError(f"judge: grammar has no setting {unknown[0]!r}; it has: grammar")
        yield GrammarGrader(str(raw.get("grammar", "en")))
        return
    config = kinds.parse("llm", raw)
    for need in kinds.needs("llm", config):
        if not need.found:
            raise ValueError(f"judge: {need.name} is missing; {need.remedy}")
    model = kinds.make("llm", config)
    if not hasattr(model, "ask"):
        raise ValueError(f"judge: the kind {config.kind} answers no questions; take gemini, openai_api or grammar")
    name = f"{config.kind} {getattr(config, 'model', '')}".strip()
    with Answers(Folder(str(folder))) as answers:
        yield ModelGrader(name, model, answers, tell)
