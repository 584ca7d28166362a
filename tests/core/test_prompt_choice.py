"""Laws of choosing prompts, and of the texts that go with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.acceptance import tokens
from datagen.core.prompt_choice import Offer, choose, text_fault, unheard
from datagen.core.prompting import Cut, Rules

RATE = 24_000
RULES = Rules()
SENTENCE = "the second road on the left takes you to the old mill where we could have lunch"


def offer(recording: int, start: float, end: float, score: float = 30.0, text: str = "", fault: str = "") -> Offer:
    """Seconds of a recording; the last half second is silent."""
    first, last = round(start * RATE), round(end * RATE)
    return Offer(recording, Cut(first, last, ((first, last - RATE // 2),), RATE, score, -20.0, score, fault), text)


def words(of: Offer) -> str:
    """A text at 2.5 words per second."""
    return " ".join((SENTENCE.split() * 2)[: round(2.5 * of.cut.speaking_seconds)])


offers = st.lists(
    st.builds(
        lambda recording, start, length, score, fault: offer(
            recording, start / 10, (start + length) / 10, float(score), fault="clipped" if fault else ""
        ),
        recording=st.integers(0, 4),
        start=st.integers(0, 200),
        length=st.integers(30, 100),
        score=st.integers(10, 40),
        fault=st.sampled_from([False, False, False, True]),
    ),
    max_size=20,
)


@given(offers=offers, long=st.integers(1, 3), short=st.integers(0, 2))
def test_what_is_chosen_fits_and_is_said_once(offers: list[Offer], long: int, short: int) -> None:
    usable = [o for o in offers if not o.cut.fault]
    if not usable:
        with pytest.raises(ValueError, match=r"no stretch|none of"):
            choose(offers, words, RULES, long=long, short=short, tries=99)
        return
    found = choose(offers, words, RULES, long=long, short=short, tries=99)
    best = max(o.cut.score for o in usable)
    assert found[0].offer.cut.score == best
    assert len({c.offer for c in found}) == len(found)
    assert all(c.offer in usable and c.text == words(c.offer) for c in found)
    assert choose(offers[::-1], words, RULES, long=long, short=short, tries=99) == found
    assert len(found) <= long + short


@given(offers=offers, long=st.integers(1, 3))
def test_long_prompts_are_apart_and_from_as_many_recordings_as_can_be(offers: list[Offer], long: int) -> None:
    usable = [o for o in offers if not o.cut.fault]
    if not usable:
        return
    taken = [c.offer for c in choose(offers, words, RULES, long=long, short=0, tries=99)]
    assert not any(a.overlaps(b) for n, a in enumerate(taken) for b in taken[:n])
    recordings = {o.recording for o in usable}
    assert len({o.recording for o in taken}) == min(long, len(recordings))
    left = [o for o in usable if not any(o.overlaps(t) for t in taken)]
    assert len(taken) == long or not left


@given(offers=offers, tries=st.integers(1, 5))
def test_a_recogniser_hears_no_more_than_the_tries_and_nothing_twice(offers: list[Offer], tries: int) -> None:
    heard: list[Offer] = []

    def hear(of: Offer) -> str:
        heard.append(of)
        raise ValueError("mumbling")

    with pytest.raises(ValueError, match=r"mumbling|clipped|no stretch"):
        choose(offers, hear, RULES, tries=tries)
    assert len(heard) == min(tries, len({o for o in offers if not o.cut.fault}))
    assert len(set(heard)) == len(heard)


def test_the_short_prompt_has_few_words_in_three_to_four_seconds() -> None:
    long, slow, short, low = offer(0, 0, 7), offer(0, 0, 3.5, 35), offer(1, 2, 5.5, 20), offer(2, 0, 3.5, 10)
    texts = {long: SENTENCE, slow: "considerably fewer words than wanted", short: "seven words are what we want here"}
    texts[low] = texts[short]
    found = choose([low, short, slow, long], texts.__getitem__, RULES, long=1, tries=9)
    assert [c.offer for c in found] == [slow, short]
    found = choose([low, short, long], texts.__getitem__, RULES, long=1, tries=9)
    assert [c.offer for c in found] == [long, short]
    assert len(choose([long], texts.__getitem__, RULES)) == 1


def test_a_text_of_the_collection_needs_no_recogniser() -> None:
    def hear(of: Offer) -> str:
        raise AssertionError("nobody is to be heard")

    found = choose([offer(0, 0, 6, text=SENTENCE)], hear, RULES, tries=1)
    assert [c.text for c in found] == [SENTENCE]


def test_the_commonest_fault_is_told() -> None:
    several = [offer(0, 10 * n, 10 * n + 6, fault=f"{n + 11} samples are clipped") for n in range(3)]
    with pytest.raises(ValueError, match="none of 4 stretches can be used; 3 of them: 11 samples are clipped"):
        choose([*several, offer(1, 0, 6, fault="it pauses for 1.0 s")], words, RULES)
    with pytest.raises(ValueError, match="no stretch of the right length"):
        choose([], words, RULES)


@pytest.mark.parametrize(
    ("text", "seconds", "fault"),
    [
        (SENTENCE, 6.0, ""),
        ("Uh-huh, well, that's fine, isn't it?", 2.4, ""),
        (SENTENCE, 2.0, "words per second"),
        ("too slow", 3.0, "words per second"),
        ("a b c d e f g h i", 2.1, ""),
        ("incomprehensibilities notwithstanding, internationalisation misrepresents", 1.5, "s per token"),
        ("", 3.0, "no words"),
        ("... !", 3.0, "no words"),
        ("[music] and then we went home", 3.0, "'['"),
        ("and in 1984 we went home again", 3.0, "'1'"),
        ("and ♪ we went home again", 3.0, "♪"),
        ("two & two are four I think", 3.0, "&"),
        ("with a \x07 bell in it", 2.0, r"\x07"),
    ],
)
def test_texts_that_cannot_be_what_is_said(text: str, seconds: float, fault: str) -> None:
    found = text_fault(text, seconds, RULES)
    assert fault in found
    assert bool(found) == bool(fault)


@given(text=st.text("abcdef '", min_size=1), seconds=st.floats(0.5, 10))
def test_a_text_fits_a_pace_and_no_other(text: str, seconds: float) -> None:
    if text_fault(text, seconds, RULES) == "":
        assert text_fault(text, seconds * 4, RULES)
        assert text_fault(text, seconds / 4, RULES)
        assert 0.12 * tokens(text) <= seconds <= 0.5 * tokens(text)


def test_without_spaces_only_tokens_are_counted() -> None:
    chinese = "今天天气很好我们去公园散步吧好不好"
    assert "words per second" in text_fault(chinese, 4.0, RULES)
    assert text_fault(chinese, 4.0, Rules(words_per_second=None)) == ""
    assert "s per token" in text_fault(chinese, 1.5, Rules(words_per_second=None)), "eleven characters a second"


def spans(*seconds: tuple[float, float]) -> list[tuple[int, int]]:
    return [(round(a * 16_000), round(b * 16_000)) for a, b in seconds]


@pytest.mark.parametrize(
    ("heard", "missing"),
    [
        ([(0.0, 1.0), (1.1, 2.5), (3.6, 5.4)], ""),
        ([(0.3, 1.0), (1.1, 2.2), (3.8, 5.2)], ""),
        ([(1.1, 2.5), (3.6, 5.4)], "0.8 s"),
        ([(0.0, 1.0), (1.1, 2.5), (3.6, 4.0)], "1.2 s"),
        ([(0.0, 2.5)], "2.0 s"),
        ([], "2.5 s"),
        ([(0.0, 0.5), (1.9, 2.5), (3.5, 5.5)], "0.8 s"),
        ([(0.0, 5.5)], ""),
    ],
)
def test_speech_without_a_word_was_left_out(heard: list[tuple[float, float]], missing: str) -> None:
    """Speech at 0 to 2.5 s and 3.5 to 5.5 s of a cut that begins 10 s into a recording at 24 kHz."""
    at = 10 * RATE
    speech = ((at, at + round(2.5 * RATE)), (at + round(3.5 * RATE), at + round(5.5 * RATE)))
    cut = Cut(at, at + 6 * RATE, speech, RATE, 30.0, -20.0, 30.0, "")
    fault = unheard(cut, spans(*heard))
    assert fault == (f"{missing} of speech have no word" if missing else "")
