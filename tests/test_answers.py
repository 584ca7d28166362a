"""Kept answers: nothing is paid twice, nothing is counted twice, and a cap is a cap."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen import answers as module
from datagen.answers import Answers, Budget, Entry, totals
from datagen.core.asking import Reply, Usage
from datagen.core.prices import Prices
from datagen.faults import BudgetReached
from datagen.files import Folder

PRICES = Prices.model_validate(
    {
        "date": "2026-11-01",
        "models": {
            "small": {"input": 1, "output": 10, "cached": 0.1, "batch": 0.5, "source": "a test"},
            "large": {"input": 5, "output": 50, "source": "a test"},
        },
    }
)
TOKENS = st.integers(0, 10**7)
USAGES = st.builds(Usage, prompt_tokens=TOKENS, cached_tokens=TOKENS, output_tokens=TOKENS)
REPLIES = st.builds(
    Reply,
    text=st.text(st.characters(exclude_categories=["Cs"])),
    finish=st.sampled_from(["stop", "length", "SAFETY"]),
    model=st.sampled_from(["small", "small-001", "large"]),
    usage=USAGES,
)


def reply(text: str = "yes", model: str = "small", output_tokens: int = 100_000) -> Reply:
    """An answer that costs a dollar unless told otherwise."""
    return Reply(text=text, finish="stop", model=model, usage=Usage(output_tokens=output_tokens))


def opened(folder: Path | str, usd: float | None = None) -> Answers:
    return Answers(Folder(str(folder)), None if usd is None else Budget(usd=usd, prices=PRICES))


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes' ledgers are read, and the own one written, at every opportunity."""
    monkeypatch.setattr(module, "REFRESH_S", 0.0)


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(REPLIES, st.booleans())), st.integers(0, 6))
def test_answers_survive_their_process_and_count_once(said: dict[str, tuple[Reply, bool]], killed_after: int) -> None:
    """The first process is killed, the second asks everything again, a third only looks."""
    store = fsspec.filesystem("memory").store
    store.clear()
    expected = {name * 64: answer for name, answer in said.items()}
    first = opened("memory://answers-test")
    for key, (answer, batch) in list(expected.items())[:killed_after]:
        first.keep(key, "write", answer, batch)
    with opened("memory://answers-test", usd=10**9) as second:
        for key, (answer, batch) in expected.items():
            if second.kept(key, "write") is None:
                second.keep(key, "write", answer, batch)
        assert {key: second.kept(key, "write") for key in expected} == {k: a for k, (a, _) in expected.items()}
    third = opened("memory://answers-test", usd=10**9)
    assert third.entries() == second.entries()
    assert [(e.key, e.usage, e.model, e.batch) for e in third.entries()] == [
        (key, answer.usage, answer.model, batch) for key, (answer, batch) in sorted(expected.items())
    ]
    whole = sum(PRICES.of(answer.model).usd(answer.usage, batch) for answer, batch in expected.values())
    assert sum(PRICES.of(e.model).usd(e.usage, e.batch) for e in third.entries()) == pytest.approx(whole)
    store.clear()


def test_an_answer_that_was_never_kept_is_none(tmp_path: Path) -> None:
    assert opened(tmp_path / "nowhere").kept("ab" * 32, "write") is None
    assert opened(tmp_path / "nowhere").entries() == []


@pytest.mark.parametrize("damage", ["", '{"reply', "null", "[]", "7", "{}", '{"reply": {"text": "a"}, "batch": false}'])
def test_a_damaged_answer_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    key = "ab" * 32
    with opened(tmp_path) as kept:
        kept.keep(key, "write", reply())
    (tmp_path / "ab" / f"{key}.json").write_text(damage)
    with opened(tmp_path) as kept:
        assert kept.kept(key, "write") is None
        kept.keep(key, "write", reply("again"))
        assert kept.kept(key, "write") == reply("again")
        assert len(kept.entries()) == 1


def test_a_ledger_that_was_cut_short_keeps_its_other_lines(tmp_path: Path) -> None:
    with opened(tmp_path) as kept:
        for name in "abc":
            kept.keep(name * 64, "write", reply())
    (ledger,) = (tmp_path / "ledger").glob("*.jsonl")
    ledger.write_bytes(ledger.read_bytes()[:-20])
    assert [e.key[0] for e in opened(tmp_path).entries()] == ["a", "b"]


@pytest.mark.usefixtures("_at_once")
def test_processes_see_what_the_others_spend(tmp_path: Path) -> None:
    one, two = opened(tmp_path, 3.5), opened(tmp_path, 3.5)
    for number, answers in enumerate([one, two, one]):
        with answers.paying("small", Usage(output_tokens=100_000)):
            pass
        answers.keep(f"{number}" * 64, "write", reply())
    for answers in (one, two, opened(tmp_path, 3.5)):
        with pytest.raises(BudgetReached, match=r"\$3 of \$3.5 is spent .* raise budget.usd"):
            answers.paying("small", Usage(output_tokens=100_000)).__enter__()
        with answers.paying("small", Usage(output_tokens=50_000)):
            pass
        with answers.paying("small", Usage(output_tokens=100_000), batch=True):
            pass


def test_what_is_on_its_way_counts_until_it_has_come_or_failed(tmp_path: Path) -> None:
    answers, most = opened(tmp_path, 2), Usage(output_tokens=100_000)
    with answers.paying("small", most), answers.paying("small", most):
        with pytest.raises(BudgetReached):
            answers.paying("small", most).__enter__()
        answers.keep("a" * 64, "write", reply(output_tokens=10_000))
    with pytest.raises(ConnectionError), answers.paying("small", most):
        raise ConnectionError
    with answers.paying("small", Usage(output_tokens=190_000)):
        pass


def test_what_costs_nothing_is_never_stopped(tmp_path: Path) -> None:
    answers = opened(tmp_path, 1)
    answers.keep("a" * 64, "write", reply(output_tokens=10**6))
    with answers.paying("small", Usage()):
        pass
    with pytest.raises(BudgetReached):
        answers.paying("small", Usage(output_tokens=1)).__enter__()


def test_threads_together_stay_under_the_cap(tmp_path: Path) -> None:
    answers, paid = opened(tmp_path, 20), []

    def work(number: int) -> None:
        for n in range(10):
            try:
                with answers.paying("small", Usage(output_tokens=100_000)):
                    answers.keep(f"{number}{n}".zfill(64), "write", reply())
                    paid.append(1)
            except BudgetReached:
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paid) == len(answers.entries()) == 20


def test_without_a_budget_nothing_needs_a_price(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    with answers.paying("unheard of", Usage(output_tokens=10**9)):
        answers.keep("a" * 64, "write", reply(model="unheard of"))
    with pytest.raises(ValueError, match="no price for model 'unheard of'"):
        opened(tmp_path, 1).paying("unheard of", Usage()).__enter__()


def test_documents(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    assert answers.document("batches/a.json") is None
    answers.write_document("batches/a.json", {"job": "näme", "n": None})
    assert opened(tmp_path).document("batches/a.json") == {"job": "näme", "n": None}
    for damage in ("", "{", "[1]"):
        (tmp_path / "batches" / "a.json").write_text(damage)
        assert answers.document("batches/a.json") is None


@given(st.lists(st.builds(Entry, key=st.text(), purpose=st.sampled_from("ab"), model=st.just("small"), usage=USAGES)))
def test_totals_add_up(entries: list[Entry]) -> None:
    sums = totals(entries, PRICES)
    assert list(sums) == sorted({f"{e.purpose} small" for e in entries})
    assert sum(s["answers"] for s in sums.values()) == len(entries)
    assert sum(s["output_tokens"] for s in sums.values()) == sum(e.usage.output_tokens for e in entries)
    whole = sum(PRICES.of("small").usd(e.usage) for e in entries)
    assert sum(s["usd"] for s in sums.values()) == pytest.approx(whole, abs=1e-3)
    json.dumps(sums)


def test_totals_of_models_without_a_price_have_no_dollars() -> None:
    entry = Entry(key="k", purpose="write", model="unheard of", usage=Usage(output_tokens=5))
    expected = {"answers": 1, "prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 5}
    assert totals([entry], PRICES) == totals([entry], None) == {"write unheard of": expected}
