"""Table 3 as a whole: teacher-forced passes, intervals, ceilings, noise floors, and one run on a real dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path as File

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from datagen.core.ceiling import wilson
from datagen.core.records import Event
from tests.tiny import Tiny, built
from tests.trainer.published import every_row, write
from tests.trainer.talks import RULES, Path, Said, heard, mixed, row, rows, scripted, tokenizer, tokens, told
from tests.trainer.tiny_preset import tiny
from trainer.data.index import Index, open_index
from trainer.data.rows import Row, letters
from trainer.evaluate._truth import pace_of, responses_of
from trainer.evaluate.ceilings import ceilings
from trainer.evaluate.forced import Forced, calibrate_forced, run_forced, score_forced
from trainer.evaluate.heard import Heard, batches_of, hear
from trainer.evaluate.matching import Counts
from trainer.evaluate.scores import Scored, recalls, table
from trainer.evaluate.turntaking import Setting, TurnTaking, calibrate, floor_recalls, turn_taking
from trainer.firing import Thresholds
from trainer.model.duplex import Duplex, RandomLlm, build_llm, previous_tokens
from trainer.model.fastpath import FastPath
from trainer.targets import Rules
from trainer.tokens import encode

__all__ = ["built"]

T = tokens()
SETTING = Setting(rules=RULES)


@pytest.fixture(scope="module")
def index(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return open_index(str(write(tmp_path_factory.mktemp("set"), every_row(built))), "train")


@pytest.fixture(scope="module")
def fast(built: Tiny) -> FastPath:
    texts = [segment["text_full"] for published in every_row(built) for segment in published["segments"]]
    return FastPath.begin(tiny(), texts).eval()


def talk(number: int, start: int = 10) -> Row:
    return row(Said("user", 0, 8), Said("assistant", start, start + 8), ticks=30, id=f"talk-{number}")


def doubtful(conversation: Row, bos: float, early: float) -> Heard:
    """A model that gives [BOS] one probability in its tick and another two ticks before."""
    perfect = heard(conversation)
    speech_KD = perfect.speech_KD.clone()
    (tick,) = np.flatnonzero(perfect.ids_K == T.bos)
    speech_KD[tick] = mixed((T.bos, bos), (T.sil, 1 - bos))
    speech_KD[tick - 2] = mixed((T.bos, early), (T.sil, 1 - early))
    return replace(perfect, speech_KD=speech_KD)


@settings(max_examples=12, deadline=None)
@given(rows(), rows("talk-1"))
def test_a_perfect_model_scores_everything_either_way(one: Row, two: Row) -> None:
    found = turn_taking(scripted(), [heard(one), heard(two)], SETTING)
    for shown in (found.forced, found.free):
        for line in shown.lines:
            assert (line.counts.fp, line.counts.fn) == (0, 0)
            assert line.f1 is None or (line.f1.value, line.f1.high) == (1, pytest.approx(1))
            assert line.f1 is None or line.f1.low < 1, "two conversations prove little"
    assert TurnTaking.model_validate_json(found.model_dump_json()) == found


def test_a_forced_pass_is_the_models_own(tmp_path: File) -> None:
    """Logits in blocks, padded, in any batch: what ``forward`` says about each conversation alone."""
    llm = build_llm(RandomLlm(hidden=16, layers=2, heads=2, kv_heads=1, ffn=32), T, 1)
    path = Path(Duplex(llm, T).eval(), tokenizer())
    draw = torch.Generator().manual_seed(2)
    talks = [replace(heard(talk(n, 9 + n)), speech_KD=torch.randn(30, 16, generator=draw)) for n in range(3)]
    talks[1] = replace(heard(row(Said("assistant", 2, 8), ticks=11)), speech_KD=torch.randn(11, 16, generator=draw))
    found = run_forced(path, talks)
    for conversation, made in zip(talks, found, strict=True):
        label_BK = torch.from_numpy(conversation.ids_K.copy())[None]
        with torch.no_grad():
            logits_KV = path.duplex(conversation.speech_KD[None], previous_tokens(label_BK, T)).logits_BKV[0]
        np.testing.assert_array_equal(made.top_K, logits_KV.argmax(-1))
        np.testing.assert_allclose(made.chances["boc"], logits_KV.softmax(-1)[:, T.boc], rtol=1e-3)
        assert not np.isin(made.rest_K, [T.bos, T.stp, T.boc]).any()


def test_thresholds_put_events_where_the_likeliest_token_has_none() -> None:
    bos, stp, boc = (np.array(c, np.float32) for c in ([0.3, 0.3, 0.1], [0, 0.4, 0], [0.1, 0, 0.1]))
    top_K = np.array([T.sil, T.sil, 9])
    made = Forced(top_K, top_K, {"bos": bos, "stp": stp, "boc": boc})
    eager = Forced(np.full(3, T.bos), top_K, made.chances)
    assert eager.emitted(T, Thresholds(bos=0.9, stp=0.9, boc=0.9)).tolist() == top_K.tolist()
    assert made.emitted(T).tolist() == [T.sil, T.sil, 9]
    assert made.emitted(T, Thresholds(bos=0.25, stp=0.25, boc=0.3)).tolist() == [T.bos, T.stp, 9]
    assert made.emitted(T, Thresholds(bos=0.25, stp=0.9, boc=0.05)).tolist() == [T.boc, T.bos, T.boc]


def test_thresholds_are_found_that_set_a_model_right() -> None:
    """Every [BOS] is half as likely as silence, and there is always a fainter one too early to count."""
    conversations = [doubtful(talk(n), 0.3 + 0.02 * n, 0.1 + 0.01 * n) for n in range(6)]
    path = scripted()
    before = turn_taking(path, conversations, SETTING)
    assert before.forced.line("bos").counts == before.free.line("bos").counts == Counts(fn=6)
    points = calibrate(path, conversations, SETTING)
    assert 0.15 < points.forced.thresholds.bos <= 0.3
    assert points.free.f1["bos"] == points.forced.f1["bos"] == 1
    assert points.free.f1["stp"] is None
    after = turn_taking(path, conversations, SETTING, points)
    assert after.forced_calibrated is not None
    assert after.forced_calibrated.line("bos").counts == after.free.line("bos").counts == Counts(tp=6)


def test_a_model_that_insists_fires_once_where_only_onsets_count() -> None:
    """Fed with silence it says [BOS] again and again: false for a forced table, one start for free-running."""
    perfect = heard(talk(0))
    speech_KD = perfect.speech_KD.clone()
    speech_KD[9:11] = mixed((T.bos, 0.9), (T.sil, 0.1))
    insisting = [replace(perfect, speech_KD=speech_KD)]
    seen = run_forced(scripted(), insisting)
    assert score_forced(insisting[0], seen[0], T).counts["bos"] == Counts(tp=1, fp=1)
    plain, onsets = (calibrate_forced(insisting, seen, T, onsets=flag).f1["bos"] for flag in (False, True))
    assert plain is not None
    assert plain < 1 == onsets


def test_free_running_thresholds_start_where_only_onsets_count() -> None:
    """A model that says [BOS] twice in most conversations, and once but faintly in the last."""
    insisting = []
    for number in range(4):
        perfect = heard(talk(number))
        speech_KD = perfect.speech_KD.clone()
        early, due = ((0.9, 0.6), (0.001, 0.5))[number == 3]
        speech_KD[9], speech_KD[10] = (mixed((T.bos, p), (T.sil, 1 - p)) for p in (early, due))
        insisting.append(replace(perfect, speech_KD=speech_KD))
    points = calibrate(scripted(), insisting, SETTING, rounds=())
    assert points.forced.thresholds.bos > 0.6
    assert points.free.thresholds.bos <= 0.5
    assert points.free.f1["bos"] == 1


def test_stops_of_false_starts_do_not_speak_for_a_threshold() -> None:
    talk = row(
        Said("user", 0, 8), Said("assistant", 9, 20, "go", full="go at me"), Said("user", 17, 24), ticks=40,
        barge_ins=[(1, 17)],
    )  # fmt: skip
    perfect = heard(talk)
    ids_K = perfect.ids_K.copy()
    ids_K[2:5] = T.bos, ids_K[10], T.stp
    astray = told(perfect, ids_K)
    assert turn_taking(scripted(), [astray], SETTING).free.line("stp").counts == Counts(tp=1, fp=1)
    assert calibrate(scripted(), [astray], SETTING, rounds=()).free.f1["stp"] == 1


def test_certainty_is_as_good_as_there_are_dialogues() -> None:
    right, nothing = {"bos": Counts(tp=9)}, {"bos": Counts()}
    parts = [Scored(id=name, counts=right) for name in ("a-p0", "a-p1", "b")]
    found = table("sure", [*parts, Scored(id="c", counts=nothing)]).line("bos").recall
    assert found is not None
    assert (found.value, found.low) == (1, pytest.approx(wilson(2, 2)[0]))


def test_intervals_draw_whole_dialogues() -> None:
    """Parts of one dialogue count as one draw, so ten of them are as good as one."""
    right, wrong = {"bos": Counts(tp=10)}, {"bos": Counts(tp=5, fp=5, fn=5)}
    parts = [Scored(id=f"a-p{n}", counts=right) for n in range(10)] + [Scored(id="b", counts=wrong)]
    one, two = table("parts", parts).line("bos").f1, table("whole", [parts[0], parts[-1]]).line("bos").f1
    assert one is not None
    assert two is not None
    assert (one.low, two.low) == (0.5, 0.5)
    assert (one.high, two.high) == (1, 1)


def test_what_is_undefined_is_left_blank() -> None:
    found = table("nothing", [Scored(id="a", counts={"bos": Counts(fn=2), "boc": Counts()})])
    assert found.line("bos").precision is None
    assert found.line("bos").recall is not None
    assert found.line("boc").f1 is None
    assert "| [BOC] | - | - | - | - | 0 |" in found.markdown()


def test_ceilings_are_those_of_the_datas_own_chance() -> None:
    """Waits of 1 and 5 ticks, half and half: who waits a fixed time gets half of them."""
    talks = [talk(n, 9 if n % 2 else 13) for n in range(20)]
    top = ceilings(talks)["bos"]
    assert top.f1 == top.precision == top.recall == 0.5
    assert top.low < 0.5 < top.high
    assert ceilings([talk(n) for n in range(20)])["bos"].f1 == 1
    opened = [row(Said("assistant", tick, 9), ticks=30) for tick in (0, 4)]
    assert ceilings(opened)["bos"].f1 == 0.5
    both = ceilings([*opened, *(talk(n) for n in range(6))])["bos"]
    assert both.f1 == pytest.approx((6 + 1) / 8)
    assert "(6 events); acts" in both.note
    cut = row(Said("user", 0, 5), Said("assistant", 6, 17, "go", full="go at"), ticks=30, barge_ins=[(1, 14)])
    found = ceilings([cut])
    assert found["stp"].f1 == found["begun"].f1 == 1
    assert "480 ms after the user begins" in found["stp"].note
    assert "boc" not in found


def test_a_backchannel_is_as_sure_as_its_invitation_and_its_delay() -> None:
    def invited(number: int, delay: int) -> Row:
        at = 5 * 2560
        places = {"actor": "user", "outcome": "answered", "type": "invitation", "start": at, "end": at + 9}
        answer = {"actor": "assistant", "outcome": "floor kept", "type": "backchannel", "start": at + delay}
        events = [places, answer | {"end": at + delay + 9}]
        found = tuple(Event.model_validate(e | {"target": 0, "probability": 0.8}) for e in events)
        return talk(number).model_copy(update={"events": found})

    steady = ceilings([invited(n, 2560) for n in range(10)])["boc"]
    assert (steady.precision, steady.recall) == (pytest.approx(0.8), 1)
    jittery = ceilings([invited(n, 2560 * (1 + 4 * (n % 2))) for n in range(10)])["boc"]
    for figure in ("precision", "recall", "f1", "low", "high"):
        assert getattr(jittery, figure) == pytest.approx(getattr(steady, figure) / 2)


def test_recalls_of_conditions_are_paired() -> None:
    def counted(hits: list[int]) -> list[Scored]:
        return [Scored(id=f"t{n}", counts={"bos": Counts(tp=hit, fn=4 - hit)}) for n, hit in enumerate(hits)]

    found = recalls({"quiet": counted([4, 2, 0]), "loud": counted([3, 1, 0])})
    assert [e.value for e in found.recall.values()] == [0.5, pytest.approx(1 / 3)]
    assert (found.spread.value, found.spread.high) == (pytest.approx(1 / 6), pytest.approx(0.25))
    assert "| loud | 33.3" in found.markdown()
    with pytest.raises(ValueError, match="the same conversations"):
        recalls({"one": counted([1]), "two": counted([1, 2])})


def test_pace_is_a_line_through_what_is_said_uncut() -> None:
    talks = [
        row(Said("assistant", 0, 2 + n, "go" * n), Said("assistant", 20, 21, "go", full="go at"), ticks=30)
        for n in (1, 2, 4)
    ]
    found = pace_of(talks)
    assert (found.base, found.per_letter) == (pytest.approx(2 * 2560), pytest.approx(2560 / 2))
    assert found.ticks(8) == 6
    assert letters(" go at ") == 4
    assert pace_of(talks[:1]).per_letter == 3 * 2560 / 2
    with pytest.raises(ValueError, match="says nothing"):
        pace_of([row(Said("user", 0, 4), ticks=9)])


def test_recorded_responses_say_when_the_user_began() -> None:
    """By the event; in data without events by the user's turn inside."""
    said = (Said("user", 0, 5), Said("assistant", 6, 17, "go", full="go at"), Said("user", 13, 22))
    for barge_ins, cut_in in (([(1, 14)], 14), ([], 13)):
        talk = row(*said, ticks=40, barge_ins=barge_ins)
        (found,) = responses_of(talk, heard(talk).ids_K, T, pace_of([row(said[0], Said("assistant", 6, 9), ticks=12)]))
        assert (found.start, found.stop, found.cut_in, found.silent) == (6, 17, cut_in, 6 + 22)


def test_what_the_labels_lack_is_no_response() -> None:
    """A turn that begins in the tick of an [STP] waits; one whose labels were written over is gone."""
    said = (Said("assistant", 6, 17, "go", full="go at"), Said("assistant", 17, 22, "left"))
    talk = row(*said, ticks=30)
    labels_K, pace = heard(talk).ids_K, pace_of([talk])
    assert [r.start for r in responses_of(talk, labels_K, T, pace)] == [6, 18]
    over_K = np.where(np.isin(np.arange(30), [17, 18]), 9, labels_K)
    (left,) = responses_of(talk, over_K, T, pace)
    assert (left.start, left.stop, left.end) == (6, None, 17)


@pytest.mark.slow
@pytest.mark.parametrize("rules", [RULES, Rules(mode="relays2s")])
def test_a_real_fast_path_goes_through_all_of_it(fast: FastPath, index: Index, rules: Rules) -> None:
    """Untrained: the numbers say nothing, but all conversations are there and every table is written."""
    setting = Setting(rules=rules, batch=5)
    conversations = list(hear(fast, batches_of(index), rules))
    assert sorted(h.row.id for h in conversations) == sorted(index.ids)
    assert all(h.speech_KD.shape == (h.ticks, 16) for h in conversations)
    said = encode(fast.tokenizer, "Go left")
    assert (
        said
        == conversations[0]
        .ids_K[np.flatnonzero(conversations[0].ids_K == fast.tokens.bos)[0] + 1 :][: len(said)]
        .tolist()
    )
    points = calibrate(fast, conversations, setting, rounds=[(0.0,)])
    found = turn_taking(fast, conversations, setting, points)
    assert found.free.conversations == len(index)
    assert json.loads(found.model_dump_json())["points"]["free"]["conversations"] == len(index)
    assert ("tells when the user will cut in" in found.markdown()) == (rules.mode == "relays2s")
    for word in ("[BOS] ceiling: acts", "Teacher-forced, thresholds", "Free-running, thresholds", "false starts"):
        assert word in found.markdown()


def test_floors_are_heard_over_the_same_conversations(fast: FastPath, index: Index) -> None:
    """Muted or not, an untrained model that fires wherever it may is heard alike."""
    always = Thresholds(bos=1e-6, stp=1, boc=1)
    few = index.select([0, 1])
    found = floor_recalls(fast, few, Setting(rules=RULES), always, floors=(0.0, 1e-3))
    assert list(found.recall) == ["as published", "RMS 0", "RMS 0.001"]
    assert found.spread.value == 0
