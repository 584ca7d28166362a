"""Layouts: silence put in, ends cut off, turns strung together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.records import Utterance
from datagen.core.timeline import Layout, Mark, Unfit, assemble, audible, cut, insert_silence, lay, place
from datagen.core.types import SPEAKERS, Speaker, Word
from tests.strategies import texts, word_times

SILENCES = st.sampled_from([0, 1, 80, 3200])


def spoken(text: str, rate: float = 170.0, lead: int = 0, gap: int = 0, tail: int = 0) -> Utterance:
    times = word_times(text, rate, lead, gap)
    size = max(times[-1].end + tail, 2)
    return Utterance(turn=0, speaker="user", text=text, num_samples=size, words=times, active_power=0.01, peak=0.5)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    rate = float(draw(st.integers(60, 400)))
    return lay(0, spoken(draw(texts(12)), rate, draw(SILENCES), draw(SILENCES), draw(SILENCES)))


def mark(start: int, end: int) -> Mark:
    return Mark(type="pause", actor="user", start=start, end=end, outcome="turn kept", probability=1)


def tiles(layout: Layout, size: int) -> bool:
    """Whether the pieces hold the utterance's first ``size`` samples, each once and in order."""
    pieces = layout.pieces
    joined = all(a.end == b.start and a.stop <= b.at for a, b in pairwise(pieces))
    return joined and (pieces[0].start, pieces[0].at, pieces[-1].end) == (0, 0, size)


@given(layouts(), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 40_000)), max_size=5))
def test_silence_moves_speech_and_loses_none(layout: Layout, silences: list[tuple[int, int]]) -> None:
    """In any order, at any word, twice at the same: as long as before plus the silence."""
    size, made, added = layout.end, layout, 0
    lengths = [w.end - w.start for w in layout.words]
    for after_word, silence in silences:
        try:
            made = insert_silence(made, after_word, silence)
        except Unfit:
            continue
        added += silence
        gap = made.words[after_word + 1].start - made.words[after_word].end
        assert gap >= silence
    assert tiles(made, size)
    assert made.end == size + added
    assert [w.end - w.start for w in made.words] == lengths
    assert all(a.end <= b.start for a, b in pairwise(made.words))
    assert made.words[-1].end <= made.end


@given(layouts(), st.integers(0, 11), st.integers(0, 11))
def test_a_mark_stays_with_its_silence(layout: Layout, first: int, second: int) -> None:
    """Silences put in later, before or after it, do not part a mark from the words around it."""
    if first == second:
        return
    for after_word, silence in ((first, 8_000), (second, 4_000)):
        try:
            start, end = layout.words[after_word].end, layout.words[after_word + 1].start + silence
            layout = insert_silence(layout, after_word, silence, mark(start, end))
        except (Unfit, IndexError):
            return
    for found, after_word in zip(layout.marks, (first, second), strict=True):
        assert (found.start, found.end) == (layout.words[after_word].end, layout.words[after_word + 1].start)


@pytest.mark.parametrize(
    ("text", "after_word"), [("one two", 1), ("one two", 7), ("& one two", 0), ("one two &", 1), ("& & one", 1)]
)
def test_a_pause_lies_inside_the_turn(text: str, after_word: int) -> None:
    """A sign without letters takes no time: before or after it there may be nothing to hear."""
    with pytest.raises(Unfit, match="a pause lies inside the turn"):
        insert_silence(lay(0, spoken(text)), after_word, 1_600)


def test_a_pause_before_a_word_without_sound_comes_before_it() -> None:
    layout = insert_silence(lay(0, spoken("salt & pepper")), 0, 1_600)
    assert layout.words[1].start == layout.words[0].end + 1_600


@given(layouts(), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_cut_keeps_what_comes_before_it(layout: Layout, share: float, overlap_share: float) -> None:
    at = max(int(layout.end * share), 1)
    made = cut(layout, at, max(int(at * overlap_share), 1), 0.5)
    assert tiles(made, at)
    assert made.end == at
    heard = audible(made.words, made.end)
    assert [w.text for w in heard] == [w.text for w in layout.words][: len(heard)]
    assert all(w.end <= at for w in heard)
    for word in layout.words[len(heard) :]:
        assert at - word.start <= max((word.end - word.start + 1) // 2, 0)


def test_a_cut_inside_a_pause_ends_where_the_speech_does() -> None:
    layout = lay(0, spoken("one two three four"))
    word = layout.words[1]
    paused = insert_silence(layout, 1, 16_000, mark(word.end, word.end + 16_000))
    made = cut(paused, word.end + 8_000, 1_600, 0.5)
    assert made.end == word.end
    assert made.marks == (), "the pause is not over when the turn ends"
    assert cut(paused, paused.end - 1, 1_600, 0.5).marks == paused.marks


@pytest.mark.parametrize(("at", "overlap"), [(0, 0), (100, 0), (100, 101), (10**7, 5)])
def test_an_impossible_cut_is_refused(at: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="does not fit a turn"):
        cut(lay(0, spoken("one two three")), at, overlap, 0.5)


def test_a_word_counts_as_heard_when_half_of_it_is() -> None:
    words = (Word(text="a", start=0, end=10), Word(text="b", start=10, end=20, estimated=True))
    assert audible(words, 20) == words
    assert audible(words, 16) == (words[0], Word(text="b", start=10, end=16, estimated=True))
    assert audible(words, 15) == words[:1]
    assert audible(words, 5) == ()


def test_a_sign_at_the_very_end_of_a_whole_turn_is_heard() -> None:
    layout = lay(0, spoken("one two &"))
    assert place(layout, 0, "user", "turn", "one two &", 50).text == "one two &"


@st.composite
def strings(draw: st.DrawFn) -> tuple[list[Layout], list[tuple[Speaker, str]], list[int]]:
    """Turns, some of them cut, and any offsets before them."""
    texts_drawn = draw(st.lists(texts(10), min_size=1, max_size=6))
    made: list[Layout] = []
    for number, text in enumerate(texts_drawn):
        layout = lay(number, spoken(text))
        if number + 1 < len(texts_drawn) and draw(st.booleans()):
            at = draw(st.integers(1, layout.end))
            layout = cut(layout, at, draw(st.integers(1, at)), 0.5)
        made.append(layout)
    turns: list[tuple[Speaker, str]] = [(SPEAKERS[n % 2], text) for n, text in enumerate(texts_drawn)]
    asked = draw(st.lists(st.integers(-60_000, 60_000), min_size=len(turns), max_size=len(turns)))
    return made, turns, asked[1:]


@given(strings(), st.integers(0, 20_000))
def test_turns_follow_each_other_as_asked_or_say_that_they_do_not(
    drawn: tuple[list[Layout], list[tuple[Speaker, str]], list[int]], start: int
) -> None:
    made, turns, asked = drawn
    draft = assemble(made, turns, asked, start)
    assert draft.segments[0].start == start
    assert [s.speaker for s in draft.segments] == [speaker for speaker, _ in turns]
    for number, transition in enumerate(draft.transitions):
        before, after = draft.segments[number : number + 2]
        cut_after = made[number].yields_after
        assert transition.asked == (asked[number] if cut_after is None else -cut_after)
        assert transition.achieved == after.start - before.end
        assert before.start <= after.start
        assert (after.start + after.end + 1) // 2 >= before.end, "a turn has half of itself left when it has the floor"
        if number:
            assert after.start >= draft.segments[number - 1].end
        if cut_after is None:
            assert after.start >= (before.start + before.end) // 2
    barge_ins = [e for e in draft.events if e.type == "barge_in"]
    assert [e.target for e in barge_ins] == [n for n, layout in enumerate(made) if layout.yields_after is not None]


def test_a_short_answer_is_not_swallowed_by_the_turn_it_answers() -> None:
    long, short = lay(0, spoken("one two three four five six")), lay(1, spoken("yes"))
    draft = assemble([long, short], [("assistant", "x"), ("user", "y")], [-long.end], 0)
    assert draft.segments[1].end > draft.segments[0].end
    assert draft.transitions[0].clipped


def test_marks_become_events_on_the_conversations_clock() -> None:
    layout = insert_silence(lay(0, spoken("one two three")), 0, 1_600, mark(100, 1_900))
    (event,) = assemble([layout], [("user", "one two three")], [], 500).events
    assert (event.start, event.end, event.target, event.outcome) == (600, 2_400, 0, "turn kept")
