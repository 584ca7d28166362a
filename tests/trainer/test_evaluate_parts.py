"""The pieces of an evaluation: judges, answers, the relay's arithmetic, latencies, and what is told on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Turn
from tests.llm.fake_openai import OpenAi, prompt_of, said
from tests.llm.serving import Response
from tests.trainer.runs import Dice
from tests.trainer.talks import Said, heard, row
from trainer.calibration import Calibration
from trainer.evaluate.answers import Drafted, committed, joined
from trainer.evaluate.grading import Answer, GrammarGrader, Scale, grader, judge_config
from trainer.evaluate.intervals import GroupedBootstrap
from trainer.evaluate.latency import BACK_ENDS, TurnTime
from trainer.evaluate.report_job import spread
from trainer.evaluate.systems import Graded, Onset, prefix_lengths, quality, systems
from trainer.evaluate.telling import Telling
from trainer.model.verifier import Decider, Verifier, VerifierShape
from trainer.prefixes import Steps

TALK = row(Said("user", 0, 5), Said("assistant", 6, 9), ticks=12)
BEFORE = (Turn(speaker="user", text="Which way is it?"),)
WORDS = st.lists(st.sampled_from(("go", "left", "now", "Go", "the")), max_size=6)


def answer(text: str, context: tuple[Turn, ...] = BEFORE) -> Answer:
    return Answer(TALK, context, " ".join(text.split()[:2]), text)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAi]:
    """A judge that likes what begins with Go, marks by length, and answers nonsense about nonsense."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def talk(body: dict[str, Any], nth: int) -> Response:
        text = prompt_of(body)
        if "nonsense" in text:
            return said("I would rather not say.")
        if "begins:" in text:
            return said(json.dumps({"sensible": "begins: Go" in text}))
        return said(json.dumps({"score": min(5, len(text.rpartition("Assistant: ")[2].split()))}))

    with OpenAi(talk, key=None) as serving:
        yield serving


def judge(server: OpenAi) -> dict[str, Any]:
    return judge_config(f"{{kind: openai_api, model: local/qwen, base_url: {server.url}/v1, attempts: 1}}")


def test_a_language_model_judges_openings_and_answers(server: OpenAi, tmp_path: Path) -> None:
    told: list[str] = []
    asked = [answer(t) for t in ("Go left now", "Left it is", "", "nonsense here", "Go left now")]
    with grader(judge(server), tmp_path, told.append) as grading:
        assert grading.sensible(asked) == [True, False, False, None, True]
        assert grading.quality(asked) == [3.0, 3.0, 1.0, None, 3.0]
        assert (
            grading.quality([answer("Go", ()), answer("Go", (Turn(speaker="assistant", text="Yes."),))]) == [None] * 2
        )
        assert (grading.scale.judge, grading.scale.low, grading.scale.whole) == ("openai_api local/qwen", 3.0, True)
    assert told == ["3 questions to openai_api local/qwen"] * 2, "equal ones once, empty ones never"
    paid = len(server.asked)
    with grader(judge(server), tmp_path) as grading:
        assert grading.quality(asked[:2]) == [3.0, 3.0]
    assert len(server.asked) == paid, "nothing is asked twice"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{kind: [", "is no YAML"),
        ("[1, 2]", "names no kind"),
        ("{model: x}", "names no kind"),
        ("{kind: oracle}", "unknown kind 'oracle'"),
        ("rules", "answers no questions"),
        ("{kind: grammar, grammer: es}", "no setting 'grammer'"),
        ("{kind: grammar, grammar: xx}", "xx"),
        ("{kind: gemini, model: gemini-3-flash}", "GEMINI_API_KEY"),
    ],
)
def test_a_judge_that_cannot_work_says_so_at_once(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def opened() -> None:
        with grader(judge_config(text), tmp_path):
            raise AssertionError("it must not come to work")

    with pytest.raises(ValueError, match=reason) as caught:
        opened()
    assert "\n" not in str(caught.value) or "YAML" in reason


def test_the_grammar_is_right_or_wrong_and_may_not_know() -> None:
    grading = GrammarGrader("en")
    other = answer("Flibber the gnorts")
    assert grading.quality([replace_row(other, language="fi")]) == [None]
    assert (grading.scale.best, grading.scale.low, grading.scale.whole) == (1.0, 0.0, False)


def replace_row(one: Answer, **changes: str) -> Answer:
    return one._replace(row=one.row.model_copy(update=changes))


@given(WORDS, WORDS)
def test_a_joined_answer_has_the_prefix_and_loses_no_word(head: list[str], tail: list[str]) -> None:
    made = joined(" ".join(head), " ".join(tail)).split()
    assert made[: len(head)] == head
    rest = made[len(head) :]
    assert rest == tail[len(tail) - len(rest) :]
    dropped = [w.casefold() for w in tail[: len(tail) - len(rest)]]
    assert not dropped or dropped == [w.casefold() for w in head[-len(dropped) :]], "only what repeats the seam"


def turns(count: int) -> list[Drafted]:
    conversations = [heard(TALK.model_copy(update={"id": f"talk-{n}"})) for n in range(count)]
    empty = Steps(torch.zeros(0, 4).half(), torch.zeros(0, 3))
    return [Drafted(c, c.target.points[0], BEFORE, "go", empty) for c in conversations]


def made(commit: Sequence[bool], scale: Scale = Dice.scale) -> Graded:
    """Prefixes are worth 2, the slow path 5."""
    count = len(commit)
    two, five = np.full(count, 2.0), np.full(count, 5.0)
    every = np.ones(count, bool)
    lengths = (3, 5, 7)
    return Graded(
        turns(count),
        scale,
        None,
        two,
        five,
        dict.fromkeys(lengths, two),
        dict.fromkeys(lengths, every),
        dict.fromkeys(lengths, np.array(commit)),
    )


@pytest.mark.parametrize("commit", [[True], [False] * 3, [True, True, False, True, False, True, True]])
def test_the_relay_is_its_parts(commit: list[bool]) -> None:
    found = made(commit)
    times = [TurnTime(conversation=f"talk-{n}", tick=1, words_ms=70.0 + n, decide_ms=10.0, commit=c)
             for n, c in enumerate(commit)]  # fmt: skip
    table = systems(found, times, 5, BACK_ENDS)
    relay = [s for s in table.systems if s.name == "Relay"]
    share = float(np.mean(commit))
    assert table.fallback is not None
    assert table.fallback.value == pytest.approx(1 - share)
    assert relay[0].quality is not None
    assert relay[0].quality.average is not None
    assert relay[0].quality.low is not None
    assert relay[0].quality.average.value == pytest.approx(2 * share + 5 * (1 - share))
    assert relay[0].quality.low.value == pytest.approx(share)
    for one, back_end in zip(relay, BACK_ENDS, strict=True):
        each = [80.0 + n if c else 1000 * back_end.seconds for n, c in enumerate(commit)]
        assert isinstance(one.onset, Onset)
        assert one.onset.p90.value == pytest.approx(np.percentile(each, 90))
    rows = {(r.words, r.gated): r for r in prefix_lengths(found, 5).rows}
    assert rows[5, False].fallback.value == 0
    assert rows[5, True].quality == relay[0].quality


def test_answers_that_cannot_be_judged_are_left_out() -> None:
    draws = GroupedBootstrap(["a", "b", "c"])
    found = quality(np.array([np.nan, 4.0, 2.0]), Dice.scale, draws)
    assert (found.judged, found.unjudged) == (2, 1)
    assert found.average is not None
    assert found.low is not None
    assert (found.average.value, found.low.value) == (3.0, 0.5)


def test_nothing_is_never_committed() -> None:
    torch.manual_seed(0)
    verifier = Verifier(VerifierShape(hidden_size=4, width=4)).eval()
    steps = Steps(torch.zeros(2, 4).half(), torch.zeros(2, 3))
    for threshold, expected in ((0.0, True), (1.0, False)):
        decider = Decider(verifier, threshold, Calibration())
        assert committed(("go left", steps), decider) is expected
        assert committed(("", steps), decider) is False
    assert committed(("go left", steps), None) is True


@given(st.integers(1, 40), st.integers(1, 50))
def test_a_spread_is_a_part_in_order(size: int, most: int) -> None:
    found = spread(range(size), most)
    assert len(found) == min(size, most)
    assert found == sorted(set(found))
    assert found[0] == 0


def test_the_time_left_follows_the_weights() -> None:
    now, lines = [0.0], list[str]()
    telling = Telling({"hear": 1.0, "judge": 3.0}, lines.append, lambda: now[0])
    with telling.step("hear", "9 conversations"):
        now[0] = 4.0
        telling.at(0.25)
        now[0] = 11.0
        telling.at(0.5)
        now[0] = 20.0
    with telling.step("judge"):
        now[0] = 40.0
    telling.finished()
    assert lines == [
        "[1/2] hear 9 conversations",
        "[1/2] hear 9 conversations: 50%, 0:00:11 so far, about 0:01:17 left",
        "[2/2] judge, 0:00:20 so far, about 0:01:00 left",
        "done in 0:00:40",
    ]
