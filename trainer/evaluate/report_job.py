"""The parts of an evaluation, one after the other: see ``trainer.evaluate.report``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from datagen.core.types import Turn
from trainer.data.audio import Reader
from trainer.data.index import Index
from trainer.data.rows import Row
from trainer.evaluate import verifier as table4
from trainer.evaluate.answers import draft_answers
from trainer.evaluate.evaluation import Options
from trainer.evaluate.freerun import free_run
from trainer.evaluate.grading import Answer, Grader
from trainer.evaluate.heard import Heard, batches_of, hear
from trainer.evaluate.latency import costs, time_turns
from trainer.evaluate.openings import Opening, openings, references, validity
from trainer.evaluate.systems import LENGTHS, graded, prefix_lengths, systems
from trainer.evaluate.telling import Telling
from trainer.evaluate.turntaking import FLOORS, OperatingPoints, Setting, TurnTaking, calibrate, floor_recalls
from trainer.evaluate.turntaking import turn_taking as table3
from trainer.model.fastpath import FastPath
from trainer.model.verifier import Decider, Verifier, VerifierCard
from trainer.prefix_store import PrefixSet

T = TypeVar("T")

NO_VERIFIER = "not measured: the run has no verifier; train one with `python -m trainer kfold`, then evaluate again"


class Gate(NamedTuple):
    """The verifier of a run."""

    verifier: Verifier
    card: VerifierCard
    digest: str


def spread(things: Sequence[T], most: int) -> list[T]:
    """So many of them, evenly spread.

    >>> spread("abcdefgh", 3)
    ['a', 'c', 'f']
    """
    size = len(things)
    return [things[number * size // min(most, size)] for number in range(min(most, size))]


@dataclass(frozen=True)
class Job:
    """What every part of an evaluation needs."""

    fast: FastPath
    gate: Gate | None
    options: Options
    grader: Grader
    telling: Telling

    @property
    def setting(self) -> Setting:
        return Setting(rules=self.fast.preset.rules, seed=self.options.seed)

    def heard(self, step: str, index: Index) -> list[Heard]:
        """The conversations, in the order of the index."""
        with self.telling.step(step, f"{len(index)} conversations"):
            return sorted(self._hearing(index), key=_placed(index))

    def _hearing(self, index: Index) -> Iterator[Heard]:
        batches = batches_of(index, workers=self.options.workers)
        for number, one in enumerate(hear(self.fast, batches, self.fast.preset.rules), 1):
            yield one
            self.telling.at(number / len(index))

    def turn_taking(
        self, validation: Index, test: Index, paper: Index | None, heard: Sequence[Heard]
    ) -> dict[str, Any]:
        """Table 3, noise floors and openings."""
        tuned = self.heard("hear validation", validation)
        with self.telling.step("calibrate", "the control tokens' thresholds"):
            points = calibrate(self.fast, tuned, self.setting)
        found: dict[str, Any] = {"turn_taking": self._table3("turn-taking", heard, points)}
        with self.telling.step("openings"):
            found["openings"] = self._openings(heard, points)
        if paper is not None:
            there = self.heard("hear the paper's profile", paper)
            found["paper_turn_taking"] = self._table3("the paper's profile", there, points)
        if self.options.floors:
            some = test.select(spread(range(len(test)), self.options.floors))
            with self.telling.step("noise floors", f"{len(FLOORS) + 1} times {len(some)} conversations"):
                found["floors"] = floor_recalls(
                    self.fast, some, self.setting, points.free.thresholds, workers=self.options.workers
                )
            ids = set(some.ids)
            labels = [one.ids_K for one in heard if one.row.id in ids]
            found["floor_conversations"] = len(some)
            found["floor_events"] = sum(int((ids_K == self.fast.tokens.bos).sum()) for ids_K in labels)
        return found

    def _table3(self, step: str, heard: Sequence[Heard], points: OperatingPoints) -> TurnTaking:
        with self.telling.step(step, f"of {len(heard)} conversations"):
            return table3(
                self.fast, heard, self.setting, points, lambda done: self.telling.at(done / max(1, len(heard)))
            )

    def _openings(self, heard: Sequence[Heard], points: OperatingPoints) -> tuple[Any, ...]:
        """Drafted with nobody judging, then judged all at once: a language model is asked many things side by side."""
        words, setting = self.options.words, self.setting
        runs = free_run(
            self.fast, heard, setting.rules, points.free.thresholds, setting.playing, tolerance=setting.tolerance
        )
        made = {
            "recorded": openings(self.fast, heard, _later, words=words),
            "own": openings(self.fast, heard, _later, runs, words),
            "reference": references(heard, _later, words),
        }
        rows = {one.row.id: one.row for one in heard}
        return tuple(validity(at, self._judged(some, rows), self.options.seed) for at, some in made.items())

    def _judged(self, some: Sequence[Opening], rows: dict[str, Row]) -> list[Opening]:
        asked = [Answer(rows[one.conversation], one.context, one.prefix, one.prefix) for one in some]
        verdicts = self.grader.sensible(asked)
        return [one.model_copy(update={"valid": valid}) for one, valid in zip(some, verdicts, strict=True)]

    def verified(self, prefixes: Path) -> tuple[table4.VerifierReport | None, str]:
        """Table 4, or why there is none."""
        if self.gate is None:
            return None, NO_VERIFIER
        try:
            drafts = PrefixSet([prefixes])
            made = table4.evaluate(
                self.gate.verifier, self.gate.card, drafts, self.options.device, seed=self.options.seed
            )
        except ValueError as error:
            return None, f"not measured: {error}"
        return made, ""

    def answers(self, test: Index, heard: Sequence[Heard]) -> dict[str, Any]:
        """Tables 2 and 5 and what was timed; nothing where the assistant has no turn."""
        options, gate = self.options, self.gate
        with self.telling.step("draft", "an answer at every turn"):
            turns = draft_answers(self.fast, heard)
        if not turns:
            return {}
        decider = gate and Decider(gate.verifier, gate.card.threshold, gate.card.calibration, options.device)
        with self.telling.step("judge", f"answers at {len(turns)} turns"):
            found = graded(turns, self.grader, decider, self.fast.tokenizer, options.words)
        with self.telling.step("time", "the fast path"):
            places = spread(range(len(turns)), options.timed)
            commit = None if found.commits is None else found.commits[options.words]
            commits = None if commit is None else [bool(commit[place]) for place in places]
            times = time_turns(self.fast, [turns[place] for place in places], decider, commits, options.words)
            samples = torch.from_numpy(Reader(test.folder).samples(test[0]))
            spent = costs(self.fast, samples, times)
        return {
            "systems": systems(found, times, options.words, options.back_ends, options.seed),
            "lengths": prefix_lengths(found, gate and gate.card.words, LENGTHS, options.seed),
            "costs": spent,
        }


def _later(row: Row, context: Sequence[Turn], prefix: str) -> bool | None:
    return None


def _placed(index: Index) -> Any:
    place = {name: number for number, name in enumerate(index.ids)}
    return lambda heard: place[heard.row.id]
