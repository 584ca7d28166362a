"""Free-running: what the model says it does, within the rules of the floor, and every event is matched as stated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.talks import (
    RULES,
    Path,
    Said,
    certain,
    heard,
    mixed,
    row,
    rows,
    scripted,
    tokenizer,
    tokens,
    told,
)
from trainer.data.rows import Row
from trainer.evaluate._agent import Agent, Own, Playing
from trainer.evaluate._truth import Pace
from trainer.evaluate.forced import run_forced
from trainer.evaluate.freerun import Run, free_run, score_run
from trainer.evaluate.heard import Heard
from trainer.evaluate.matching import Counts
from trainer.evaluate.stops import barge_ins, false_starts, stops
from trainer.firing import Seen, Thresholds
from trainer.model.duplex import Duplex, RandomLlm, build_llm
from trainer.targets import Rules
from trainer.tokens import decode, encode

T = tokens()
PACE = Pace(base=0, per_letter=2560)
"""A tick per letter."""


def run(conversation: Heard, thresholds: Thresholds | None = None, rules: Rules = RULES, **options: Any) -> Run:
    (found,) = free_run(scripted(), [conversation], rules, thresholds, pace=options.pop("pace", PACE), **options)
    return found


def scores(conversation: Heard, found: Run) -> dict[str, Counts]:
    return score_run(conversation, found, T).counts


def plain(ticks: int = 30) -> Row:
    """The user speaks in ticks 0 to 8, the assistant in 10 to 18."""
    return row(Said("user", 0, 8), Said("assistant", 10, 18), ticks=ticks)


def cut(ticks: int = 40) -> Row:
    """The assistant speaks from tick 6, the user cuts in in tick 14, it stops in tick 17, one of three words out."""
    return row(
        Said("user", 0, 5),
        Said("assistant", 6, 17, "go", full="go at me"),
        Said("user", 14, 22),
        ticks=ticks,
        barge_ins=[(1, 14)],
    )


def quiet(conversation: Row, **at: int) -> Heard:
    """The conversation with a model that is silent but for tokens at some ticks: ``t12="bos"``."""
    blank = heard(conversation)
    ids_K = np.full(blank.ticks, T.sil)
    for name, token in at.items():
        ids_K[int(name[1:])] = token
    return told(blank, ids_K)


@settings(max_examples=60, deadline=None)
@given(rows())
def test_a_model_that_says_the_labels_scores_everything(conversation: Row) -> None:
    perfect = heard(conversation)
    found = run(perfect)
    np.testing.assert_array_equal(found.ids_K, perfect.ids_K)
    assert all(counts.fp == counts.fn == 0 for counts in scores(perfect, found).values())
    assert [r.start for r in found.responses] == [r.start for r in found.recorded]
    assert [r.stopped for r in found.responses] == [r.stop is not None for r in found.recorded]
    assert all(b.begun and b.talking and b.latency == b.overlap == 3 for b in barge_ins(perfect, found))
    assert false_starts(perfect, found).false_starts == 0


@settings(max_examples=40, deadline=None)
@given(rows(), st.sampled_from([-2, -1, 1, 2]))
def test_events_one_tick_off_count_and_two_do_not(conversation: Row, shift: int) -> None:
    """Only [BOS] is moved, so the rest follows from it: what stands for a recorded turn lasts until that is over."""
    perfect = heard(conversation)
    speech_KD = certain(np.where(perfect.ids_K == T.bos, T.sil, perfect.ids_K))
    (first, *_) = [r.start for r in run(perfect).recorded if r.kind == "turn"]
    if not 0 < first + shift < perfect.ticks:
        return
    speech_KD[first + shift] = mixed((T.bos, 0.9), (9, 0.1))
    found = run(replace(perfect, speech_KD=speech_KD), pace=Pace(base=0, per_letter=1))
    turns = [r for r in found.responses if r.kind == "turn"]
    assert turns[0].start == first + shift
    assert (turns[0].reference is not None) == (abs(shift) == 1)
    assert scores(perfect, found)["bos"].tp == (abs(shift) == 1)
    if abs(shift) == 1 and not turns[0].stopped:
        assert turns[0].end == next(r for r in found.recorded if r.kind == "turn").end


def test_the_history_is_the_models_own() -> None:
    path = scripted()
    perfect = heard(plain())
    (found,) = free_run(path, [perfect], RULES, pace=PACE)
    assert [fed[0] for fed in path.duplex.fed] == [T.sil, *found.ids_K[:-1]]


def test_what_is_heard_says_so_until_it_is_over() -> None:
    """The model would be silent at once; the player knows better."""
    words = encode(tokenizer(), "go left")
    said = quiet(plain(), t10=T.bos, t11=words[0], t12=words[1], t13=T.eos)
    assert run(said).ids_K.tolist() == [*[T.sil] * 10, T.bos, *words, T.eos, *[T.hod] * 4, *[T.sil] * 12]
    assert T.hod not in run(said, rules=Rules(hold=False)).ids_K
    assert T.hod not in run(said, rules=Rules(mode="relays2s")).ids_K


def test_text_ends_by_force_at_last() -> None:
    """With the recorded speech, to whose end the recorded user reacts; imagined speech lasts as long as it is let."""
    long = quiet(plain())
    speech_KD = certain([9] * 30)
    speech_KD[10] = certain([T.bos])[0]
    endless = replace(long, speech_KD=speech_KD)
    found = run(endless)
    assert found.ids_K.tolist() == [*[T.sil] * 10, T.bos, *[9] * 7, T.eos, *[T.sil] * 11]
    assert found.responses[0] == Own("turn", 10, 0, (9,) * 7, 18, False)
    found = run(endless, playing=Playing(matched="pace", max_tokens=12))
    assert found.ids_K.tolist() == [*[T.sil] * 10, T.bos, *[9] * 12, T.eos, *[T.sil] * 6]
    assert found.responses[0] == Own("turn", 10, 0, (9,) * 12, 24, False)


def test_recorded_text_that_outlasts_its_speech_is_written_to_its_end() -> None:
    spoken = heard(row(Said("user", 0, 8), Said("assistant", 10, 12, "go left at me"), ticks=30))
    found = run(told(spoken, spoken.ids_K))
    assert found.ids_K.tolist() == spoken.ids_K.tolist()


@pytest.mark.parametrize("matched", ["reference", "pace"])
def test_imagined_speech_lasts_as_long_as_its_letters(matched: Any) -> None:
    words = encode(tokenizer(), "go left")
    said = quiet(plain(), t9=T.bos, t10=words[0], t11=words[1], t12=T.eos, t24=T.bos, t25=words[0], t26=T.eos)
    found = run(said, playing=Playing(matched=matched))
    six_letters = 9 + 6
    assert [r.end for r in found.responses] == [18 if matched == "reference" else six_letters, 27]
    assert [r.reference for r in found.responses] == [0, None]
    assert found.ids_K[26:29].tolist() == [T.eos, T.sil, T.sil]  # two letters are over when the text is


@pytest.mark.parametrize("token", [T.stp, T.eos, T.hod, T.pad, 9])
def test_nothing_but_a_start_breaks_the_silence(token: int) -> None:
    said = quiet(plain(), t4=token)
    assert set(run(said).ids_K) == {T.sil}


@pytest.mark.parametrize("token", [T.bos, T.boc, T.sil, T.hod, T.pad])
def test_text_is_written_to_its_end(token: int) -> None:
    """A control token that is likelier than all text is passed over."""
    said = quiet(plain())
    speech_KD = said.speech_KD.clone()
    speech_KD[10], speech_KD[11:13] = certain([T.bos])[0], mixed((token, 0.9), (9, 0.1))
    speech_KD[13] = certain([T.eos])[0]
    assert run(replace(said, speech_KD=speech_KD)).ids_K[10:14].tolist() == [T.bos, 9, 9, T.eos]


def test_a_response_starts_when_the_one_before_is_over() -> None:
    said = quiet(plain(), t10=T.bos, t11=T.eos, **{f"t{k}": T.bos for k in range(12, 20)})
    assert [r.start for r in run(said).responses] == [10, 18]


def test_a_recorded_turn_is_taken_once() -> None:
    found = run(quiet(plain(), t9=T.bos, t10=T.stp, t11=T.bos, t12=T.eos))
    assert [r.reference for r in found.responses] == [0, None]


def test_nobody_stops_a_backchannel() -> None:
    talk = row(
        Said("user", 0, 14), Said("assistant", 5, 10, "wait", "backchannel"), Said("assistant", 15, 20), ticks=25
    )
    said = quiet(talk, t5=T.boc, t6=T.eos, t7=T.stp, t8=T.stp)
    found = run(said)
    assert found.ids_K[5:11].tolist() == [T.boc, T.eos, T.hod, T.hod, T.hod, T.sil]
    assert found.responses[0].kind == "backchannel"


@pytest.mark.parametrize("at", [8, 12], ids=["in its text", "while it plays"])
def test_a_stop_ends_the_turn(at: int) -> None:
    said = quiet(plain(), t7=T.bos, **({} if at == 8 else {"t8": T.eos}), **{f"t{at}": T.stp})
    found = run(said, pace=Pace(base=2560 * 9, per_letter=1))
    assert found.responses[0].end == at
    assert found.responses[0].stopped
    assert set(found.ids_K[at + 1 :]) == {T.sil}


def test_a_threshold_decides_in_place_of_the_likeliest() -> None:
    said = quiet(plain())
    speech_KD = said.speech_KD.clone()
    speech_KD[4] = mixed((T.bos, 0.4), (T.sil, 0.6))
    said = replace(said, speech_KD=speech_KD)
    loose, strict = (Thresholds(bos=bos, stp=0.5, boc=0.5) for bos in (0.39, 0.41))
    assert [len(run(said, point).responses) for point in (None, loose, strict)] == [0, 1, 0]


def test_of_two_tokens_the_one_farther_above_its_threshold_fires() -> None:
    said = quiet(plain())
    speech_KD = said.speech_KD.clone()
    speech_KD[4] = mixed((T.bos, 0.5), (T.boc, 0.3), (T.sil, 0.2))
    said = replace(said, speech_KD=speech_KD)
    kinds = [
        run(said, Thresholds(bos=bos, stp=0.5, boc=boc)).responses[0].kind for bos, boc in ((0.3, 0.2), (0.4, 0.2))
    ]
    assert kinds == ["turn", "backchannel"]


def test_a_false_start_and_its_stop_are_told_from_the_rest() -> None:
    """The model begins in the user's turn, stops, and then misses the turn that is cut."""
    said = quiet(cut(), t2=T.bos, t3=T.eos, t4=T.stp)
    found = run(said, pace=Pace(base=2560 * 9, per_letter=1))
    counted = scores(said, found)
    assert counted["bos"] == counted["stp"] == Counts(fp=1, fn=1)
    assert counted["begun"] == Counts()
    sentence = false_starts(said, found)
    assert (sentence.starts, sentence.false_starts, sentence.over_user) == (1, 1, 1)
    assert (sentence.false_stops, sentence.after_false_start) == (1, 1)
    (missed,) = barge_ins(said, found)
    assert (missed.begun, missed.talking, missed.latency) == (False, False, None)


def test_a_stop_in_time_is_right_whoever_began() -> None:
    """The turn was begun two ticks late, so it is a false start; its stop is none the less the one that was due."""
    said = quiet(cut(), t8=T.bos, t17=T.stp)
    found = run(said, pace=Pace(base=2560 * 20, per_letter=1))
    assert scores(said, found)["stp"] == Counts(tp=1)
    sentence = false_starts(said, found)
    assert (sentence.false_starts, sentence.over_user) == (1, 0)
    assert (sentence.false_stops, sentence.after_false_start) == (0, 0)


@pytest.mark.parametrize(("at", "latency"), [(14, 0), (16, 2), (17, 3), (18, 4), (22, 8)])
def test_stop_latency_counts_from_the_users_onset(at: int, latency: int) -> None:
    said = quiet(cut(), t6=T.bos, t7=T.eos, **{f"t{at}": T.stp})
    found = run(said)
    (one,) = barge_ins(said, found)
    assert (one.talking, one.latency, one.overlap) == (True, latency, 3)
    right = abs(at - 17) <= 1
    assert scores(said, found)["begun"] == Counts(tp=right, fp=not right, fn=not right)
    summary = stops([one])
    assert summary is not None
    assert summary.median is not None
    assert summary.within is not None
    assert (summary.median.value, summary.within.value) == (latency, float(latency <= 3))
    assert summary.recorded == (3, 3)


def test_who_does_not_stop_is_heard_to_the_end() -> None:
    """11 ticks of 2 letters: the whole of 6 letters would have lasted 33."""
    said = quiet(cut(60), t6=T.bos, t7=T.eos)
    found = run(said)
    assert found.responses[0].end == 6 + 33
    (one,) = barge_ins(said, found)
    assert (one.talking, one.latency) == (True, None)
    summary = stops([one])
    assert summary is not None
    assert summary.stopped is not None
    assert summary.stopped.value == 0
    assert summary.median is None
    assert "of these stopped" in summary.markdown()
    assert scores(said, found)["audible"] == Counts(tp=11, fp=33 - 11)


def test_a_stop_before_the_user_began_is_false() -> None:
    said = quiet(cut(), t6=T.bos, t7=T.eos, t10=T.stp)
    found = run(said)
    assert not barge_ins(said, found)[0].talking
    assert scores(said, found)["begun"] == Counts(fp=1, fn=1)


def test_the_second_stop_of_compatible_labels_is_no_event() -> None:
    rules = Rules(mode="relays2s")
    labelled = heard(cut(), rules)
    assert (labelled.ids_K == T.stp).sum() == 2
    said = told(
        labelled,
        np.where(np.arange(labelled.ticks) < 17, np.where(labelled.ids_K == T.stp, 9, labelled.ids_K), labelled.ids_K),
    )
    assert scores(labelled, run(said, rules=rules))["stp"] == Counts(tp=1)


def test_the_batch_changes_nothing_and_the_past_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model: what it emits is what a pass over its own history says it would."""
    talks = [
        row(Said("user", 0, 5), Said("assistant", 6, 12), ticks=ticks, id=f"t{ticks}") for ticks in (31, 14, 23, 40)
    ]
    llm = build_llm(RandomLlm(hidden=16, layers=2, heads=2, kv_heads=1, ffn=32), T, 5)
    with torch.no_grad():
        for weight in llm.parameters():
            weight.mul_(8 if weight.ndim > 1 else 1)
    path = Path(Duplex(llm, T).eval(), tokenizer())
    draw = torch.Generator().manual_seed(2)
    talking = [replace(heard(t), speech_KD=torch.randn(heard(t).ticks, 16, generator=draw)) for t in talks]
    point = Thresholds(bos=0.003, stp=0.02, boc=0.02)
    alone = [free_run(path, [one], RULES, point, pace=PACE)[0] for one in talking]
    for batch in (2, 64):
        for one, other in zip(alone, free_run(path, talking, RULES, point, pace=PACE, batch=batch), strict=True):
            np.testing.assert_array_equal(one.ids_K, other.ids_K)
            assert one.responses == other.responses
    emitted = {int(token) for one in alone for token in one.ids_K}
    assert {T.sil, T.bos} < emitted
    for one, conversation in zip(alone, talking, strict=True):
        ids_K = one.ids_K
        own = replace(conversation, target=replace(conversation.target, ids_K=ids_K))
        (seen,) = run_forced(path, [own])
        started_K = np.isin(ids_K, [T.bos, T.boc])
        chance_K = np.maximum(seen.chances["bos"] / point.bos, seen.chances["boc"] / point.boc)
        assert (chance_K[started_K] >= 1).all()
        assert (chance_K[ids_K == T.sil] < 1).all()
        assert (seen.chances["stp"][ids_K == T.stp] >= point.stp).all()


def test_text_is_decoded_for_its_letters() -> None:
    assert decode(tokenizer(), encode(tokenizer(), "wait there")) == "wait there"
    assert Pace(base=2560, per_letter=256).ticks(9) == 2


def test_a_low_threshold_does_not_outbid_a_clear_sign() -> None:
    """A backchannel at four times its threshold of 0.01 against a turn at 0.9, for which 0.5 is enough."""
    points = Thresholds(bos=0.5, stp=0.5, boc=0.01)
    agent = Agent((), T, True, len, Pace(base=0, per_letter=1), points)
    assert agent.step(0, Seen(bos=0.9, stp=0.0, boc=0.04, top=T.bos, text=150)) == T.bos
