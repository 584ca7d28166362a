"""Laws of accepting clips: speech passes, and each way a speech model fails is refused with its own reason."""

from __future__ import annotations

import json
import re
from functools import cache
from timeit import repeat

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.acceptance import Acceptance, abrupt, faults, hearing, tokens, word_errors
from datagen.core.audio import Pcm, from_pcm16
from datagen.core.types import Dialogue, Voice
from datagen.core.units import SAMPLE_RATE, from_ms
from datagen.recipe import language, voice_manifest
from datagen.sources import grammar
from tests.helpers import ROOT, samples

RULES = Acceptance()
TEXT = "I was thinking we could meet at the station around seven."


@cache
def voices(code: str) -> tuple[Voice, ...]:
    return voice_manifest(str(ROOT / "manifests" / f"voices_espeak_{code}.yaml"))


@cache
def say(text: str, number: int = 0, code: str = "en") -> Pcm:
    """The text by one of the manifest's voices."""
    speaking = pytest.importorskip("tests.tts.speaking")
    return speaking.engine().synthesize(text, voices(code)[number % len(voices(code))], number).pcm


def texts(code: str, dialogues: int) -> list[str]:
    """Turns of the grammar's dialogues, and every backchannel."""
    read = grammar.make(grammar.Config(grammar=code)).read(0, dialogues, 3)
    turns = [turn.text for dialogue in read if isinstance(dialogue, Dialogue) for turn in dialogue.turns]
    return turns + [token.text for token in language(code).backchannels] * 2


@pytest.mark.parametrize("code", ["en", "es"])
def test_speech_passes_in_every_voice(code: str) -> None:
    said = texts(code, 18)
    assert len(said) > 120
    refused = {text: found for n, text in enumerate(said) if (found := faults(say(text, 7 * n, code), text, RULES))}
    assert refused == {}


def test_people_pass() -> None:
    folder = samples()
    listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    spoken = [m for m in listed if m.get("transcript") and "2spk" not in m["file"]]
    assert len(spoken) > 10
    for m in spoken:
        read, rate = soundfile.read(folder / m["file"], dtype="float32", always_2d=True)
        assert faults(soxr.resample(read.mean(axis=1), rate, SAMPLE_RATE), m["transcript"], RULES) == (), m["file"]


def quiet(pcm: Pcm) -> Pcm:
    return (pcm * 0.001).astype(np.int16)


def gap(pcm: Pcm, ms: float = 1200) -> Pcm:
    middle = pcm.size // 2
    return np.insert(pcm, middle, np.zeros(from_ms(ms), np.int16))


def clipped(pcm: Pcm) -> Pcm:
    return np.clip(pcm.astype(float) * 30, -32_768, 32_767).astype(np.int16)


def cut_off(pcm: Pcm) -> Pcm:
    return pcm[: pcm.size // 6]


def rambling(pcm: Pcm) -> Pcm:
    return np.tile(pcm, 4)


DEFECTS = {
    quiet: "silent: level of -N dBFS, at least -N",
    gap: "inner silence of N s, at most N",
    clipped: "clipped: N % of the samples, at most N %",
    cut_off: "too short: N s of speech, at least N",
    rambling: "too long: N s of speech, at most N",
}


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("listened", [False, True])
def test_a_defect_is_refused_with_its_reason_and_like_reasons_count_together(defect, listened: bool) -> None:
    said = [text for text in texts("en", 8) if len(text.split()) > 4]
    assert len(said) > 30
    for number, text in enumerate(said):
        found = faults(defect(say(text, number)), text, RULES, heard=listened)
        without_numbers = [re.sub(r"\d+([.,]\d+)?", "N", reason) for reason in found]
        if defect in (cut_off, rambling) and listened:
            assert set(without_numbers) <= {DEFECTS[defect]}, "the hard window is wider"
        else:
            assert DEFECTS[defect] in without_numbers


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused_first(value: float) -> None:
    signal = from_pcm16(say(TEXT))
    assert faults(signal, TEXT, RULES) == ()
    signal[5000] = value
    assert faults(signal, TEXT, RULES) == ("samples that are no numbers",)


@given(st.integers(0, 30_000), st.integers(0, 30_000), st.integers(0, 2))
def test_silence_around_a_clip_changes_nothing(lead: int, tail: int, defect: int) -> None:
    clip = [say(TEXT), gap(say(TEXT)), cut_off(say(TEXT))][defect]
    padded = np.pad(clip, (lead // 160 * 160, tail))
    assert faults(padded, TEXT, RULES) == faults(clip, TEXT, RULES)


@given(st.one_of(st.integers(100, 700), st.integers(820, 3000)))
def test_inner_silence_is_refused_from_the_bound_on(ms: int) -> None:
    """To two frames; the speech itself falls silent for less than 100 ms there."""
    found = [reason for reason in faults(gap(say(TEXT), ms), TEXT, RULES, heard=True) if "inner" in reason]
    assert bool(found) == (ms > 800)


def test_where_a_recogniser_listens_only_the_hard_window_holds() -> None:
    """Half a second per word is slow, but who says the right words may."""
    text = "Yes, of course we can."
    pcm = say(text, 2)
    seconds = 0.65 * tokens(text)
    slow = soxr.resample(pcm.astype(np.float32), 1, seconds * SAMPLE_RATE / pcm.size).astype(np.int16)
    assert "too long" in faults(slow, text, RULES)[0]
    assert faults(slow, text, RULES, heard=True) == ()
    assert "too short" in faults(pcm[1600:3200], "Right", RULES, heard=True)[0], "recognisers do not judge one word"


@pytest.mark.parametrize(
    ("text", "seconds", "fault"),
    [
        ("Right.", 1.2, ""),
        ("Right", 0.75, ""),
        ("Right", 0.85, "too long"),
        ("uh-huh", 0.2, ""),
        ("uh-huh", 0.1, "too short"),
        ("1,000,000,000", 0.6, ""),
        ("1,345", 0.4, "too short"),
    ],
)
def test_lengths_that_people_need(text: str, seconds: float, fault: str) -> None:
    """Short texts take longer per token, signs of listening less, and round figures are quickly said."""
    pcm = np.resize(say(TEXT)[1600:8000], round(seconds * SAMPLE_RATE))
    assert [reason.split(":")[0] for reason in faults(pcm, text, RULES)] == ([fault] if fault else [])


@pytest.mark.parametrize("sign", [1, -1])
def test_one_side_clipped_is_clipped(sign: int) -> None:
    """Full scale on one side alone, in 2 % of the samples."""
    pcm = say(TEXT).copy()
    pcm[:: pcm.size // (pcm.size // 50)] = max(-32_768, min(sign * 32_768, 32_767))
    assert any("clipped" in reason for reason in faults(pcm, TEXT, RULES))
    assert any("clipped" in reason for reason in faults(from_pcm16(pcm), TEXT, RULES))


def test_judging_a_clip_of_three_seconds_takes_less_than_two_milliseconds() -> None:
    pcm = np.resize(say(TEXT), 3 * SAMPLE_RATE)
    assert min(repeat(lambda: faults(pcm, TEXT, RULES), number=10, repeat=7)) / 10 < 0.002


@pytest.mark.parametrize("window", [(0.5, 0.5), (-0.1, 1.0), (0.1, float("inf")), (float("nan"), 1.0)])
def test_a_window_that_is_none_is_refused(window: tuple[float, float]) -> None:
    for name in ("seconds_per_token", "usual_seconds_per_token"):
        with pytest.raises(ValueError, match=name):
            Acceptance.model_validate({name: window})


def test_tokens_are_about_those_of_qwen2() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    folder = samples()
    qwen2 = tokenizers.Tokenizer.from_file(str(folder / "tokenizer" / "qwen2" / "tokenizer.json"))
    chats = json.loads((folder / "dialogues" / "topical_chat" / "test_freq.json").read_text(encoding="utf-8"))
    tasks = json.loads((folder / "dialogues" / "sgd" / "dev" / "dialogues_001.json").read_text(encoding="utf-8"))
    corpora = {
        "chats": [turn["message"] for chat in chats.values() for turn in chat["content"]][:1500],
        "tasks": [turn["utterance"] for task in tasks for turn in task["turns"]],
    }
    for name, said in corpora.items():
        ratios = [tokens(text) / len(qwen2.encode(text).ids) for text in said]
        assert 0.95 < np.mean(ratios) < 1.05, name
        assert np.mean([0.75 < ratio < 1.25 for ratio in ratios]) > 0.98, name


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Yes.", 2), ("internationalisation", 20 / 6), ("7:30", 4), ("今天北京", 4), ("สวัสดี", 4), ("नमस्ते", 1)],
)
def test_what_counts_as_a_token(text: str, count: float) -> None:
    assert tokens(text) == pytest.approx(count)


def distance(said: list[str], heard: list[str]) -> int:
    """The edit distance as a library has it."""
    return pytest.importorskip("rapidfuzz.distance").Levenshtein.distance(said, heard)


WORDS = st.lists(st.sampled_from(["to", "be", "or", "not", "that", "is", "the", "question"]), max_size=12)


@given(WORDS, WORDS)
def test_word_errors_are_the_edit_distance(said: list[str], heard: list[str]) -> None:
    assert word_errors(said, heard) == distance(said, heard)


@given(WORDS, WORDS)
def test_right_words_are_never_refused_whatever_the_prompt(said: list[str], prompt: list[str]) -> None:
    found = hearing(said, said, prompt, RULES)
    assert found.faults == ()
    assert found.wer == 0


@given(WORDS.filter(lambda words: len(words) >= 5), WORDS)
def test_enough_words_are_judged_by_their_error_rate_and_their_end(said: list[str], heard: list[str]) -> None:
    found = hearing(said, heard, [], RULES)
    assert found.wer == distance(said, heard) / len(said)
    kept = len(heard)
    stops_early = 0 < kept < len(said) and said[:kept] == heard and set(said[kept:]) != {heard[-1]}
    assert bool(found.faults) == (found.wer > 0.2 or stops_early)


@pytest.mark.parametrize(
    ("said", "heard", "refused"),
    [
        ("yes of course we can", "yes of course he can", ""),
        ("yes of course we can", "of yes we course can", "word error rate of 0.60, at most 0.2"),
        ("yes of course we can", "", "word error rate of 1.00, at most 0.2"),
        ("yes of course", "yes of horse", ""),
        ("yes of course", "no of horse", "2 wrong words in a short text, at most 1"),
        ("good bye", "thanks for watching", ""),
        ("yes we can go", "yes he can go", ""),
        ("mmhmm", "", ""),
        ("mmhmm", "thank you", "other words than the one or two that were to be said"),
        ("mmhmm", "uhhuh", ""),
        ("mmhmm", "um", ""),
        ("yeah", "yes", ""),
        ("yeah", "thank you", "other words than the one or two that were to be said"),
        ("um i was there on monday", "i was there on monday", ""),
        ("i was there", "uh i was um there", ""),
        ("um", "um", ""),
    ],
)
def test_few_words_are_judged_mildly_and_signs_of_listening_by_their_sound(said: str, heard: str, refused: str) -> None:
    assert hearing(said.split(), heard.split(), [], RULES).faults == ((refused,) if refused else ())


PROMPT = ["we", "walked", "along", "that", "river", "one", "fine", "morning"]
LEAKED = "begins with 3 words of the prompt"


@given(st.integers(0, 5), st.integers(0, 2))
def test_a_prompt_that_leaks_is_refused_unless_the_text_says_the_same(start: int, before: int) -> None:
    said = ["please", "close", "the", "window", "now", "and", "open", "the", "door", "because", "it", "is", "warm"]
    leak = PROMPT[start : start + 3]
    heard = said[:before] + leak + said[before:]
    assert LEAKED in hearing(said, heard, PROMPT, RULES).faults
    assert LEAKED not in hearing(said, said[:before] + leak[:2] + said[before:], PROMPT, RULES).faults
    assert LEAKED not in hearing(said + leak, heard, PROMPT, RULES).faults
    assert LEAKED not in hearing(said, said + leak, PROMPT, RULES).faults, "later, it is another fault"
    assert LEAKED in hearing(["yeah"], [*leak, "yeah"], PROMPT, RULES).faults, "short texts too"


@pytest.mark.parametrize(
    ("said", "heard"), [("a b c", "a b"), ("a b c d e f g h i j", "a b c d e f g h i"), ("i see", "i")]
)
def test_a_text_without_its_end_is_refused(said: str, heard: str) -> None:
    found = hearing(said.split(), heard.split(), (), Acceptance()).faults
    assert len(found) == 1
    assert found[0].startswith("its last 1 words are missing")


def test_a_word_said_over_and_over_may_be_heard_fewer_times() -> None:
    assert hearing(["right", "right"], ["right"], (), Acceptance()).faults == ()
    assert hearing(["no", "no", "no"], ["no", "no"], (), Acceptance()).faults == ()


def test_a_short_clip_that_stops_in_a_sound_is_refused_and_a_faded_one_is_not() -> None:
    rng = np.random.default_rng(1)
    burst = np.concatenate([rng.normal(0, 3000, 6000), rng.normal(0, 3, 3200)]).astype(np.int16)
    assert abrupt(burst, "Yeah.", Acceptance()) == ()
    (reason,) = abrupt(burst[:3000], "Yeah.", Acceptance())
    assert reason.startswith("ends in the middle of a sound")
    assert abrupt(burst[:3000], "Yeah, of course.", Acceptance()) == ()
    assert abrupt(burst[:3000], "Yeah.", Acceptance(abrupt_end_db=None)) == ()
    assert abrupt(np.zeros(0, np.int16), "Yeah.", Acceptance()) != ()
