"""The engine says what the model says, whoever else is served beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import torch

from tests.runtime.talker import alone, fed, run, sound, talker
from trainer.calibration import Calibration
from trainer.firing import Seen
from trainer.model.drafting import CONTROLS, Drafting, draft
from trainer.model.duplex import Step
from trainer.model.verifier import Decider, Decision, Verifier, VerifierShape
from trainer.prefixes import cut, prefix_of, steps_of
from trainer.runtime.engine import Closed, Engine, Full
from trainer.runtime.engine import Drafting as Found

TICKS = 12
WIDTH = 16


def near(found: Seen, expected: Seen) -> bool:
    """Equal to float error."""
    return bool(np.allclose(found[:3], expected[:3], atol=1e-5)) and found[3:] == expected[3:]


async def fill(engine: Engine, row: int, ticks: int = TICKS, seed: int = 0) -> list[Seen]:
    """A conversation's first ticks."""
    pairs = zip(sound(ticks, seed), fed(ticks, seed), strict=True)
    return [await engine.tick(row, samples_N, token) for samples_N, token in pairs]


async def last(found: AsyncIterator[Found]) -> Found:
    """What a draft ends with."""
    return [one async for one in found][-1]


def reference(seed: int = 0, ticks: int = TICKS) -> list[Step]:
    """The same conversation without an engine."""
    return alone(sound(ticks, seed), fed(ticks, seed))[0]


@pytest.mark.parametrize("inline", [True, False])
def test_rows_of_different_length_in_one_batch_give_what_each_gives_alone(inline: bool) -> None:
    begins = (0, 3, 4, 9)
    histories = [list(zip(sound(TICKS, seed), fed(TICKS, seed), strict=True)) for seed in range(4)]

    async def talk() -> list[list[Seen]]:
        engine = Engine(talker(), sessions=4, inline=inline)
        rows = [engine.open() for _ in begins]
        told: list[list[Seen]] = [[] for _ in rows]
        for tick in range(TICKS):
            live = [place for place, begin in enumerate(begins) if begin <= tick]
            given = [histories[place][tick - begins[place]] for place in live]
            asked = [engine.tick(rows[place], *one) for place, one in zip(live, given, strict=True)]
            for place, says in zip(live, await asyncio.gather(*asked), strict=True):
                told[place].append(says)
        engine.stop()
        return told

    told = run(talk())
    for seed, (found, begin) in enumerate(zip(told, begins, strict=True)):
        _, expected = alone(sound(TICKS, seed), fed(TICKS, seed))
        assert all(map(near, found, expected[: TICKS - begin]))
        assert len({round(says.bos, 4) for says in found}) > 1, "the past makes a difference here"


@pytest.mark.parametrize("opener", ["bos", "boc"])
@pytest.mark.parametrize("seed", range(4))
def test_a_draft_is_the_model_s_own_token_for_token(opener: str, seed: int) -> None:
    fast = talker()

    async def talk() -> Found:
        engine = Engine(fast, inline=True)
        row = engine.open()
        await fill(engine, row, seed=seed)
        assert opener in ("bos", "boc")
        return await last(engine.draft(row, opener, None))

    found = run(talk())
    state = reference(seed)[-1].state
    with torch.inference_mode():
        if opener == "bos":
            expected = draft(fast.duplex, state, Drafting(stop=CONTROLS, max_tokens=256))[0]
            assert found.tokens == expected.tokens
            assert found.ended == expected.ended
            steps = steps_of(expected)
            assert torch.allclose(found.steps.hidden_LD.float(), steps.hidden_LD.float(), atol=2e-3)
            assert torch.allclose(found.steps.scalars_L3, steps.scalars_L3, atol=2e-2)
            return
        first = fast.duplex.step(torch.zeros(1, WIDTH), torch.tensor([fast.tokens.boc]), state)
        assert found.tokens[0] == int(first.logits_BV.argmax())


def test_a_draft_of_some_words_is_the_beginning_of_the_whole_one() -> None:
    fast = talker()

    async def talk() -> list[tuple[str, bool, dict[int, list[Found]]]]:
        engine = Engine(fast, inline=True, sessions=1)
        told = []
        for seed in range(6):
            row = engine.open()
            await fill(engine, row, 4, seed)
            whole = await last(engine.draft(row, "bos", None))
            some = {words: [one async for one in engine.draft(row, "bos", words)] for words in (1, 5)}
            told.append((whole.text, whole.ended, some))
            engine.close(row)
        return told

    whole_answers = 0
    for text, ended, some in run(talk()):
        for words, found in some.items():
            assert [one.last for one in found] == [False] * (len(found) - 1) + [True]
            assert all(text.split()[: len(one.text.split())] == one.text.split() for one in found)
            lengths = [len(one.text.split()) for one in found]
            assert lengths == sorted(lengths)
            assert lengths[-1] <= words
            assert found[-1].ended == (ended and len(text.split()) == lengths[-1])
            whole_answers += found[-1].ended
            if len(found[-1].tokens) < max(20, 8 * words):
                assert lengths[-1] == min(words, len(text.split()))
    assert whole_answers


def test_drafts_leave_their_parent_as_it_was_to_the_last_bit() -> None:
    async def talk(drafting: bool) -> list[Seen]:
        engine = Engine(talker(), inline=True)
        row = engine.open()
        told = []
        for tick, (samples_N, token) in enumerate(zip(sound(TICKS), fed(TICKS), strict=True)):
            told.append(await engine.tick(row, samples_N, token))
            if drafting and tick % 3 == 1:
                await last(engine.draft(row, "bos", 3))
        return told

    assert run(talk(True)) == run(talk(False))


def test_a_draft_sets_out_from_where_it_was_asked_for_whatever_comes_next() -> None:
    async def talk() -> tuple[Found, Found]:
        engine = Engine(talker(), sessions=2)
        one, two = engine.open(), engine.open()
        for row in (one, two):
            await fill(engine, row)
        before = engine.draft(one, "bos", None)
        later = [asyncio.ensure_future(engine.tick(one, samples_N, 1)) for samples_N in sound(5, seed=8)]
        found = await last(before), await last(engine.draft(two, "bos", None))
        await asyncio.gather(*later)
        engine.stop()
        return found

    before, alone_ = run(talk())
    assert before.tokens == alone_.tokens


def test_drafts_of_several_rows_at_once_are_what_each_is_alone() -> None:
    fast = talker()

    async def talk() -> list[Found]:
        engine = Engine(fast, sessions=3)
        rows = [engine.open() for _ in range(3)]
        for seed, row in enumerate(rows):
            await fill(engine, row, 4 + 3 * seed, seed)
        found = await asyncio.gather(*(last(engine.draft(row, "bos", None)) for row in rows))
        engine.stop()
        return found

    for seed, found in enumerate(run(talk())):
        state = reference(seed, 4 + 3 * seed)[-1].state
        assert found.tokens == draft(fast.duplex, state, Drafting(stop=CONTROLS, max_tokens=256))[0].tokens


def test_the_verdict_is_the_verifier_s_about_what_it_learned_from() -> None:
    fast = talker()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decider = Decider(Verifier(VerifierShape(hidden_size=WIDTH, width=8)).eval(), 0.5, Calibration())

    async def talk() -> list[Decision]:
        engine = Engine(fast, decider, inline=True, sessions=5)
        told = []
        for seed in range(5):
            row = engine.open()
            await fill(engine, row, 4, seed)
            told += [await engine.judge(await last(engine.draft(row, "bos", words))) for words in (1, 3)]
        return told

    decisions = iter(run(talk()))
    for seed in range(5):
        made = draft(fast.duplex, reference(seed, 4)[-1].state, Drafting(stop=CONTROLS, max_tokens=40))[0]
        for words in (1, 3):
            _, num_tokens = prefix_of(fast.decode(made.spoken), fast.encode, words)
            kept = cut(steps_of(made), num_tokens)
            # Numbers near the middle of two half-precision ones may be rounded to either.
            expected = decider.decide(kept.hidden_LD, kept.scalars_L3)
            assert next(decisions).logit == pytest.approx(expected.logit, abs=0.02)


def test_without_a_verifier_nothing_is_committed() -> None:
    async def talk() -> bool:
        engine = Engine(talker(), inline=True)
        row = engine.open()
        return (await engine.judge(await last(engine.draft(row, "bos", 2)))).commit

    assert run(talk()) is False


def test_a_row_that_is_used_again_knows_nothing_of_before() -> None:
    async def talk() -> tuple[list[Seen], list[Seen], str]:
        engine = Engine(talker(), sessions=1, inline=True)
        row = engine.open()
        first = await fill(engine, row)
        engine.close(row)
        engine.close(row)
        row = engine.open()
        text = await engine.transcribe(row, 0, 100)
        return first, await fill(engine, row), text

    first, again, text = run(talk())
    assert first == again
    assert text == ""


def test_closing_a_row_ends_its_drafts_and_no_others() -> None:
    async def talk() -> Found:
        engine = Engine(talker(), sessions=2)
        one, two = engine.open(), engine.open()
        for row in (one, two):
            await fill(engine, row)
        mine, other = engine.draft(one, "bos", None), engine.draft(two, "bos", None)
        engine.close(one)
        with pytest.raises(Closed, match="row 0 has been closed"):
            await last(mine)
        with pytest.raises(ValueError, match="row 0 is not open"):
            await engine.tick(one, sound(1)[0], 0)
        found = await last(other)
        engine.stop()
        return found

    assert run(talk()).last


def test_drafts_that_nobody_listens_to_give_their_rows_back() -> None:
    async def talk() -> None:
        engine = Engine(talker(), drafts=2, inline=True)
        row = engine.open()
        await fill(engine, row)
        for _ in range(5):
            some = engine.draft(row, "bos", None), engine.draft(row, "bos", None)
            with pytest.raises(Full, match="drafts"):
                engine.draft(row, "bos", None)
            for one in some:
                await anext(one)
                await one.aclose()  # type: ignore[attr-defined]
            # A step that finds them gone.
            await engine.tick(row, sound(1)[0], 0)
            await engine.transcribe(row, 0, 1)

    run(talk())


def test_too_many_sessions_are_refused_until_one_is_over() -> None:
    async def talk() -> None:
        engine = Engine(talker(), sessions=2, inline=True)
        rows = engine.open(), engine.open()
        with pytest.raises(Full, match="all 2 sessions"):
            engine.open()
        engine.close(rows[1])
        assert engine.open() == rows[1]

    run(talk())


@pytest.mark.parametrize(
    ("samples", "token", "said"),
    [
        (np.zeros(2559, np.float32), 0, "2560"),
        (np.full(2560, np.nan, np.float32), 0, "finite"),
        (np.zeros(2560, np.float32), -1, "token -1"),
        (np.zeros(2560, np.float32), 10**6, "token 1000000"),
    ],
)
def test_nonsense_is_refused_and_harms_nobody(samples: np.ndarray, token: int, said: str) -> None:
    async def talk() -> list[Seen]:
        engine = Engine(talker(), inline=True)
        row = engine.open()
        with pytest.raises(ValueError, match=said):
            await engine.tick(row, samples, token)
        return await fill(engine, row)

    assert all(map(near, run(talk()), alone(sound(TICKS), fed(TICKS))[1]))


@pytest.mark.parametrize("wrong", [{"sessions": 0}, {"drafts": 0}, {"threads": 0}, {"context_ticks": 7}])
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Engine(talker(), inline=True, **wrong)  # type: ignore[arg-type]


def test_a_stopped_engine_says_so_to_all_who_wait() -> None:
    async def talk() -> None:
        engine = Engine(talker())
        row = engine.open()
        waiting = engine.draft(row, "bos", None)
        engine.stop()
        engine.stop()
        with pytest.raises(Closed):
            await last(waiting)
        with pytest.raises(Closed):
            await engine.tick(row, sound(1)[0], 0)
        engine.close(row)

    run(talk())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_whose_thread_dies_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk() -> None:
        engine = Engine(talker())
        row = engine.open()
        await fill(engine, row, 1)

        def broken() -> bool:
            raise SystemExit

        monkeypatch.setattr(engine._work, "once", broken)
        with pytest.raises(Closed):
            await engine.tick(row, sound(1)[0], 0)
        with pytest.raises(Closed):
            engine.open()
        engine.stop()

    run(talk())
