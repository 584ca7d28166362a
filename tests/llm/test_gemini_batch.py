"""Batch jobs: made once whatever happens, matched by key, completed one by one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from datagen.answers import Budget
from datagen.core.prices import Prices
from datagen.faults import BudgetReached
from tests.llm.fake_gemini import MODEL, Gemini, agree, error, model, number, said
from tests.llm.questions import Said, numbers, questions, read
from tests.llm.serving import answers, wait_until

PRICES = Prices.model_validate(
    {"date": "2026-11-01", "models": {MODEL: {"input": 0, "output": 1000 / 15, "batch": 0.5, "source": "a test"}}}
)
"""An answer of the fake costs a tenth of a cent, in a job half of it."""


def ask_in_batch(url: str, folder: Path, count: int, budget: float = 100, **changes: Any) -> list[Said | ValueError]:
    """A task, as a process of its own would run it."""
    settings = {"batch": True, "batch_poll_s": 0.02} | changes
    with answers(folder, Budget(usd=budget, prices=PRICES)) as kept:
        return model(url, **settings).ask(questions(count), read, kept)


def spent(folder: Path) -> float:
    with answers(folder) as kept:
        return sum(PRICES.of(e.model).usd(e.usage, e.batch) for e in kept.entries())


@pytest.mark.parametrize("inline", [False, True])
def test_a_job_answers_everything_at_half_the_price(server: Gemini, tmp_path: Path, inline: bool) -> None:
    server.inline = inline
    server.finish()
    assert ask_in_batch(server.url, tmp_path, 20) == numbers(20)
    assert (len(server.jobs), len(server.asked)) == (1, 0)
    assert spent(tmp_path) == pytest.approx(20 * 0.0005)
    assert ask_in_batch(server.url, tmp_path, 20) == numbers(20)
    assert len(server.jobs) == 1


def test_a_killed_run_finds_its_job_again(server: Gemini, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=ask_in_batch, args=(server.url, tmp_path, 6))
    process.start()
    wait_until(lambda: any(s.path.endswith("/batches/job-0") for s in server.seen), 30)
    process.kill()
    process.join()
    server.finish()
    assert ask_in_batch(server.url, tmp_path, 6) == numbers(6)
    assert (len(server.jobs), len(server.asked)) == (1, 0)


def test_a_job_that_was_made_unnoticed_is_found_by_its_title(server: Gemini, tmp_path: Path) -> None:
    server.finish()
    server.lose_created = 1
    assert ask_in_batch(server.url, tmp_path, 6) == numbers(6)
    server.lose_created = 1
    with pytest.raises(OSError, match="batch service cannot be used"):
        ask_in_batch(server.url, tmp_path / "killed", 7, attempts=1)
    assert ask_in_batch(server.url, tmp_path / "killed", 7) == numbers(7)
    assert (len(server.jobs), len(server.asked)) == (2, 0)


def test_a_run_killed_while_it_kept_a_jobs_answers_asks_nothing_again(server: Gemini, tmp_path: Path) -> None:
    server.finish()
    assert ask_in_batch(server.url, tmp_path, 8) == numbers(8)
    lost = [path for path in tmp_path.glob("??/*.json")][:5]
    for path in lost:
        path.unlink()
    assert ask_in_batch(server.url, tmp_path, 8) == numbers(8)
    assert (len(lost), len(server.jobs), len(server.asked)) == (5, 1, 0)


def test_failed_items_and_repairs_are_asked_one_by_one(server: Gemini, tmp_path: Path) -> None:
    def talk(body: dict[str, Any], nth: int) -> Any:
        if number(body) == 1 and not server.asked:
            return error(500, "INTERNAL")
        return said("oops") if number(body) == 2 and len(body["contents"]) == 1 else agree(body, nth)

    server.talk = talk
    server.finish()
    assert ask_in_batch(server.url, tmp_path, 5) == numbers(5)
    assert sorted(number(body) for body in server.asked) == [1, 2]
    assert spent(tmp_path) == pytest.approx(4 * 0.0005 + 2 * 0.001)


@pytest.mark.parametrize("state", ["BATCH_STATE_FAILED", "BATCH_STATE_EXPIRED", "BATCH_STATE_CANCELLED"])
def test_a_job_that_failed_is_replaced_by_requests(
    server: Gemini, tmp_path: Path, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    server.state = state
    server.finish()
    assert ask_in_batch(server.url, tmp_path, 4) == numbers(4)
    assert (len(server.jobs), len(server.asked)) == (1, 4)
    assert state.removeprefix("BATCH_STATE_") in caplog.text


def test_a_job_that_is_gone_is_replaced_by_requests(server: Gemini, tmp_path: Path) -> None:
    server.finish()
    ask_in_batch(server.url, tmp_path, 4)
    for path in tmp_path.glob("??/*.json"):
        path.unlink()
    server.jobs.clear()
    assert ask_in_batch(server.url, tmp_path, 4) == numbers(4)
    assert (len(server.jobs), len(server.asked)) == (0, 4)


def test_a_budget_stops_a_job_before_it_is_made(server: Gemini, tmp_path: Path) -> None:
    with pytest.raises(BudgetReached):
        ask_in_batch(server.url, tmp_path, 20, budget=0.002)
    assert server.seen == []


def test_a_fault_of_the_line_does_not_end_a_job(server: Gemini, tmp_path: Path) -> None:
    respond, fails = server.respond, iter([True, False, True, False, True, False, True, True, False])

    def flaky(seen: Any) -> Any:
        return error(503, "UNAVAILABLE") if next(fails, False) else respond(seen)

    server.respond = flaky
    server.finish()
    assert ask_in_batch(server.url, tmp_path, 4) == numbers(4)
    assert (len(server.jobs), len(server.asked)) == (1, 0)


def test_a_refused_job_is_not_asked_one_by_one_at_the_full_price(server: Gemini, tmp_path: Path) -> None:
    respond, bad = server.respond, error(400, "INVALID_ARGUMENT", "no batches with this model")
    server.respond = lambda seen: bad if ":batchGenerateContent" in seen.path else respond(seen)
    with pytest.raises(OSError, match=r"no batches with this model.*batch: false"):
        ask_in_batch(server.url, tmp_path, 4)
    assert server.asked == []


def test_a_job_needs_the_key(server: Gemini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(PermissionError, match="GEMINI_API_KEY is not set"):
        ask_in_batch(server.url, tmp_path, 4)
    assert server.seen == []
