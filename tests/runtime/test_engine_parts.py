"""What the engine is made of: rows, towers, transcription, and who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.runtime.talker import fed, run, sound, talker
from tests.trainer import tiny_lm
from trainer.firing import Seen
from trainer.losses import transcription
from trainer.model.duplex import Duplex
from trainer.model.fastpath import FastPath
from trainer.model.layers import Order
from trainer.model.state import LMState, Strip, cache_of, state_of
from trainer.model.tower import Tower, build
from trainer.runtime.engine import Drafting, Engine
from trainer.runtime.engine.hearing import KEPT_TICKS, Heard
from trainer.runtime.engine.model import TOLERANCE, Model, Weights
from trainer.runtime.engine.towers import Towers
from trainer.runtime.engine.work import Tick, Work
from trainer.targets import Transcript

TICKS = 14


def with_llm(family: str) -> FastPath:
    """The talker with another family's language model, which has words of its own."""
    duplex = Duplex(tiny_lm.random_llm(family), tiny_lm.TOKENS).eval()
    return FastPath(talker().preset, talker().tower, duplex, talker().tokenizer).eval()


def work_of(fast: FastPath, context: int = 32) -> Work:
    """Four sessions and two drafts."""
    return Work(fast, 4, 2, context, "float32")


@torch.inference_mode()
@pytest.mark.parametrize("family", tiny_lm.FAMILIES)
def test_any_interleaving_of_rows_gives_what_each_row_gives_alone(family: str) -> None:
    fast = with_llm(family)
    model, duplex = Model(fast, "float32"), fast.duplex
    rows = model.rows(4, TICKS)
    speech_RKD, token_RK = tiny_lm.speech(4, TICKS, seed=5)
    states, rng = [LMState() for _ in range(4)], np.random.default_rng(2)
    while any(length < TICKS for length in rows.lengths):
        at = [row for row in rng.permutation(4).tolist() if rows.lengths[row] < TICKS and rng.random() < 0.7]
        if not at:
            continue
        places = [rows.lengths[row] for row in at]
        speech_BD = torch.stack([speech_RKD[row, place] for row, place in zip(at, places, strict=True)])
        token_B = [int(token_RK[row, place]) for row, place in zip(at, places, strict=True)]
        found_BD = model.advance(rows, at, (speech_BD + model.embed(token_B))[:, None])[:, 0]
        for row, speech_D, token, hidden_D in zip(at, speech_BD, token_B, found_BD, strict=True):
            step = duplex.step(speech_D[None], torch.tensor([token]), states[row])
            states[row] = step.state
            assert torch.allclose(hidden_D, step.hidden_BD[0], atol=1e-4)
            assert torch.allclose(model.logits(hidden_D[None]), step.logits_BV, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_many_ticks_of_a_row_at_once_are_its_ticks_one_by_one(family: str) -> None:
    model = Model(with_llm(family), "float32")
    rows = model.rows(2, TICKS)
    speech_BKD, _ = tiny_lm.speech(1, TICKS)
    slow = torch.cat([model.advance(rows, [0], speech_BKD[:, tick : tick + 1]) for tick in range(TICKS)], dim=1)
    fast = torch.cat([model.advance(rows, [1], part_BQD) for part_BQD in speech_BKD.split(5, dim=1)], dim=1)
    assert torch.allclose(fast, slow, atol=1e-4)


@torch.inference_mode()
def test_a_language_model_that_attends_in_another_way_is_refused() -> None:
    model = Model(with_llm("qwen2"), "float32")
    model.check()
    model._llm.base_model.layers[0].self_attn.scaling *= 2  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="Qwen2ForCausalLM attends in another way"):
        model.check()


@torch.inference_mode()
def test_the_oldest_quarter_goes_when_the_context_is_full() -> None:
    """Against the model itself with keys cut off by hand, positions going on."""
    fast, context, ticks = talker(), 8, 11
    work = work_of(fast, context)
    told: list[Seen] = []
    for samples_N, token in zip(sound(ticks), fed(ticks), strict=True):
        work.ask(Tick(0, torch.from_numpy(samples_N), token, told.append))  # type: ignore[arg-type]
        work.once()
    # 8 ticks, 2 dropped before the ninth and again before the eleventh.
    assert (work.rows.lengths[0], work.rows.positions[0]) == (7, ticks)
    assert work.rows.keys_LRHKC.isfinite().all()
    state, hidden_BD = LMState(), torch.zeros(1, fast.duplex.width)
    heard = fast.tower.start()
    for tick, (samples_N, token) in enumerate(zip(sound(ticks), fed(ticks), strict=True)):
        speech_BD, heard = fast.tower.step(torch.from_numpy(samples_N)[None], heard)
        if state.length == context:
            state = LMState(tuple((_without(k, 2), _without(v, 2)) for k, v in state.layers))
        hidden_BD, state = _at(fast.duplex, speech_BD + fast.duplex.embedding.weight[token], state, tick)
    expected = fast.duplex.logits(hidden_BD).softmax(-1)[0]
    assert told[-1].bos == pytest.approx(float(expected[fast.tokens.bos]), abs=1e-4)
    assert told[-1].top == int(expected.argmax())


def _without(strip: Strip, ticks: int) -> Strip:
    return Strip.of(strip.seen_BHKC[:, :, ticks:])


def _at(duplex: Duplex, input_BD: Tensor, state: LMState, position: int) -> tuple[Tensor, LMState]:
    cache = cache_of(state, duplex.llm.config.num_hidden_layers)
    place_BK = torch.tensor([[position]])
    found = duplex.llm.base_model(
        inputs_embeds=input_BD[:, None], position_ids=place_BK, past_key_values=cache, use_cache=True
    )
    return found.last_hidden_state[:, 0], state_of(cache, state)


def test_a_fork_holds_what_its_parent_holds_and_leaves_it_alone() -> None:
    work = work_of(talker())
    for samples_N, token in zip(sound(TICKS), fed(TICKS), strict=True):
        work.ask(Tick(2, torch.from_numpy(samples_N), token, lambda _: None))
        work.once()
    rows = work.rows
    before = rows.keys_LRHKC[:, 2].clone(), rows.values_LRHKC[:, 2].clone()
    draft, call = work.fork(2, "bos", None, lambda _: None)
    work.ask(call)
    work.once()
    assert torch.equal(rows.keys_LRHKC[:, draft.row, :, :TICKS], before[0][:, :, :TICKS])
    assert rows.lengths[draft.row] == rows.positions[draft.row] == TICKS
    while work.once():
        pass
    assert torch.equal(rows.keys_LRHKC[:, 2], before[0])
    assert torch.equal(rows.values_LRHKC[:, 2], before[1])
    assert (rows.lengths[2], rows.positions[2]) == (TICKS, TICKS)


@torch.inference_mode()
@pytest.mark.parametrize("order", ["absolute", "rotary"])
def test_towers_at_different_places_step_together(order: Order) -> None:
    config = talker().tower.config
    encoder = config.encoder.model_copy(update={"order": order})
    tower = build(config.model_copy(update={"encoder": encoder}), seed=4)
    towers = Towers(tower.for_streaming())
    begins, ticks = (0, 2, 7), 12
    states, own = [towers.start() for _ in begins], [tower.start() for _ in begins]
    samples = [sound(ticks, seed) for seed in range(3)]
    for tick in range(ticks):
        at = [row for row, begin in enumerate(begins) if begin <= tick]
        chunk_BN = torch.stack([torch.from_numpy(samples[row][tick]) for row in at])
        found_BD, after = towers.step(chunk_BN, [states[row] for row in at])
        for row, samples_N, found_D, state in zip(at, chunk_BN, found_BD, after, strict=True):
            expected_BD, own[row] = tower.step(samples_N[None], own[row])
            states[row] = state
            assert torch.allclose(found_D, expected_BD[0], atol=1e-5)


def test_the_tower_of_the_fast_path_stays_what_it_was() -> None:
    Towers(talker().tower.for_streaming())
    assert type(talker().tower.encoder.blocks[0].get_submodule("attention")).__name__ == "Attention"
    assert isinstance(talker().tower, Tower)


def test_a_transcription_is_the_one_that_stage_1_learns() -> None:
    """Against the model fed as in training, word for word; the tokens chosen are the likeliest at their places."""
    fast = talker()

    async def talk() -> tuple[str, list[int]]:
        engine = Engine(fast, inline=True)
        row = engine.open()
        for samples_N in sound(40):
            await engine.tick(row, samples_N, fast.tokens.sil)
        written: list[int] = []
        one, call = engine._work.transcribe(row, 3, 30, written.extend)  # type: ignore[arg-type]
        engine._ask(call)
        text = await engine.transcribe(row, 3, 30)
        assert not one.unread_QD.numel()
        return text, written

    text, written = run(talk())
    heard = fast.tower.start()
    vectors = []
    for samples_N in sound(40):
        speech_BD, heard = fast.tower.step(torch.from_numpy(samples_N)[None], heard)
        vectors.append(speech_BD[0])
    taught = Transcript(3, 33, (fast.tokens.bos, *written, fast.tokens.eos), "turn")
    with torch.no_grad():
        made = transcription(fast.duplex, torch.stack(vectors)[None], [[taught]], 200)
        assert made is not None
        chosen_L = fast.duplex.logits(fast.duplex.run(made.input_SLD))[0].argmax(-1).tolist()
    # 30 ticks, the special embedding, [BOS]: its place emits the first token.
    assert chosen_L[31 : 31 + len(written)] == written
    assert text == " ".join(fast.decode(written).split())
    assert written


def test_only_the_last_minute_is_kept() -> None:
    heard = Heard(torch.zeros(2))
    for tick in range(KEPT_TICKS + 10):
        heard.add(torch.full((2,), float(tick)))
    assert heard.between(0, 12)[:, 0].tolist() == [10.0, 11.0]
    assert heard.between(KEPT_TICKS + 8, 50)[:, 0].tolist() == [KEPT_TICKS + 8.0, KEPT_TICKS + 9.0]
    assert not len(heard.between(0, 5))
    assert not len(heard.between(KEPT_TICKS + 10, 5))
    assert len(heard.between(0, 10**6)) == KEPT_TICKS
    heard.clear()
    assert not len(heard.between(0, 10))


def test_a_tick_waits_for_one_step_at_most_and_ticks_that_wait_go_together() -> None:
    work = work_of(talker())
    order: list[str] = []
    drafted: list[Drafting | BaseException] = []
    for seed, row in enumerate((0, 1)):
        _tick(work, row, seed, order)
    _, call = work.fork(0, "bos", None, drafted.append)
    work.ask(call)
    _, call = work.transcribe(0, 0, 1, lambda _: order.append("written"))
    work.ask(call)
    work.once()
    assert order == ["tick 0", "tick 1"]
    for _ in range(3):
        work.once()
    for seed, row in enumerate((0, 1, 2)):
        _tick(work, row, seed, order)
    work.once()
    assert order == ["tick 0", "tick 1", "tick 0", "tick 1", "tick 2"]
    assert "written" not in order
    while work.once():
        pass
    assert isinstance(drafted[-1], Drafting)
    assert drafted[-1].last
    assert order[-1] == "written"


def _tick(work: Work, row: int, seed: int, order: list[str]) -> None:
    samples_N = torch.from_numpy(sound(1, seed)[0])
    work.ask(Tick(row, samples_N, 0, lambda _: order.append(f"tick {row}")))


def test_a_piece_that_fails_tells_its_own_and_nobody_else() -> None:
    work = work_of(talker())
    told: dict[str, object] = {}
    work.ask(Tick(0, torch.zeros(7), 0, lambda says: told.update(wrong=says)))
    work.once()
    work.ask(Tick(1, torch.zeros(2560), 0, lambda says: told.update(right=says)))
    work.once()
    assert isinstance(told["wrong"], Exception)
    assert isinstance(told["right"], Seen)


@torch.inference_mode()
@pytest.mark.parametrize("weights", ["bfloat16", "float16", "int8"])
def test_smaller_weights_say_nearly_the_same(weights: Weights) -> None:
    if weights != "bfloat16" and "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("FBGEMM is for x86")

    def told(weights: Weights) -> Sequence[Seen]:
        work = Work(talker(), 1, 1, 32, weights)
        found: list[Seen] = []
        for samples_N, token in zip(sound(5), fed(5), strict=True):
            work.ask(Tick(0, torch.from_numpy(samples_N), token, found.append))  # type: ignore[arg-type]
            work.once()
        return found

    before = {name: value.clone() for name, value in talker().state_dict().items()}
    off = np.abs(np.array(told(weights))[:, :3] - np.array(told("float32"))[:, :3]).max()
    assert 0 < off < 2 * TOLERANCE[weights]
    assert all(torch.equal(value, before[name]) for name, value in talker().state_dict().items())
