"""Table 3: turn-taking of a fast path, teacher-forced as the paper and free-running as it is used.

    setting = Setting(rules=fast.preset.rules)
    points = calibrate(fast, list(hear(fast, batches_of(validation), setting.rules)), setting)
    report = turn_taking(fast, list(hear(fast, batches_of(test), setting.rules)), setting, points)
    floors = floor_recalls(fast, test, setting, points.free.thresholds)
    print(report.markdown(), floors.markdown())

Teacher-forced (``forced``): what the model says at every tick when it is fed the true history; the likeliest token as
the paper, and with thresholds. Free-running (``freerun``): it lives with what it said. Nothing is chosen on the
conversations that are scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datagen.core.types import Strict
from trainer.data.augment import with_floor
from trainer.data.index import Index
from trainer.evaluate._agent import Playing
from trainer.evaluate._truth import Pace
from trainer.evaluate.ceilings import ceilings
from trainer.evaluate.forced import calibrate_forced, run_forced, score_forced
from trainer.evaluate.freerun import free_run, score_run
from trainer.evaluate.heard import Heard, Hearing, Progress, batches_of, hear
from trainer.evaluate.matching import TOLERANCE, Counts
from trainer.evaluate.scores import Recalls, Scored, Table, recalls, table
from trainer.evaluate.stops import BargeIn, FalseStarts, Stops, barge_ins, false_starts, stops
from trainer.evaluate.thresholds import F1, ROUNDS, Calibrated, search
from trainer.firing import Event, Thresholds
from trainer.targets import Rules

FLOORS = (0.0, 1e-5, 1e-4, 1e-3)
"""RMS of the noise under a muted channel, full scale = 1."""
_SEARCHED: Mapping[Event, str] = {"bos": "bos", "stp": "begun", "boc": "boc"}
"""What speaks for the threshold of an event in free-running."""


class OperatingPoints(Strict):
    """Thresholds for either way of running."""

    forced: Calibrated
    free: Calibrated


class Setting(Strict):
    """How conversations are run and scored."""

    rules: Rules
    """How the model's labels were written (``fast.preset.rules``)."""
    playing: Playing = Playing()
    pace: Pace | None = None
    """Of imagined speech; None: as in the conversations at hand."""
    batch: int = 64
    tolerance: int = TOLERANCE
    seed: int = 0
    """Of the intervals' draws."""


class TurnTaking(Strict):
    """Everything that is measured on one set of conversations."""

    forced: Table
    """The likeliest token, as the paper."""
    forced_calibrated: Table | None
    free: Table
    """With thresholds, where there are some."""
    stops: Stops | None
    """None without barge-ins."""
    false_starts: FalseStarts
    points: OperatingPoints | None
    setting: Setting

    def markdown(self) -> str:
        """All tables, the matching rule first."""
        tables = [t.markdown(notes=t is self.free) for t in (self.forced, self.forced_calibrated, self.free) if t]
        rule = (
            f"An event counts within +-{self.setting.tolerance} tick (160 ms): predictions in time order, each takes "
            "the first truth that is not taken. Silence ([SIL] or [HOD]) is counted tick by tick, ticks of text and "
            "[EOS] left out."
        )
        if self.setting.rules.mode == "relays2s" or self.setting.rules.interrupted == "heard":
            rule += (
                " Teacher-forced [STP] may lie above its ceiling: the text that is fed back ends with the words that "
                "are heard, and so tells when the user will cut in."
            )
        if self.setting.rules.steady:
            rule += (
                " Teacher-forced events are scored against this model's labels, which stand a fixed time after what is "
                "heard; free-running ones against the recording, and so are all ceilings."
            )
        parts = [rule, *tables, self.false_starts.markdown()]
        return "\n\n".join([*parts, *([self.stops.markdown()] if self.stops else [])])


def calibrate(
    fast: Hearing,
    heard: Sequence[Heard],
    setting: Setting,
    rounds: Sequence[Sequence[float]] = ROUNDS,
) -> OperatingPoints:
    """Thresholds from validation conversations. The free-running ones cost up to 9 passes, see ``thresholds.search``;
    with ``rounds=()`` one pass, and they are those of a teacher-forced pass."""
    seen = run_forced(fast, heard)
    forced = calibrate_forced(heard, seen, fast.tokens, setting.tolerance)
    start = calibrate_forced(heard, seen, fast.tokens, setting.tolerance, onsets=True).thresholds

    def score(point: Thresholds) -> F1:
        scored = [s for s, _, _ in _run(fast, heard, point, setting)]
        return {kind: sum((s.counts[of] for s in scored), Counts()).f1 for kind, of in _SEARCHED.items()}

    free = search(score, start, len(heard), rounds)
    return OperatingPoints(forced=forced, free=free.model_copy(update={"tolerance": setting.tolerance}))


def turn_taking(
    fast: Hearing,
    heard: Sequence[Heard],
    setting: Setting,
    points: OperatingPoints | None = None,
    progress: Progress | None = None,
) -> TurnTaking:
    """All of Table 3 over conversations that took no part in training or in the choice of ``points``."""
    top = ceilings([h.row for h in heard], setting.tolerance)
    seen = run_forced(fast, heard)

    def forced(name: str, thresholds: Thresholds | None) -> Table:
        scored = [
            score_forced(h, f, fast.tokens, thresholds, setting.tolerance) for h, f in zip(heard, seen, strict=True)
        ]
        return table(name, scored, top, setting.seed)

    ran = _run(fast, heard, points.free.thresholds if points else None, setting, progress)
    return TurnTaking(
        forced=forced("Teacher-forced, likeliest token", None),
        forced_calibrated=forced("Teacher-forced, thresholds", points.forced.thresholds) if points else None,
        free=table(
            f"Free-running, {'thresholds' if points else 'likeliest token'}",
            [scored for scored, _, _ in ran],
            top,
            setting.seed,
        ),
        stops=stops([b for _, found, _ in ran for b in found], setting.seed),
        false_starts=sum((found for _, _, found in ran), FalseStarts()),
        points=points,
        setting=setting,
    )


def floor_recalls(
    fast: Hearing,
    index: Index,
    setting: Setting,
    thresholds: Thresholds | None = None,
    floors: Sequence[float] = FLOORS,
    workers: int = 0,
) -> Recalls:
    """Free-running [BOS] recall over the conversations of an index as published, and with the user's channel muted
    between the words and noise of each RMS under it (``with_floor``)."""
    conditions: dict[str, list[Scored]] = {}
    for rms in (None, *floors):
        transform = None if rms is None else with_floor(rms)
        heard = sorted(hear(fast, batches_of(index, transform, workers=workers), setting.rules), key=_by_id)
        name = "as published" if rms is None else f"RMS {rms:g}"
        conditions[name] = [scored for scored, _, _ in _run(fast, heard, thresholds, setting)]
    return recalls(conditions, "bos", setting.seed)


def _by_id(heard: Heard) -> str:
    return heard.row.id


def _run(
    fast: Hearing,
    heard: Sequence[Heard],
    thresholds: Thresholds | None,
    setting: Setting,
    progress: Progress | None = None,
) -> list[tuple[Scored, list[BargeIn], FalseStarts]]:
    """Free-running, scored."""
    runs = free_run(
        fast,
        heard,
        setting.rules,
        thresholds,
        setting.playing,
        setting.pace,
        setting.tolerance,
        setting.batch,
        progress,
    )
    return [
        (score_run(h, run, fast.tokens, setting.tolerance), barge_ins(h, run), false_starts(h, run, setting.tolerance))
        for h, run in zip(heard, runs, strict=True)
    ]
